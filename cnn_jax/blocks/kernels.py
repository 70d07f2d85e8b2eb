"""Initial kernels: all of a network's from one draw, since a program that draws each by itself compiles for minutes.

The schemes are variance scaling: numbers of variance scale / fan, where the fan is a kernel's window times its input
channels, output channels, or the mean of both.

Sources: Glorot and Bengio, 2010; He et al., "Delving deep into rectifiers", 2015; LeCun et al., "Efficient backprop",
1998.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

_CUT = 2.0  # deviations at which normal numbers are cut off
_CUT_DEVIATION = 0.87962566103423978  # that is left of 1 by the cut


class Scheme(NamedTuple):
    """How kernels are drawn."""

    scale: float
    fan: Literal["in", "out", "mean"]
    numbers: Literal["normal", "uniform"]


SCHEMES = {
    "glorot_uniform": Scheme(1.0, "mean", "uniform"),
    "glorot_normal": Scheme(1.0, "mean", "normal"),
    "he_uniform": Scheme(2.0, "in", "uniform"),
    "he_normal": Scheme(2.0, "in", "normal"),
    "he_fan_out": Scheme(2.0, "out", "normal"),
    "lecun_normal": Scheme(1.0, "in", "normal"),
}


@dataclasses.dataclass
class Draws:
    """Standard numbers that kernels take one after the other; without any, they are only counted."""

    numbers: Array | None = None
    taken: int = 0

    def take(self, count: int) -> Array:
        """The next numbers."""
        first, self.taken = self.taken, self.taken + count
        return jnp.zeros(count) if self.numbers is None else self.numbers[first : self.taken]


_draws: contextvars.ContextVar[Draws | None] = contextvars.ContextVar("kernel_draws", default=None)


@contextlib.contextmanager
def drawing(draws: Draws) -> Iterator[Draws]:
    """Inside the `with`, kernels are made of these numbers."""
    token = _draws.set(draws)
    try:
        yield draws
    finally:
        _draws.reset(token)


def standard_numbers(name: str, key: PRNGKeyArray, count: int) -> Float[Array, " n"]:
    """Draws what a scheme's kernels are made of, of variance 1.

    Args:
      name: a key of SCHEMES.
      key: for the draw.
      count: how many.

    Returns:
      Normal numbers cut off at two deviations, or uniform ones.
    """
    if SCHEMES[name].numbers == "uniform":
        return math.sqrt(3) * jax.random.uniform(key, (count,), minval=-1.0)
    return jax.random.truncated_normal(key, -_CUT, _CUT, (count,)) / _CUT_DEVIATION


def kernel_init(name: str) -> Callable[[PRNGKeyArray, tuple[int, ...]], Array]:
    """The initializer of a scheme, as Flax takes it; outside of `drawing` it gives zeros, of which Flax asks the shape.

    Args:
      name: a key of SCHEMES.

    Returns:
      A function of a key, which is not used, and a shape [..., inputs, outputs].
    """
    scheme = SCHEMES[name]

    def draw(_: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
        window = math.prod(shape[:-2])
        fans = {"in": window * shape[-2], "out": window * shape[-1], "mean": window * (shape[-2] + shape[-1]) / 2}
        draws = _draws.get() or Draws()
        return math.sqrt(scheme.scale / fans[scheme.fan]) * draws.take(math.prod(shape)).reshape(shape)

    return draw
