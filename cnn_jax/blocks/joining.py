"""Joining branches: their maps cut to one size where padding made some smaller, then stacked or added."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layer_rows import LayerRow, emit, naming
from cnn_jax.ops.padding import GeometryError, IntPair, pair


def crop_to(
    name: str, x: Float[Array, "b h w c"], size: tuple[int, int], strides: IntPair = 1, subsample: bool = True
) -> Float[Array, "b oh ow c"]:
    """Takes the middle of a map, so that it lies where the windows of a branch beside it have their centres.

    Args:
      name: Path of the branch; where anything is left out, the layer "<name>/crop" is recorded.
      x: Feature maps.
      size: (height, width) wanted, after striding.
      strides: Pixels between those taken.
      subsample: Whether to take every strides-th pixel here. False only crops, for a strided 1x1 convolution that
        follows.

    Returns:
      Maps of `size`; with subsample=False, maps that the following convolution turns into `size`. `x` itself where
      nothing is cut.

    Raises:
      GeometryError: where the map is too small, because padding made the other branch's larger.
    """
    strides = pair(strides, "strides")
    spans = [(count - 1) * stride + 1 for count, stride in zip(size, strides, strict=True)]
    pads = []
    for have, span in zip(x.shape[1:3], spans, strict=True):
        if span > have:
            with naming(name, x.shape[1:]):
                raise GeometryError(
                    f"padding makes another branch's maps grow to {size[0]}x{size[1]}, which this one cannot follow; "
                    "use padding SAME or TORCH"
                )
        low = (have - span) // 2
        pads.append((-low, low + span - have))
    cut = x[:, -pads[0][0] :, -pads[1][0] :][:, : spans[0], : spans[1]]
    taken = strides if subsample else (1, 1)
    # What lies beyond the last pixel that a stride takes is not cut off: striding passes over it.
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
    """Stacks maps along their channels; the layer "<block>/concat" is recorded."""
    y = jnp.concatenate(maps, axis=-1)
    return emit(LayerRow(f"{block}/concat", "concat", maps[0].shape[1:], y.shape[1:]), y)


def add(block: str, y: Float[Array, "b h w c"], shortcut: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Adds a shortcut to a block's output, in the output's dtype; the layer "<block>/add" is recorded."""
    row = LayerRow(f"{block}/add", "add", y.shape[1:], y.shape[1:])
    return emit(row, y + shortcut.astype(y.dtype))
