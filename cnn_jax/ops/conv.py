"""Convolution (cross-correlation, as every network library has it) and how it is computed."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.padding import BORDER_MODES, IntPair, Padding, Pads, output_sizes, pair, resolve_padding

Lowering = Literal["auto", "xla", "patches"]


def conv2d(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw ci o"],
    *,
    strides: IntPair = 1,
    padding: Padding = "SAME",
    dilation: IntPair = 1,
    groups: int = 1,
    lowering: Lowering = "auto",
) -> Float[Array, "b oh ow o"]:
    """Slides a kernel over images: each output is the sum of products over the kernel's window.

    Args:
      x: images, channels last.
      kernel: weights, ci = c / groups.
      strides: pixels between windows, (height, width) or one number for both.
      padding: any dialect of `resolve_padding`.
      dilation: pixels between the kernel's taps.
      groups: channels are split in so many groups, each with its share of the outputs.
      lowering: "xla", "patches" (matrix products over shifted slices), or "auto": patches for an ungrouped
        convolution on CPU, where XLA's own is several times slower, and xla elsewhere.

    Returns:
      Feature maps; oh and ow by `output_sizes`.

    Raises:
      GeometryError: where the kernel exceeds its padded input.
      ValueError: where channels, groups or options do not fit.
    """
    steps, dilations = pair(strides, "strides"), pair(dilation, "dilation")
    kh, kw, channels, features = kernel.shape
    if x.shape[-1] != channels * groups:
        raise ValueError(
            f"input has {x.shape[-1]} channels, kernel {kernel.shape} with groups={groups} expects {channels * groups}"
        )
    if features % groups:
        raise ValueError(f"groups={groups} does not divide the kernel's {features} output features")
    size = (x.shape[1], x.shape[2])
    outputs = output_sizes(size, (kh, kw), steps, padding, dilations)
    pads = resolve_padding(padding, size, (kh, kw), steps, dilations)
    if padding in BORDER_MODES:
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode=BORDER_MODES[str(padding)])
        pads = ((0, 0), (0, 0))
    if lowering == "auto":
        lowering = "patches" if groups == 1 and jax.default_backend() == "cpu" else "xla"
    if lowering == "xla":
        return _conv_xla(x, kernel, steps, pads, dilations, groups)
    if lowering == "patches":
        if groups != 1:
            raise ValueError(f"lowering='patches' takes groups=1, got {groups}; use lowering='xla'")
        return _conv_patches(x, kernel, steps, pads, dilations, outputs)
    raise ValueError(f"lowering={lowering!r}: expected auto, xla or patches")


def _conv_xla(
    x: Array, kernel: Array, strides: tuple[int, int], pads: tuple[Pads, Pads], dilation: tuple[int, int], groups: int
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        pads,
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _conv_patches(
    x: Array,
    kernel: Array,
    strides: tuple[int, int],
    pads: tuple[Pads, Pads],
    dilation: tuple[int, int],
    outputs: tuple[int, int],
) -> Array:
    kh, kw, channels, features = kernel.shape
    taps = window_slices(x, (kh, kw), strides, pads, dilation, outputs)
    patches = taps[0] if len(taps) == 1 else jnp.concatenate(taps, axis=-1)
    return patches @ kernel.reshape(kh * kw * channels, features)


def window_slices(
    x: Float[Array, "b h w c"],
    window: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[Pads, Pads],
    dilation: tuple[int, int],
    outputs: tuple[int, int],
    fill: float = 0.0,
) -> list[Float[Array, "b oh ow c"]]:
    """What each tap of a moving window sees: one strided slice of the padded input per tap.

    Args:
      x: images, channels last.
      window: taps, (height, width); strides, dilation likewise.
      strides: pixels between windows.
      pads: ((top, bottom), (left, right)).
      dilation: pixels between taps.
      outputs: windows along (height, width).
      fill: value of the padding.

    Returns:
      height x width slices, row by row.
    """
    if pads != ((0, 0), (0, 0)):
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    batch, _, _, channels = x.shape
    (sh, sw), (oh, ow) = strides, outputs
    slices = []
    for row in range(0, window[0] * dilation[0], dilation[0]):
        for column in range(0, window[1] * dilation[1], dilation[1]):
            end = (batch, row + (oh - 1) * sh + 1, column + (ow - 1) * sw + 1, channels)
            slices.append(lax.slice(x, (0, row, column, 0), end, (1, sh, sw, 1)))
    return slices
