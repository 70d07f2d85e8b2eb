"""Strided convolution of few channels as an unstrided convolution over blocks of pixels (space to depth).

With stride s each s x s block of pixels becomes one pixel with s x s times as many channels, and the kernel, padded
with zeros to whole blocks, gets one tap per block: a 7x7 kernel of stride 2 on 3 channels becomes a 4x4 kernel on 12.
The sums only gain zeros. This suits matrix units, which process channels by the hundred.

Source: Ying et al., "Image classification at supercomputer scale", 2018, section 3 (input space-to-depth).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.windows import Windows


def conv(x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c o"], windows: Windows) -> Float[Array, "b oh ow o"]:
    """Convolves images with a strided kernel.

    Args:
      x: Images, channels last.
      kernel: Weights for all channels of x.
      windows: Windows of the convolution, undilated.

    Returns:
      Feature maps, [oh, ow] = windows.outputs.
    """
    strides = windows.strides
    taps = [-(-window // stride) for window, stride in zip(windows.taps, strides, strict=True)]
    blocks = [count + tap - 1 for count, tap in zip(windows.outputs, taps, strict=True)]
    edges = [
        (low, block * stride - low - size, 0)  # negative if no window reaches the last pixels
        for (low, _), block, stride, size in zip(windows.pads, blocks, strides, x.shape[1:3], strict=True)
    ]
    padded = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    maps = _depth(padded[..., None], blocks, strides)[..., 0]
    fill = [(0, tap * stride - window) for tap, stride, window in zip(taps, strides, windows.taps, strict=True)]
    weights = _depth(jnp.pad(kernel, (*fill, (0, 0), (0, 0)))[None], taps, strides)[0]
    return lax.conv_general_dilated(maps, weights, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _depth(x: Array, blocks: list[int], strides: tuple[int, int]) -> Array:
    """[b, rows x s, columns x t, c, o] -> [b, rows, columns, s x t x c, o]."""
    (rows, columns), (s, t) = blocks, strides
    batch, *_, channels, outputs = x.shape
    split = x.reshape(batch, rows, s, columns, t, channels, outputs).transpose(0, 1, 3, 2, 4, 5, 6)
    return split.reshape(batch, rows, columns, s * t * channels, outputs)
