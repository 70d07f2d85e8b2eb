"""Joins branches by concatenation or addition, after cropping their maps to one size."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layer_rows import LayerRow, emit, naming
from cnn_jax.ops.padding import GeometryError, IntPair, pair


def crop_to(
    name: str, x: Float[Array, "b h w c"], size: tuple[int, int], strides: IntPair = 1, subsample: bool = True
) -> Float[Array, "b oh ow c"]:
    """Center-crops a map, so that its pixels align with the window centers of a parallel branch.

    Args:
      name: Path of the branch; a crop is recorded as the layer "<name>/crop".
      x: Feature maps.
      size: Desired (height, width) after striding.
      strides: Strides of the parallel branch.
      subsample: Whether to take every strides-th pixel. False only crops, for a strided 1x1 convolution that follows.

    Returns:
      Maps of `size`, or of the input size for which the following convolution gives `size`. `x` itself if it fits.

    Raises:
      GeometryError: If the map is too small because padding made the other branch's larger.
    """
    strides = pair(strides, "strides")
    spans = [(count - 1) * stride + 1 for count, stride in zip(size, strides, strict=True)]
    pads = []
    for have, span in zip(x.shape[1:3], spans, strict=True):
        if span > have:
            with naming(name, x.shape[1:]):
                raise GeometryError(
                    f"padding makes another branch's maps grow to {size[0]}x{size[1]}, larger than this branch's; "
                    "use padding SAME or TORCH"
                )
        low = (have - span) // 2
        pads.append((-low, low + span - have))
    cut = x[:, -pads[0][0] :, -pads[1][0] :][:, : spans[0], : spans[1]]
    taken = strides if subsample else (1, 1)
    # Pixels beyond the last one that striding takes need no crop.
    whole = [(-(-have // stride)) == count for have, stride, count in zip(x.shape[1:3], strides, size, strict=True)]
    if taken == (1, 1) and all(whole):
        return x
    y = cut[:, :: taken[0], :: taken[1]]
    row = LayerRow(
        f"{name}/crop",
        "crop",
        x.shape[1:],
        y.shape[1:],
        window=(1, 1),
        strides=taken,
        dilation=(1, 1),
        pads=(pads[0], pads[1]),
    )
    return emit(row, y)


def concat(block: str, maps: Sequence[Float[Array, "b h w _"]]) -> Float[Array, "b h w c"]:
    """Concatenates maps along the channels and records the layer "<block>/concat"."""
    y = jnp.concatenate(maps, axis=-1)
    return emit(LayerRow(f"{block}/concat", "concat", maps[0].shape[1:], y.shape[1:]), y)


def add(block: str, y: Float[Array, "b h w c"], shortcut: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Adds a shortcut to a block's output, in the output's dtype, and records the layer "<block>/add"."""
    row = LayerRow(f"{block}/add", "add", y.shape[1:], y.shape[1:])
    return emit(row, y + shortcut.astype(y.dtype))
