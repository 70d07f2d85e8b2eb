"""Kernel initializers by variance scaling.

A scheme draws numbers of variance scale / fan, where the fan is the kernel's window times its input channels, its
output channels, or the mean of both. `kernel_init` is the ordinary initializer. A program that draws each kernel of a
deep network separately takes minutes to compile, so `Model.init` slices all kernels from a single draw.

Sources: Glorot and Bengio, 2010; He et al., "Delving deep into rectifiers", 2015; LeCun et al., "Efficient backprop",
1998.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

_CUT = 2.0  # normal numbers are truncated at this many standard deviations
_CUT_STD = 0.87962566103423978  # standard deviation after truncation


class Scheme(NamedTuple):
    """Distribution of initial kernels with variance scale / fan, or `scale` if the fan is "none"."""

    scale: float
    fan: Literal["in", "out", "mean", "none"]
    numbers: Literal["normal", "uniform"]


SCHEMES = {
    "glorot_uniform": Scheme(1.0, "mean", "uniform"),
    "glorot_normal": Scheme(1.0, "mean", "normal"),
    "he_uniform": Scheme(2.0, "in", "uniform"),
    "he_normal": Scheme(2.0, "in", "normal"),
    "he_fan_out": Scheme(2.0, "out", "normal"),
    "lecun_normal": Scheme(1.0, "in", "normal"),
    "normal_0.01": Scheme(1e-4, "none", "normal"),
}


class KernelSpec(NamedTuple):
    """Shape [..., inputs, outputs] of a kernel and its scheme, a key of SCHEMES."""

    shape: tuple[int, ...]
    scheme: str

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def std(self) -> float:
        """Standard deviation of the weights."""
        window, (inputs, outputs) = math.prod(self.shape[:-2]), self.shape[-2:]
        fans = {"in": window * inputs, "out": window * outputs, "mean": window * (inputs + outputs) / 2, "none": 1}
        scheme = SCHEMES[self.scheme]
        return math.sqrt(scheme.scale / fans[scheme.fan])


def standard_numbers(scheme: str, key: PRNGKeyArray, count: int) -> Float[Array, " n"]:
    """Draws random numbers of variance 1 from a scheme's distribution.

    Args:
      scheme: A key of SCHEMES.
      key: Random key.
      count: Number of draws.

    Returns:
      Normal numbers truncated at two standard deviations, or uniform numbers.
    """
    if SCHEMES[scheme].numbers == "uniform":
        return math.sqrt(3) * jax.random.uniform(key, (count,), minval=-1.0)
    return jax.random.truncated_normal(key, -_CUT, _CUT, (count,)) / _CUT_STD


def kernel_init(scheme: str) -> Callable[[PRNGKeyArray, tuple[int, ...]], Array]:
    """Returns the Flax initializer of a scheme.

    Args:
      scheme: A key of SCHEMES.

    Returns:
      A function of a random key and a shape [..., inputs, outputs] that draws a float32 kernel.
    """

    def draw(key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
        spec = KernelSpec(shape, scheme)
        return spec.std * standard_numbers(scheme, key, spec.size).reshape(shape)

    return draw


def split_kernels(numbers: Float[Array, " n"], specs: Sequence[KernelSpec]) -> list[Array]:
    """Splits one draw into kernels.

    Args:
      numbers: Random numbers of variance 1, one per weight.
      specs: Kernels in the order in which they take their numbers.

    Returns:
      One float32 kernel per spec.
    """
    if not specs:
        return []
    pieces = jnp.split(numbers, np.cumsum([spec.size for spec in specs])[:-1])
    return [spec.std * piece.reshape(spec.shape) for piece, spec in zip(pieces, specs, strict=True)]


class KernelModule(nn.Module):
    """A module that initializes its kernels by `initial_kernel`."""

    def initial_kernel(self, key: PRNGKeyArray, shape: tuple[int, ...], scheme: str) -> Array:
        """Draws a kernel, unless `initial_kernels_from` supplies it.

        Args:
          key: Random key.
          shape: Shape [..., inputs, outputs] of the kernel.
          scheme: A key of SCHEMES.

        Returns:
          A float32 kernel.
        """
        return kernel_init(scheme)(key, shape)


@contextlib.contextmanager
def initial_kernels_from(make: Callable[[KernelSpec], Array]) -> Iterator[None]:
    """Replaces `KernelModule.initial_kernel` for modules initialized inside the `with` block.

    Args:
      make: Returns the kernel of a spec; called in the order in which modules create their kernels.
    """

    def intercept(
        next_method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        if context.method_name != "initial_kernel" or not isinstance(context.module, KernelModule):
            return next_method(*args, **kwargs)
        _, shape, scheme = args
        return make(KernelSpec(shape, scheme))

    with nn.intercept_methods(intercept):
        yield
