"""Computes the four convolution outputs of each 2x2 pooling window in one matrix product, for few input channels.

The four kernel windows are one pixel apart and together cover a patch of (kh + 1) x (kw + 1) pixels. A matrix that
holds the kernel at four offsets maps this patch to all four outputs. This takes up to 1.8 times the multiplications of
direct convolution but a quarter of the patches, which is faster for few channels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnn_jax.ops.windows import Windows

Grid = list[list[Array]]


def outputs(x: Array, kernel: Array) -> Grid:
    """Returns the outputs [b, h/2, w/2, features] at each of the 2x2 positions of a pooling window."""
    features = kernel.shape[-1]
    patches = lax.optimization_barrier(_windows(x, kernel).patches(x))
    y = lax.optimization_barrier(patches @ lax.optimization_barrier(_four_offsets(kernel)))
    return [[y[..., (2 * i + j) * features :][..., :features] for j in range(2)] for i in range(2)]


def gradients(x: Array, kernel: Array, gradient: Grid) -> tuple[Array, Array]:
    """Returns the gradients of images and kernel for the gradients of the `outputs`."""
    patches, spread = jax.vjp(_windows(x, kernel).patches, x)
    weights, fold = jax.vjp(_four_offsets, kernel)
    cotangents = jnp.stack([each for row in gradient for each in row], axis=-2)
    rows, cotangents = lax.optimization_barrier(
        (patches.reshape(-1, weights.shape[0]), cotangents.reshape(-1, weights.shape[1]))
    )
    to_weights = lax.dot_general(rows, cotangents, (((0,), (0,)), ((), ())))
    to_rows = lax.dot_general(cotangents, weights, (((1,), (1,)), ((), ())))
    return spread(lax.optimization_barrier(to_rows).reshape(patches.shape))[0], fold(to_weights)[0]


def _windows(x: Array, kernel: Array) -> Windows:
    kh, kw, _, _ = kernel.shape
    pooled = ((x.shape[1] - kh + 1) // 2, (x.shape[2] - kw + 1) // 2)
    return Windows((kh + 1, kw + 1), (2, 2), (1, 1), ((0, 0), (0, 0)), pooled)


def _four_offsets(kernel: Array) -> Array:
    """[kh, kw, c, o] -> [(kh + 1) (kw + 1) c, 4 o]."""
    shifted = [jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in range(2) for j in range(2)]
    return jnp.stack(shifted, axis=3).reshape(-1, 4 * kernel.shape[-1])
