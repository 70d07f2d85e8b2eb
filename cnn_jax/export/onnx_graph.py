"""Conversion of a jaxpr to ONNX, with one rule for each primitive that the networks use.

Feature maps are channels-last in JAX and channels-first in ONNX. No transposes are inserted: every value records the
order of its axes in the file, and rules write axes accordingly. Broadcast values stay small, since ONNX broadcasts too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend import core as jax_core

from cnn_jax.export.onnx_rules import RULES
from cnn_jax.export.onnx_values import Graph, UnsupportedError, Value, constant, in_order, name_of


def convert(closed: Any, image_name: str) -> tuple[Graph, str]:
    """Converts a traced function of one batch of images.

    Args:
      closed: Closed jaxpr of the function, traced at any batch size; the graph accepts every batch size.
      image_name: Name of the graph's input.

    Returns:
      (graph, name of the output, whose axes are in JAX's order).

    Raises:
      UnsupportedError: For a primitive without a rule.
    """
    graph = Graph()
    (image,) = closed.jaxpr.invars
    shape = tuple(image.aval.shape)
    (output,) = _run(graph, closed.jaxpr, closed.consts, [Value(shape, True, tuple(range(len(shape))), image_name)])
    return graph, name_of(graph, in_order(graph, output))


def _run(graph: Graph, jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Value]) -> list[Value]:
    known: dict[Any, Value] = {}

    def read(variable: Any) -> Value:
        if 0 in variable.aval.shape:
            return constant(np.zeros(variable.aval.shape, variable.aval.dtype))
        return constant(np.asarray(variable.val)) if isinstance(variable, jax_core.Literal) else known[variable]

    for variable, const in zip(jaxpr.constvars, consts, strict=True):
        known[variable] = constant(np.asarray(const))
    known.update(zip(jaxpr.invars, arguments, strict=True))
    for equation in _needed_equations(jaxpr):
        inputs = [read(variable) for variable in equation.invars]
        outputs = _apply(graph, equation, inputs)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _needed_equations(jaxpr: Any) -> list[Any]:
    """Returns the equations that the outputs depend on; empty arrays depend on nothing."""
    wanted, needed = set(map(id, jaxpr.outvars)), []
    for equation in reversed(jaxpr.eqns):
        if any(id(variable) in wanted for variable in equation.outvars):
            needed.append(equation)
            wanted |= {id(variable) for variable in equation.invars if 0 not in variable.aval.shape}
    return needed[::-1]


def _apply(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    name, params = equation.primitive.name, equation.params
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if key in params:
            inner = params[key]
            closed = inner if hasattr(inner, "consts") else jax_core.ClosedJaxpr(inner, ())
            return _run(graph, closed.jaxpr, closed.consts, inputs)
    if all(value.constant is not None for value in inputs):
        found = equation.primitive.bind(*[value.constant for value in inputs], **params)
        return [constant(np.asarray(each)) for each in (found if equation.primitive.multiple_results else [found])]
    if name not in RULES:
        raise UnsupportedError(f"the operation {name} has no counterpart in ONNX here")
    (outcome,) = equation.outvars
    return [RULES[name](graph, inputs, params, tuple(outcome.aval.shape), outcome.aval.dtype)]
