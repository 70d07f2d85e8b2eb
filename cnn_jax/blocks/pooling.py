"""Pooling layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from jaxtyping import Array, Float

from cnn_jax import ops
from cnn_jax.layer_rows import LayerRow, SlidingWindow, emit, naming, window_row
from cnn_jax.ops.padding import IntPair, Padding, pair

POOLS: dict[str, Callable[..., Array]] = {"max": ops.max_pool, "avg": ops.avg_pool, "min": ops.min_pool}


@dataclasses.dataclass(frozen=True)
class Pooling:
    """A pooling layer.

    Attributes:
      name: Name of the layer in the layer table and in errors.
      kind: A key of POOLS.
      window, strides, padding, ceil_mode: As for `ops.max_pool`.
      count_include_pad: Whether average pooling counts the padding as zeros.
    """

    name: str
    kind: str
    window: IntPair = 2
    strides: IntPair | None = None
    padding: Padding = "VALID"
    ceil_mode: bool = False
    count_include_pad: bool = False

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b oh ow c"]:
        """Pools feature maps."""
        row = self.row(x.shape[1:])
        counts = {"count_include_pad": True} if self._counts_padding else {}
        with naming(self.name, x.shape[1:]):
            y = POOLS[self.kind](
                x, self.window, strides=self.strides, padding=self.padding, ceil_mode=self.ceil_mode, **counts
            )
        return emit(row, y)

    @property
    def is_2x2_max(self) -> bool:
        """Whether this is max pooling of disjoint 2x2 windows that drops an odd row or column."""
        floors = (self.kind, self.padding, self.ceil_mode) == ("max", "VALID", False)
        return floors and pair(self.window, "window") == pair(self._resolved_strides, "strides") == (2, 2)

    @property
    def _counts_padding(self) -> bool:
        return self.count_include_pad and self.kind == "avg"

    @property
    def _resolved_strides(self) -> IntPair:
        return self.window if self.strides is None else self.strides

    def row(self, shape: tuple[int, ...]) -> LayerRow:
        """Returns the layer's row, without sources, for an input of shape (height, width, channels).

        Raises:
          GeometryError: If the window does not fit.
        """
        window = SlidingWindow(self.window, self._resolved_strides, self.padding, ceil_mode=self.ceil_mode)
        row = window_row(self.name, f"{self.kind}_pool", shape, shape[-1], window)
        if not self._counts_padding:
            return row
        return dataclasses.replace(row, settings=(*row.settings, ("count_include_pad", True)))


def pool(name: str, x: Float[Array, "b h w c"], kind: str, window: SlidingWindow) -> Float[Array, "b oh ow c"]:
    """Pools feature maps.

    Args:
      name: Name of the layer.
      x: Feature maps.
      kind: A key of POOLS, or "none" to return x.
      window: Settings of the pooling window.

    Returns:
      Feature maps.
    """
    if kind == "none":
        return x
    return Pooling(name, kind, window.size, window.strides, window.padding, window.ceil_mode)(x)


def adaptive_pool(name: str, x: Float[Array, "b h w c"], size: IntPair) -> Float[Array, "b oh ow c"]:
    """Averages feature maps to a given size.

    The recorded row has windows of one size; the true windows differ by a pixel if the sizes do not divide.

    Args:
      name: Name of the layer.
      x: Feature maps.
      size: (height, width) of the result, or one number for both.

    Returns:
      Feature maps of that size.
    """
    outputs, pixels = pair(size, "size"), (x.shape[1], x.shape[2])
    strides = [max(1, n // count) for n, count in zip(pixels, outputs, strict=True)]
    taps = [
        n - (count - 1) * stride if count <= n else n for n, count, stride in zip(pixels, outputs, strides, strict=True)
    ]
    row = LayerRow(
        name,
        "adaptive_avg_pool",
        x.shape[1:],
        (*outputs, x.shape[-1]),
        window=(taps[0], taps[1]),
        strides=(strides[0], strides[1]),
        dilation=(1, 1),
        pads=((0, 0), (0, 0)),
    )
    if outputs == (1, 1):
        return emit(row, ops.global_avg_pool(x)[:, None, None])
    return emit(row, ops.adaptive_avg_pool(x, size))
