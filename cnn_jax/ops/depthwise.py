"""Depthwise convolution on CPUs as a sum of shifted maps, each times one weight per channel.

Each output channel reads one input channel, so a matrix product gains nothing. The output and both gradients are sums
that are elementwise over the channels, which XLA turns into vector loops over padded maps that are written once. They
keep only a few maps in memory; automatic differentiation would keep one for every tap.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.windows import Windows

_TERMS = 64  # products summed in one loop: more take longer to compile, fewer write more partial sums


def conv(x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw 1 o"], windows: Windows) -> Float[Array, "b oh ow o"]:
    """Convolves each channel with its own o / c kernels.

    Args:
      x: Feature maps; half-precision products are summed in float32.
      kernel: Weights; the kernels of one input channel are adjacent.
      windows: Geometry of the convolution.

    Returns:
      Feature maps of x's type.
    """
    multiplier = kernel.shape[-1] // x.shape[-1]
    if multiplier > 1:
        x = jnp.repeat(x, multiplier, axis=-1)
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    return _conv(x.astype(dtype), kernel[:, :, 0].astype(dtype), windows).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x: Array, kernel: Array, windows: Windows) -> Array:
    taps = kernel.reshape(-1, kernel.shape[-1])
    unpadded = Windows(windows.taps, windows.strides, windows.dilation, ((0, 0), (0, 0)), windows.outputs)
    return _sum_of_products(unpadded.slices(_pad(x, windows.pads)), list(taps))


def _forward(x: Array, kernel: Array, windows: Windows) -> tuple[Array, tuple[Array, Array]]:
    return _conv(x, kernel, windows), (x, kernel)


def _backward(windows: Windows, saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, kernel = saved
    cotangent = lax.optimization_barrier(cotangent)
    size = (x.shape[1], x.shape[2])
    return _input_gradient(cotangent, kernel, windows, size), _kernel_gradient(x, cotangent, windows)


_conv.defvjp(_forward, _backward)


def _input_gradient(cotangent: Array, kernel: Array, windows: Windows, size: tuple[int, int]) -> Array:
    """Computes the gradient of the images: each pixel gathers from the windows that read it.

    Pixels a stride apart are read through the same taps, so the result interleaves one grid per offset in a stride.
    """
    strides = windows.strides
    counts = [-(-pixels // stride) for pixels, stride in zip(size, strides, strict=True)]
    # For each axis and offset: the taps that read pixels of this offset, with the window that reads the first of them.
    readers = [
        [
            [
                (tap, (top + offset - tap * gap) // stride)
                for tap in range(taps)
                if (top + offset - tap * gap) % stride == 0
            ]
            for offset in range(stride)
        ]
        for taps, stride, gap, (top, _) in zip(windows.taps, strides, windows.dilation, windows.pads, strict=True)
    ]
    firsts = [[first for offset in axis for _, first in offset] for axis in readers]
    pads = [
        (max(0, -min(first)), max(0, max(first) + count - outputs))
        for first, count, outputs in zip(firsts, counts, windows.outputs, strict=True)
    ]
    padded = _pad(cotangent, pads)
    (top, _), (left, _) = pads
    shape = (cotangent.shape[0], *counts, cotangent.shape[-1])
    grids = []
    for rows, columns in itertools.product(*readers):
        pairs = list(itertools.product(rows, columns))
        slices = [
            padded[:, top + row :, left + column :][:, : counts[0], : counts[1]] for (_, row), (_, column) in pairs
        ]
        weights = [kernel[i, j] for (i, _), (j, _) in pairs]
        grids.append(_sum_of_products(slices, weights) if pairs else jnp.zeros(shape, cotangent.dtype))
    if len(grids) == 1:
        return grids[0]
    stacked = jnp.stack(grids, axis=3).reshape(*shape[:3], *strides, shape[3])
    pixels = jnp.swapaxes(stacked, 2, 3).reshape(shape[0], counts[0] * strides[0], counts[1] * strides[1], shape[3])
    return pixels[:, : size[0], : size[1]]


def _kernel_gradient(x: Array, cotangent: Array, windows: Windows) -> Array:
    """Computes the gradient of the kernel block by block, so that a block's pixels stay in the cache for all taps."""
    (kh, kw), (sh, sw), (dh, dw), (rows, columns) = windows.taps, windows.strides, windows.dilation, windows.outputs
    wide, across = _blocks(columns, _TERMS)
    # At least two blocks if there are two rows: XLA unrolls a loop of one and would then write each tap's pixels.
    high, down = _blocks(rows, min(_TERMS // wide, -(-rows // 2)))
    tall, broad = (high - 1) * sh + (kh - 1) * dh + 1, (wide - 1) * sw + (kw - 1) * dw + 1
    batch, height, width, channels = x.shape
    (top, bottom), (left, right) = windows.pads
    # Zeros fill the last blocks.
    last = (down - 1) * high * sh + tall, (across - 1) * wide * sw + broad
    bottom, right = max(bottom, last[0] - height - top), max(right, last[1] - width - left)
    padded = _pad(x, ((top, bottom), (left, right)))
    cotangent = _pad(cotangent, ((0, down * high - rows), (0, across * wide - columns)))

    def add_block(number: Array, total: Array) -> Array:
        row, column = number // across * high, number % across * wide
        pixels = lax.dynamic_slice(padded, (0, row * sh, column * sw, 0), (batch, tall, broad, channels))
        block = lax.dynamic_slice(cotangent, (0, row, column, 0), (batch, high, wide, channels))
        positions = list(itertools.product(range(high), range(wide)))
        inputs = [
            pixels[:, i * sh : i * sh + (kh - 1) * dh + 1 : dh, j * sw : j * sw + (kw - 1) * dw + 1 : dw]
            for i, j in positions
        ]
        return total + _sum_of_products(inputs, [block[:, i : i + 1, j : j + 1] for i, j in positions])

    start = jnp.zeros((batch, kh, kw, channels), x.dtype)
    total: Array = lax.fori_loop(0, down * across, add_block, start)
    return jnp.sum(total, axis=0)


def _blocks(count: int, limit: int) -> tuple[int, int]:
    """Returns (size, number) of equal blocks that cover `count` with the least excess, size in [limit / 2, limit]."""
    limit = max(1, min(count, limit))
    size = min(range(limit, (limit - 1) // 2, -1), key=lambda size: -(-count // size) * size)
    return size, -(-count // size)


def _sum_of_products(first: Sequence[Array], second: Sequence[Array]) -> Array:
    """Sums the products in one loop with four accumulators, so that additions need not wait for each other."""
    products = [one * other for one, other in zip(first, second, strict=True)]
    return functools.reduce(
        operator.add, (functools.reduce(operator.add, products[n::4]) for n in range(min(4, len(products))))
    )


def _pad(x: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """Pads and writes the maps; without the barrier every product would test whether it reads padding."""
    padded: Array = lax.optimization_barrier(jnp.pad(x, ((0, 0), *pads, (0, 0))))
    return padded
