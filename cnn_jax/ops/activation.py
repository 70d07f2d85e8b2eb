"""The rectified linear unit, whose gradient needs what comes out of it alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


@jax.custom_jvp
def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(x, 0), with the gradient 0 at 0.

    `jax.nn.relu` differentiates by the sign of x; this by that of the result, which the layer after it keeps anyway, so
    that a sum before it, as in a residual block, is not kept besides. Values and gradients are the same.

    Args:
      x: of any shape.

    Returns:
      An array of x's shape and type.
    """
    return jnp.maximum(x, 0)


@relu.defjvp
def _relu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y = relu(*primals)
    return y, lax.select(y > 0, tangents[0], jnp.zeros_like(tangents[0]))
