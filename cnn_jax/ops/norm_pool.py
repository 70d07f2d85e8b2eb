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

from cnn_jax.ops.norm import batch_norm, batch_statistics, in_parts
from cnn_jax.ops.padding import IntPair, Padding
from cnn_jax.ops.pool import max_pool


# More than seven parameters: those of the two functions whose work it does.
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
    """`max_pool` of `batch_norm_train`, with the statistics of all pixels.

    Args:
      x: Feature maps, channels last.
      scale, bias, shift, eps, parts: As `batch_norm_train` takes them.
      window, strides, padding, ceil_mode: As `max_pool` takes them.

    Returns:
      (pooled feature maps of x's type, mean, biased variance), as the two have them. Where the norm rounds several
      of a window's values to one, the gradient goes to the largest before it, not to the first.

    Raises:
      GeometryError, ValueError: as the two.
    """
    signs = lax.stop_gradient(jnp.where(scale < 0, -1.0, 1.0))
    turned = x * signs.astype(x.dtype)
    pooled = max_pool(turned, window, strides=strides, padding=padding, ceil_mode=ceil_mode)

    def normalise(
        of_part: Array, pooled_part: Array, scale: Array, bias: Array, shift: Array | None
    ) -> tuple[Array, Array, Array]:
        with jax.named_scope("normalisation"):
            mean, variance = batch_statistics(of_part, shift)
        return batch_norm(pooled_part, scale, bias, mean, variance, eps=eps), mean, variance

    shared = (jnp.abs(scale), bias, None if shift is None else shift * signs)
    y, mean, variance = in_parts(normalise, parts, (turned, pooled), shared)
    return y, mean * signs, variance
