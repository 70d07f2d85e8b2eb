"""A 1x1 convolution and batch norm in one, without the maps between them.

The maps z = W x of a 1x1 convolution have the mean W m and the variance diag(W C W'), where m and C are the mean and
the covariance of the channels of x. So a pass over x gives the statistics of z, and batch norm becomes another matrix
and bias for the same convolution: z itself is never written. The gradients need x and the gradient of the output y, and
two small matrices: with g that gradient, n the pixels, A = scale / std, z' = (z - mean) / std and

    M = x' g                                the gradient of the weights, were the norm a constant
    to_bias = sum g,  to_scale = sum g z'   the second from M
    to_z = A (g - (to_bias + z' to_scale) / n)
    to_W = x' to_z,  to_x = to_z W'         the first from M and C; the second is g (A W)' and x times a matrix

It pays where memory is the bound and x has fewer channels than z: for bottlenecks' last convolutions and projections.
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
    """`batch_norm_train` of a 1x1 convolution; its gradient keeps the pixels that it reads, and no other maps.

    Args:
      x: Feature maps, channels last.
      kernel: Weights, in x's type.
      scale, bias: Learned, of the norm.
      strides: Strides of the convolution.
      eps: Keeps the root from zero.
      parts: As `batch_norm_train` takes them.

    Returns:
      (feature maps of x's type, mean, biased variance) as `batch_norm_train` has them. The variance is a difference,
      E[x x'] - E[x] E[x]': where the mean of x exceeds its standard deviation by 100 times, float32 keeps three digits.

    Raises:
      ValueError: where parts does not divide the batch.
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
        # Taken out once: without the barriers every reader goes through all pixels, before an activation too.
        x = lax.optimization_barrier(lax.optimization_barrier(x)[:, :: strides[0], :: strides[1]])
    pixels, weights = x.size // x.shape[-1], kernel.astype(jnp.float32)
    middle = jnp.mean(x, axis=(0, 1, 2), dtype=jnp.float32)
    covariance = _over_pixels(x, x) / pixels - jnp.outer(middle, middle)
    spread = jnp.matmul(covariance, weights, precision=_EXACT)
    mean = jnp.matmul(middle, weights, precision=_EXACT)
    variance = jnp.maximum(jnp.sum(weights * spread, axis=0), 0.0)
    factor = lax.rsqrt(variance + eps)
    scaled = (weights * (scale * factor)).astype(x.dtype)
    # The mean of what the rounded weights give, so that the output's mean is the bias.
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
    # to_z is slope * cotangent - fall * z + level in each channel of z.
    fall = slope * factor * to_scale / pixels
    level = mean * fall - slope * to_bias / pixels
    falling = jnp.matmul(weights * fall, weights.T, precision=_EXACT)
    to_x = _convolve(cotangent, (weights * slope).T.astype(x.dtype)).astype(jnp.float32)
    to_x = to_x - _convolve(x, falling.astype(x.dtype)) + jnp.matmul(weights, level, precision=_EXACT)
    to_x = to_x.astype(x.dtype)
    if strides != (1, 1):
        rests = [
            (0, n - 1 - stride * (count - 1), stride - 1)
            for n, count, stride in zip(size, x.shape[1:3], strides, strict=True)
        ]
        to_x = lax.pad(to_x, jnp.zeros((), to_x.dtype), ((0, 0, 0), *rests, (0, 0, 0)))
    return to_x, to_kernel.astype(kernel.dtype), to_scale, to_bias


_pointwise.defvjp(_pointwise_forward, _pointwise_backward)


def _convolve(x: Array, matrix: Array) -> Array:
    """A 1x1 convolution."""
    return lax.conv_general_dilated(x, matrix[None, None], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _over_pixels(x: Array, y: Array) -> Array:
    """The products of the channels of x with those of y, summed over all images and places, in float32."""
    axes = (0, 1, 2)
    return lax.dot_general(
        x,
        y,
        ((axes, axes), ((), ())),
        precision=_EXACT if x.dtype == jnp.float32 else None,
        preferred_element_type=jnp.float32,
    )
