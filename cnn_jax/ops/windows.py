"""Sliding windows as strided slices, shared by convolution and pooling."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.padding import Pads

MANY_TAPS = 256  # windows with more taps than this take minutes to compile as slices
_FEW = 8  # with at most this many channels patches are gathered along rows first, as copies of few numbers are slow


@dataclasses.dataclass(frozen=True)
class Windows:
    """Geometry of a sliding window; all pairs are (height, width).

    Attributes:
      taps: Number of taps of the window.
      strides: Pixels between windows.
      dilation: Pixels between taps.
      pads: ((top, bottom), (left, right)).
      outputs: Number of windows along each axis.
    """

    taps: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[Pads, Pads]
    outputs: tuple[int, int]

    def slices(self, x: Float[Array, "b h w c"], fill: float = 0.0) -> list[Float[Array, "b oh ow c"]]:
        """Returns one strided slice of the input per tap, in row-major order, with `fill` as the padding's value."""
        if self.pads != ((0, 0), (0, 0)):
            x = jnp.pad(x, ((0, 0), *self.pads, (0, 0)), constant_values=fill)
        batch, _, _, channels = x.shape
        (sh, sw), (oh, ow) = self.strides, self.outputs
        starts = [range(0, taps * step, step) for taps, step in zip(self.taps, self.dilation, strict=True)]
        return [
            lax.slice(
                x,
                (0, row, column, 0),
                (batch, row + (oh - 1) * sh + 1, column + (ow - 1) * sw + 1, channels),
                (1, sh, sw, 1),
            )
            for row in starts[0]
            for column in starts[1]
        ]

    def patches(self, x: Float[Array, "b h w c"]) -> Float[Array, "b oh ow n"]:
        """Returns the flattened pixels of each window; n = taps x channels."""
        (kh, kw), (sh, sw), (dh, dw) = self.taps, self.strides, self.dilation
        if x.shape[-1] <= _FEW and kh > 1 < kw:
            rows = x.shape[1] + sum(self.pads[0])
            across = Windows((1, kw), (1, sw), (1, dw), self.pads, (rows, self.outputs[1]))
            down = Windows((kh, 1), (sh, 1), (dh, 1), ((0, 0), (0, 0)), self.outputs)
            return down.patches(across.patches(x))
        slices = self.slices(x)
        return slices[0] if len(slices) == 1 else jnp.concatenate(slices, axis=-1)
