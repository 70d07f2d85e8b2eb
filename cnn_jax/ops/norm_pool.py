"""Batch norm and max pooling in swapped order, so that the norm reads only the pooled values.

A nondecreasing function commutes with the maximum. Batch norm of a channel is nondecreasing if its scale is at least
0; if the scale is negative, it is a nondecreasing function of the negated channel. Any nondecreasing activation may
follow.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.norm import batch_norm, batch_statistics, in_parts
from cnn_jax.ops.padding import IntPair, Padding
from cnn_jax.ops.pool import max_pool


# More than seven parameters: those of `batch_norm_train` and `max_pool`.
def batch_norm_max_pool_train(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    window: IntPair,
    *,
    strides: IntPair | None = None,
    padding: Padding = "VALID",
    ceil_mode: bool = False,
    shift: Float[Array, " c"] | None = None,
    eps: float = 1e-5,
    parts: int = 1,
) -> tuple[Float[Array, "b oh ow c"], Float[Array, " c"], Float[Array, " c"]]:
    """Computes `max_pool` of `batch_norm_train`, with the statistics of all pixels.

    Args:
      x: Feature maps, channels last.
      scale, bias, shift, eps, parts: As for `batch_norm_train`.
      window, strides, padding, ceil_mode: As for `max_pool`.

    Returns:
      (pooled feature maps of x's type, mean, biased variance). If the norm rounds several values of a window to the
      same number, the gradient goes to the largest input rather than to the first.

    Raises:
      GeometryError, ValueError: As `max_pool` and `batch_norm_train`.
    """
    signs = lax.stop_gradient(jnp.where(scale < 0, -1.0, 1.0))
    signed = x * signs.astype(x.dtype)
    pooled = max_pool(signed, window, strides=strides, padding=padding, ceil_mode=ceil_mode)

    def normalize(
        part: Array, pooled_part: Array, scale: Array, bias: Array, shift: Array | None
    ) -> tuple[Array, Array, Array]:
        with jax.named_scope("normalisation"):
            mean, variance = batch_statistics(part, shift)
        return batch_norm(pooled_part, scale, bias, mean, variance, eps=eps), mean, variance

    shared = (jnp.abs(scale), bias, None if shift is None else shift * signs)
    y, mean, variance = in_parts(normalize, parts, (signed, pooled), shared)
    return y, mean * signs, variance
