"""The rectified linear unit, whose gradient needs what comes out of it alone, and its other backward passes."""

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
class Rectifiers:
    """The rectifiers that ran inside `relu_backward`.

    Attributes:
      backward: Their backward pass.
      count: How many ran.
    """

    backward: ReluBackward
    count: int = 0


_rectifiers: contextvars.ContextVar[Rectifiers | None] = contextvars.ContextVar("rectifiers", default=None)


@contextlib.contextmanager
def relu_backward(backward: ReluBackward) -> Iterator[Rectifiers]:
    """Sets the backward pass of every `relu` that is traced inside the `with`.

    A cotangent g that arrives at max(x, 0) is passed on

    - by "gradient" where x > 0;
    - by "deconvnet" where g > 0 (Zeiler and Fergus, 2014, section 2.1: the rectifier is applied to the signal that
      comes back);
    - by "guided" where both hold (Springenberg et al., "Striving for Simplicity", 2015, figure 1).

    Transposed filters and the switches of max pooling are what gradients of convolution and max pooling are already.

    Args:
      backward: One of RELU_BACKWARDS.

    Yields:
      The rectifiers that ran, counted as they are traced.

    Raises:
      ValueError: For another word.
    """
    if backward not in RELU_BACKWARDS:
        raise ValueError(f"backward={backward!r}: expected one of {', '.join(RELU_BACKWARDS)}")
    rectifiers = Rectifiers(backward)
    token = _rectifiers.set(rectifiers)
    try:
        yield rectifiers
    finally:
        _rectifiers.reset(token)


def has_relu_backward() -> bool:
    """Tells whether a backward pass is set, so that functions with a `relu` inside must call it as such."""
    return _rectifiers.get() is not None


def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(x, 0), with the gradient 0 at 0, or with the backward pass that `relu_backward` sets.

    `jax.nn.relu` differentiates by the sign of x; this by that of the result, which the layer after it keeps anyway, so
    that a sum before it, as in a residual block, is not kept besides. Values and gradients are the same.

    Args:
      x: Array of any shape.

    Returns:
      An array of x's shape and type.
    """
    rectifiers = _rectifiers.get()
    if rectifiers is None:
        return _relu(x)
    rectifiers.count += 1
    if rectifiers.backward == "gradient":
        return _relu(x)
    return _relu_deconvnet(x) if rectifiers.backward == "deconvnet" else _relu_guided(x)


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
