"""Batch norm and max pooling in the other order: the norm on a fourth of the values, and no maps between them.

The largest of some values is the same before and after a function that never falls. Batch norm with a scale of zero or
more is one, for each channel; where the scale is negative, it is one of the negated channel. An activation that never
falls may follow.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.norm import batch_norm, batch_statistics
from cnn_jax.ops.padding import IntPair, Padding
from cnn_jax.ops.pool import max_pool


def batch_norm_max_pool_train(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    window: IntPair,
    *,
    strides: IntPair | None = None,
    padding: Padding = "VALID",
    ceil_mode: bool = False,
    near: Float[Array, " c"] | None = None,
    eps: float = 1e-5,
    parts: int = 1,
) -> tuple[Float[Array, "b oh ow c"], Float[Array, " c"], Float[Array, " c"]]:
    """`max_pool` of `batch_norm_train`, with the statistics of all pixels.

    Args:
      x: feature maps, channels last.
      scale, bias, near, eps, parts: as `batch_norm_train` takes them.
      window, strides, padding, ceil_mode: as `max_pool` takes them.

    Returns:
      (pooled feature maps of x's type, mean, biased variance), as the two have them. A gradient goes to the first
      of values that differ before the norm and no longer after it, by rounding, only where it is the largest before.

    Raises:
      GeometryError, ValueError: as the two.
    """
    if parts < 1 or len(x) % parts:
        raise ValueError(f"parts={parts} does not divide a batch of {len(x)}")
    signs = lax.stop_gradient(jnp.where(scale < 0, -1.0, 1.0))
    turned = x * signs.astype(x.dtype)
    pooled = max_pool(turned, window, strides=strides, padding=padding, ceil_mode=ceil_mode)

    def normalise(of_part: Array, pooled_part: Array) -> tuple[Array, Array, Array]:
        with jax.named_scope("normalisation"):
            mean, variance = batch_statistics(of_part, None if near is None else near * signs)
        return batch_norm(pooled_part, jnp.abs(scale), bias, mean, variance, eps=eps), mean, variance

    if parts == 1:
        y, mean, variance = normalise(turned, pooled)
    else:
        y, *statistics = jax.vmap(normalise)(*(each.reshape(parts, -1, *each.shape[1:]) for each in (turned, pooled)))
        y = y.reshape(pooled.shape)
        mean, variance = (jnp.mean(each, axis=0) for each in statistics)
    return y, lax.stop_gradient(mean * signs), lax.stop_gradient(variance)
