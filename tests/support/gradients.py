"""Outputs and gradients as one program: JAX compiles a program for every single operation elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from cnn_jax.models import Model

applied = jax.jit(Model.apply, static_argnums=(0, 3))
"""`Model.apply` of a model, variables, images, whether it is for training, and a key."""


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
