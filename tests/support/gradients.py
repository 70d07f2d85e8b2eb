"""Outputs and gradients as one program: JAX compiles a program for every single operation elsewhere."""

from collections.abc import Callable
from typing import Any

import jax


def pull_back(function: Callable[..., Any], cotangent: Any, *arrays: Any) -> tuple[Any, tuple[Any, ...]]:
    """Computes `function(*arrays)` and pulls `cotangent` back through it.

    Args:
      function: Differentiable function of the arrays.
      cotangent: Cotangent of its output, or a function that gives it for the output.
      arrays: Arguments.

    Returns:
      The output, and the gradient with respect to each argument.
    """

    @jax.jit
    def both(*arrays: Any) -> tuple[Any, tuple[Any, ...]]:
        output, back = jax.vjp(function, *arrays)
        return output, back(cotangent(output) if callable(cotangent) else cotangent)

    return both(*arrays)
