"""Batch norm as a factor and a summand for each channel, which costs GPU programs the least traffic to memory.

With m the mean, f = 1 / std, n the pixels and g the gradient of the output, the norm and its gradient are

    y = a x + b,            a = scale f,                  b = bias - a m
    to_x = a g + c x + d,   c = -a f to_scale / n,        d = -c m - a to_bias / n

so that what writes maps reads few arrays beside them, and XLA fuses it with its neighbours. Of a batch in parts every
image is summed by itself first, and the statistics are repeated for each image: the maps keep their four dimensions.
With the parts as a fifth dimension XLA fuses less.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def batch_norm_train(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    shift: Float[Array, " c"] | None,
    eps: float,
    parts: int,
) -> tuple[Float[Array, "b h w c"], Float[Array, " c"], Float[Array, " c"]]:
    """Normalises by the statistics of the batch, or of each part of it.

    Args:
      x: Feature maps, channels last.
      scale, bias: Learned.
      shift: Values close to the means; None takes the first pixel of each channel.
      eps: Keeps the root from zero.
      parts: Number of equal parts of neighbouring images; it divides the batch.

    Returns:
      (feature maps of x's type, mean, biased variance; of several parts the means of theirs).
    """
    return _forward(x, scale, bias, shift, eps, parts)[0]


def _forward(
    x: Array, scale: Array, bias: Array, shift: Array | None, eps: float, parts: int
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    wide, pixels = x.astype(jnp.float32), x.size // x.shape[-1] // parts
    start = wide[0, 0, 0] if shift is None else shift
    moved, squares = (each / pixels for each in _sums(parts, wide - start, jnp.square(wide - start)))
    mean, variance = start + moved, jnp.maximum(squares - jnp.square(moved), 0.0)
    factor = lax.rsqrt(variance + eps)
    slope = scale * factor
    y = wide * _to_images(slope, x) + _to_images(bias - slope * mean, x)
    saved = (x, scale, mean, factor)
    if parts > 1:
        mean, variance = jnp.mean(mean, axis=0), jnp.mean(variance, axis=0)
    return (y.astype(x.dtype), mean, variance), saved


def _backward(
    eps: float, parts: int, saved: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array | None, ...]:
    x, scale, mean, factor = saved
    cotangent, wide = gradients[0].astype(jnp.float32), x.astype(jnp.float32)
    pixels = x.size // x.shape[-1] // parts
    to_bias, products = _sums(parts, cotangent, cotangent * (wide - _to_images(mean, x)))
    to_scale, slope = factor * products, scale * factor
    fall = slope * factor * to_scale / pixels
    level = fall * mean - slope * to_bias / pixels
    to_x = _to_images(slope, x) * cotangent - _to_images(fall, x) * wide + _to_images(level, x)
    if parts > 1:
        to_scale, to_bias = jnp.sum(to_scale, axis=0), jnp.sum(to_bias, axis=0)
    return to_x.astype(x.dtype), to_scale, to_bias, None


batch_norm_train.defvjp(_forward, _backward)


def _sums(parts: int, *maps: Float[Array, "b h w c"]) -> list[Array]:
    """Sums maps over all pixels of each channel: [c], or [parts, c] of several parts."""
    if parts == 1:
        return [jnp.sum(each, axis=(0, 1, 2)) for each in maps]
    images = [jnp.sum(each, axis=(1, 2)) for each in maps]
    # Behind the barrier the sums of several parts are not gathered from the maps once more.
    return lax.optimization_barrier([jnp.sum(each.reshape(parts, -1, each.shape[-1]), axis=1) for each in images])


def _to_images(statistic: Array, x: Float[Array, "b h w c"]) -> Array:
    """Repeats the parts' statistics [parts, c] for their images, [b, 1, 1, c]; those of a whole batch stay [c]."""
    if statistic.ndim == 1:
        return statistic
    return jnp.repeat(statistic, len(x) // len(statistic), axis=0)[:, None, None]
