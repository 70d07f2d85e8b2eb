"""Rules that convert JAX's elementwise primitives to ONNX nodes, as in `onnx_rules`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cnn_jax.export.onnx_values import Graph, Value, channels_first, constant, name_of, ordered, unflattened


def _elementwise(kind: str) -> Callable[..., Value]:
    def rule(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
        ranked = [value for value in inputs if value.shape == shape and value.constant is None]
        flat = next((value.flat for value in ranked if value.flat is not None), None)
        if flat is not None and any(value.flat != flat and math.prod(value.shape) > 1 for value in inputs):
            inputs = [unflattened(graph, value) for value in inputs]
            ranked, flat = [value for value in inputs if value.shape == shape and value.constant is None], None
        whole = [value for value in ranked if not value.broadcast] or ranked
        order = whole[0].order if whole else channels_first(len(shape))
        names, broadcast = [], set(range(len(shape)))
        for value in inputs:
            if value.shape == ():
                names.append(name_of(graph, value))
                continue
            placed = value if flat is not None and value.flat == flat else ordered(graph, value, order)
            names.append(name_of(graph, placed))
            broadcast &= placed.broadcast
        batched = any(value.batched for value in inputs)
        return Value(shape, batched, order, graph.node(kind, names), broadcast=frozenset(broadcast), flat=flat)

    return rule


def _composed(*kinds: str) -> Callable[..., Value]:
    """Returns the rule for a unary function that is a chain of ONNX operators."""

    def rule(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
        (value,) = inputs
        for kind in kinds:
            value = _elementwise(kind)(graph, [value], params, shape, dtype)
        return value

    return rule


def _integer_pow(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    exponent = constant(np.asarray(params["y"], np.float32))
    if params["y"] == 2:
        return _elementwise("Mul")(graph, [inputs[0], inputs[0]], params, shape, dtype)
    return _elementwise("Pow")(graph, [inputs[0], exponent], params, shape, dtype)


def _select(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    which, no, yes = inputs
    return _elementwise("Where")(graph, [which, yes, no], params, shape, dtype)


def _erfc(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    """Computes 1 - erf(x), since ONNX only has erf."""
    erf = _elementwise("Erf")(graph, inputs, params, shape, dtype)
    return _elementwise("Sub")(graph, [constant(np.asarray(1, np.float32)), erf], params, shape, dtype)


ELEMENTWISE: dict[str, Callable[..., Value]] = {
    **{
        name: _elementwise(kind)
        for name, kind in {
            "add": "Add",
            "add_any": "Add",
            "sub": "Sub",
            "mul": "Mul",
            "div": "Div",
            "max": "Max",
            "min": "Min",
            "pow": "Pow",
            "neg": "Neg",
            "abs": "Abs",
            "sign": "Sign",
            "exp": "Exp",
            "log": "Log",
            "sqrt": "Sqrt",
            "tanh": "Tanh",
            "erf": "Erf",
            "logistic": "Sigmoid",
            "floor": "Floor",
            "ceil": "Ceil",
            "gt": "Greater",
            "lt": "Less",
            "ge": "GreaterOrEqual",
            "le": "LessOrEqual",
            "eq": "Equal",
            "and": "And",
            "or": "Or",
            "not": "Not",
        }.items()
    },
    "rsqrt": _composed("Sqrt", "Reciprocal"),
    "square": lambda graph, inputs, *rest: _elementwise("Mul")(graph, [inputs[0], inputs[0]], *rest),
    "erfc": _erfc,
    "integer_pow": _integer_pow,
    "select_n": _select,
}
