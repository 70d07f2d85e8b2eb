"""ReLU with a gradient computed from its output, and its alternative backward passes for visualization."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

ReluBackward = Literal["gradient", "deconvnet", "guided"]
RELU_BACKWARDS: tuple[ReluBackward, ...] = get_args(ReluBackward)


@dataclasses.dataclass
class ReluCalls:
    """Counts the calls of `relu` traced inside `relu_backward`.

    Attributes:
      backward: The backward pass that these calls use.
      count: Number of calls.
    """

    backward: ReluBackward
    count: int = 0


_relu_calls: contextvars.ContextVar[ReluCalls | None] = contextvars.ContextVar("relu_calls", default=None)


@contextlib.contextmanager
def relu_backward(backward: ReluBackward) -> Iterator[ReluCalls]:
    """Sets the backward pass of every `relu` traced inside the `with` block.

    The cotangent g of max(x, 0) is propagated

    - by "gradient" where x > 0;
    - by "deconvnet" where g > 0 (Zeiler and Fergus, 2014, section 2.1: ReLU is applied to the backward signal);
    - by "guided" where both hold (Springenberg et al., "Striving for Simplicity", 2015, figure 1).

    The deconvnet's transposed filters and max pooling switches need no counterpart: they equal the gradients of
    convolution and max pooling.

    Args:
      backward: One of RELU_BACKWARDS.

    Yields:
      A counter of the `relu` calls traced so far.

    Raises:
      ValueError: If `backward` is not one of RELU_BACKWARDS.
    """
    if backward not in RELU_BACKWARDS:
        raise ValueError(f"backward={backward!r}: expected one of {', '.join(RELU_BACKWARDS)}")
    calls = ReluCalls(backward)
    token = _relu_calls.set(calls)
    try:
        yield calls
    finally:
        _relu_calls.reset(token)


def has_relu_backward() -> bool:
    """Returns whether `relu_backward` is active, so that fused functions must call `relu` itself."""
    return _relu_calls.get() is not None


def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Computes max(x, 0); the gradient at 0 is 0 unless `relu_backward` sets another backward pass.

    `jax.nn.relu` keeps x for its gradient; this function keeps the output, which the next layer stores anyway. A
    residual block's sum therefore needs no memory of its own. Values and gradients are the same.

    Args:
      x: Array of any shape.

    Returns:
      An array of x's shape and type.
    """
    calls = _relu_calls.get()
    if calls is None:
        return _relu(x)
    calls.count += 1
    if calls.backward == "gradient":
        return _relu(x)
    return _relu_deconvnet(x) if calls.backward == "deconvnet" else _relu_guided(x)


@jax.custom_jvp
def _relu(x: Array) -> Array:
    return jnp.maximum(x, 0)


@_relu.defjvp
def _relu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y = _relu(*primals)
    return y, lax.select(y > 0, tangents[0], jnp.zeros_like(tangents[0]))


@jax.custom_vjp
def _relu_deconvnet(x: Array) -> Array:
    return jnp.maximum(x, 0)


_relu_deconvnet.defvjp(
    lambda x: (jnp.maximum(x, 0), None),
    lambda _, cotangent: (jnp.maximum(cotangent, 0),),
)


@jax.custom_vjp
def _relu_guided(x: Array) -> Array:
    return jnp.maximum(x, 0)


_relu_guided.defvjp(
    lambda x: (y := jnp.maximum(x, 0), y),
    lambda y, cotangent: (jnp.where(y > 0, jnp.maximum(cotangent, 0), 0),),
)
