"""Fused 1x1 convolution and batch norm, without the intermediate feature maps.

The output z = W x of a 1x1 convolution has the mean W m and the variance diag(W C W'), where m and C are the mean and
the covariance of the channels of x. One pass over x therefore gives the statistics of z, and batch norm changes only
the weights and bias of the convolution: z itself is never written. The backward pass reads x, the gradient g of the
output and two small matrices. With n pixels, A = scale / std and z' = (z - mean) / std,

    M = x' g                                the gradient of the weights if the statistics were constant
    to_bias = sum g,  to_scale = sum g z'   to_scale follows from M
    to_z = A (g - (to_bias + z' to_scale) / n)
    to_W = x' to_z,  to_x = to_z W'         to_W follows from M and C; to_x is g (A W)' plus x times a matrix

This is faster where memory bandwidth is the limit and x has fewer channels than z: in the last convolution of a
bottleneck and in projections.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.norm import in_parts
from cnn_jax.ops.padding import IntPair, pair

_EXACT = lax.Precision.HIGHEST


@jax.named_scope("normalisation")
def pointwise_batch_norm_train(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "c o"],
    scale: Float[Array, " o"],
    bias: Float[Array, " o"],
    *,
    strides: IntPair = 1,
    eps: float = 1e-5,
    parts: int = 1,
) -> tuple[Float[Array, "b oh ow o"], Float[Array, " o"], Float[Array, " o"]]:
    """Computes `batch_norm_train` of a 1x1 convolution; its gradient stores only the pixels that it reads.

    Args:
      x: Feature maps, channels last.
      kernel: Weights, in x's type.
      scale, bias: Learned parameters of the norm.
      strides: Strides of the convolution.
      eps: Added to the variance for numerical stability.
      parts: As for `batch_norm_train`.

    Returns:
      (feature maps of x's type, mean, biased variance), as from `batch_norm_train`. The variance is the difference
      E[x x'] - E[x] E[x]', which keeps three digits in float32 if the mean of x is 100 times its standard deviation.

    Raises:
      ValueError: If parts does not divide the batch.
    """
    strides, size = pair(strides, "strides"), (x.shape[1], x.shape[2])
    return in_parts(lambda *arrays: _pointwise(*arrays, eps, strides, size), parts, (x,), (kernel, scale, bias))


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _pointwise(
    x: Array, kernel: Array, scale: Array, bias: Array, eps: float, strides: tuple[int, int], size: tuple[int, int]
) -> tuple[Array, Array, Array]:
    return _pointwise_forward(x, kernel, scale, bias, eps, strides, size)[0]


def _pointwise_forward(
    x: Array, kernel: Array, scale: Array, bias: Array, eps: float, strides: tuple[int, int], size: tuple[int, int]
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    if strides != (1, 1):
        # Without the barriers every reader of the strided pixels, even a preceding activation, would visit all pixels.
        x = lax.optimization_barrier(lax.optimization_barrier(x)[:, :: strides[0], :: strides[1]])
    pixels, weights = x.size // x.shape[-1], kernel.astype(jnp.float32)
    middle = jnp.mean(x, axis=(0, 1, 2), dtype=jnp.float32)
    covariance = _over_pixels(x, x) / pixels - jnp.outer(middle, middle)
    spread = jnp.matmul(covariance, weights, precision=_EXACT)
    mean = jnp.matmul(middle, weights, precision=_EXACT)
    variance = jnp.maximum(jnp.sum(weights * spread, axis=0), 0.0)
    factor = lax.rsqrt(variance + eps)
    scaled = (weights * (scale * factor)).astype(x.dtype)
    # Subtracts the mean that the rounded weights give, so that the output's mean is the bias.
    shift = bias - jnp.matmul(middle, scaled.astype(jnp.float32), precision=_EXACT)
    y = (_convolve(x, scaled).astype(jnp.float32) + shift).astype(x.dtype)
    return (y, mean, variance), (x, kernel, scale, middle, spread, mean, factor)


def _pointwise_backward(
    eps: float,
    strides: tuple[int, int],
    size: tuple[int, int],
    saved: tuple[Array, ...],
    gradients: tuple[Array, ...],
) -> tuple[Array, ...]:
    x, kernel, scale, middle, spread, mean, factor = saved
    cotangent, pixels, weights = gradients[0], x.size // x.shape[-1], kernel.astype(jnp.float32)
    products = _over_pixels(x, cotangent)
    to_bias = jnp.sum(cotangent, axis=(0, 1, 2), dtype=jnp.float32)
    to_scale = factor * (jnp.sum(weights * products, axis=0) - mean * to_bias)
    slope = scale * factor
    to_kernel = slope * (products - jnp.outer(middle, to_bias) - spread * (factor * to_scale))
    # to_z is slope * cotangent - decay * z + offset in each channel of z.
    decay = slope * factor * to_scale / pixels
    offset = mean * decay - slope * to_bias / pixels
    decays = jnp.matmul(weights * decay, weights.T, precision=_EXACT)
    to_x = _convolve(cotangent, (weights * slope).T.astype(x.dtype)).astype(jnp.float32)
    to_x = to_x - _convolve(x, decays.astype(x.dtype)) + jnp.matmul(weights, offset, precision=_EXACT)
    to_x = to_x.astype(x.dtype)
    if strides != (1, 1):
        pads = [
            (0, n - 1 - stride * (count - 1), stride - 1)
            for n, count, stride in zip(size, x.shape[1:3], strides, strict=True)
        ]
        to_x = lax.pad(to_x, jnp.zeros((), to_x.dtype), ((0, 0, 0), *pads, (0, 0, 0)))
    return to_x, to_kernel.astype(kernel.dtype), to_scale, to_bias


_pointwise.defvjp(_pointwise_forward, _pointwise_backward)


def _convolve(x: Array, matrix: Array) -> Array:
    return lax.conv_general_dilated(x, matrix[None, None], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _over_pixels(x: Array, y: Array) -> Array:
    """Contracts x and y over images and positions, in float32: [c, d] for c channels of x and d of y."""
    axes = (0, 1, 2)
    return lax.dot_general(
        x,
        y,
        ((axes, axes), ((), ())),
        precision=_EXACT if x.dtype == jnp.float32 else None,
        preferred_element_type=jnp.float32,
    )
