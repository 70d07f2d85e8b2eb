"""Rules that convert JAX's primitives to ONNX nodes.

A rule takes the graph, a primitive's inputs and parameters, and its output's shape and dtype, and returns the output.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from cnn_jax.export.onnx_elementwise import ELEMENTWISE
from cnn_jax.export.onnx_values import (
    Graph,
    UnsupportedError,
    Value,
    channels_first,
    constant,
    expanded,
    in_order,
    name_of,
    ordered,
    unflattened,
)

_TYPES = {
    "float32": TensorProto.FLOAT,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "bfloat16": TensorProto.FLOAT,  # computed in float32, which every CPU supports
}


def _same(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    return inputs[0]


def _convert_type(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    (value,) = inputs
    return dataclasses.replace(value, name=graph.node("Cast", [name_of(graph, value)], to=_TYPES[np.dtype(dtype).name]))


def _broadcast(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    (value,) = inputs
    value = unflattened(graph, value)
    places = params["broadcast_dimensions"]
    sizes = [1] * len(shape)
    for axis, place in enumerate(places):
        sizes[place] = 1 if axis in value.broadcast else value.shape[axis]
    broadcast = frozenset(axis for axis, size in enumerate(sizes) if size == 1 and shape[axis] != 1)
    if value.constant is not None:
        array = value.constant.reshape(sizes)
        return (
            Value(shape, False, tuple(range(len(shape))), graph.array(array), broadcast=broadcast)
            if broadcast
            else constant(array)
        )
    batched = value.batched and len(places) > 0 and places[0] == 0
    order = _with_ones(tuple(places[axis] for axis in value.order), len(shape))
    written = [-1 if batched and axis == 0 else sizes[axis] for axis in order]
    name = graph.node("Reshape", [name_of(graph, value), graph.integers(written)])
    return Value(shape, batched, order, name, broadcast=broadcast)


def _with_ones(order: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Inserts the missing axes, which have size 1, after the axes that precede them."""
    found = list(order)
    for axis in range(rank):
        if axis not in found:
            found.insert(found.index(axis - 1) + 1 if axis - 1 in found else 0, axis)
    return tuple(found)


def _reshape(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    (value,) = inputs
    if shape == value.shape:
        return value
    value = expanded(graph, value)
    rank, last = len(value.shape), len(value.shape) - 1
    if value.batched and rank > 2 and len(shape) == 2 and shape[0] == value.shape[0] and value.order[0] == 0:
        # A flattened map keeps the file's order; the weights that read it are permuted instead.
        name = graph.node("Reshape", [name_of(graph, value), graph.integers([-1, shape[1]])])
        sizes, order = value.shape[1:], tuple(axis - 1 for axis in value.order[1:])
        moving = [axis for axis in order if sizes[axis] != 1]
        flat = None if moving == sorted(moving) else (sizes, order)
        return Value(shape, True, (0, 1), name, flat=flat)
    wide = [axis for axis, size in enumerate(value.shape) if size != 1]
    wanted = [axis for axis, size in enumerate(shape) if size != 1]
    if [value.shape[axis] for axis in wide] == [shape[axis] for axis in wanted]:  # only axes of size 1 change
        order = _with_ones(tuple(wanted[wide.index(axis)] for axis in value.order if axis in wide), len(shape))
    elif len(shape) == rank + 1 and shape[:last] == value.shape[:last] and value.batched:  # channels split into groups
        order = tuple(each for axis in value.order for each in ((last, last + 1) if axis == last else (axis,)))
    elif len(shape) == rank - 1 and shape[:-1] == value.shape[: rank - 2] and value.batched and _adjacent(value.order):
        order = tuple(min(axis, rank - 2) for axis in value.order if axis != last)
    else:
        value = in_order(graph, value)
        order = tuple(range(len(shape)))
        if value.batched and (not shape or shape[0] != value.shape[0]):
            raise UnsupportedError(f"a reshape of {value.shape} to {shape}, which mixes the batch")
    written = [-1 if value.batched and axis == 0 else shape[axis] for axis in order]
    return Value(shape, value.batched, order, graph.node("Reshape", [name_of(graph, value), graph.integers(written)]))


def _adjacent(order: tuple[int, ...]) -> bool:
    """Returns whether JAX's last two axes are adjacent in the file."""
    last = len(order) - 1
    return order.index(last) == order.index(last - 1) + 1


def _transpose(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    (value,) = inputs
    value = unflattened(graph, value)
    permutation = params["permutation"]
    if value.batched and permutation[0] != 0:
        raise UnsupportedError("a transposition that moves the batch")
    order = tuple(permutation.index(axis) for axis in value.order)
    return dataclasses.replace(
        value, shape=shape, order=order, broadcast=frozenset(permutation.index(axis) for axis in value.broadcast)
    )


def _squeeze(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    (value,) = inputs
    kept = [axis for axis in range(len(value.shape)) if axis not in params["dimensions"]]
    axes = sorted(value.order.index(axis) for axis in params["dimensions"])
    name = graph.node("Squeeze", [name_of(graph, value), graph.integers(axes)])
    order = tuple(kept.index(axis) for axis in value.order if axis in kept)
    return Value(
        shape, value.batched, order, name, broadcast=frozenset(kept.index(a) for a in value.broadcast if a in kept)
    )


def _reduce(kind: str) -> Callable[..., Value]:
    def rule(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
        (value,) = inputs
        value = expanded(graph, unflattened(graph, value))
        if value.batched and 0 in params["axes"]:
            raise UnsupportedError("a reduction over the batch")
        axes = [value.order.index(axis) for axis in params["axes"]]
        if kind == "ReduceSum":
            name = graph.node(kind, [name_of(graph, value), graph.integers(axes)], keepdims=0)
        else:
            name = graph.node(kind, [name_of(graph, value)], axes=axes, keepdims=0)
        kept = [axis for axis in range(len(value.shape)) if axis not in params["axes"]]
        return Value(shape, value.batched, tuple(kept.index(a) for a in value.order if a in kept), name)

    return rule


def _convolution(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    x, kernel = inputs
    numbers = params["dimension_numbers"]
    if numbers.lhs_spec != (0, 3, 1, 2) or numbers.rhs_spec != (3, 2, 0, 1) or numbers.out_spec != (0, 3, 1, 2):
        raise UnsupportedError(f"a convolution over {numbers}")
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise UnsupportedError("a transposed convolution")
    x = ordered(graph, expanded(graph, x), channels_first(4))
    weights = name_of(graph, ordered(graph, kernel, (3, 2, 0, 1)))
    (top, bottom), (left, right) = params["padding"]
    name = graph.node(
        "Conv",
        [name_of(graph, x), weights],
        kernel_shape=list(kernel.shape[:2]),
        strides=list(params["window_strides"]),
        pads=[top, left, bottom, right],
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )
    return Value(shape, True, channels_first(4), name)


def _max_pool(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    x = ordered(graph, expanded(graph, inputs[0]), channels_first(4))
    (top, bottom), (left, right) = params["padding"][1:3]
    name = graph.node(
        "MaxPool",
        [name_of(graph, x)],
        kernel_shape=list(params["window_dimensions"][1:3]),
        strides=list(params["window_strides"][1:3]),
        pads=[top, left, bottom, right],
        dilations=list(params["window_dilation"][1:3]),
    )
    return Value(shape, True, channels_first(4), name)


def _sum_pool(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    windows = params["window_dimensions"][1:3]
    if set(params["window_dilation"]) != {1} or set(params["base_dilation"]) != {1}:
        raise UnsupportedError("a dilated average")
    x = ordered(graph, expanded(graph, inputs[0]), channels_first(4))
    (top, bottom), (left, right) = params["padding"][1:3]
    name = graph.node(
        "AveragePool",
        [name_of(graph, x)],
        kernel_shape=list(windows),
        strides=list(params["window_strides"][1:3]),
        pads=[top, left, bottom, right],
        count_include_pad=1,
    )
    count = graph.array(np.asarray(math.prod(windows), np.float32))
    return Value(shape, True, channels_first(4), graph.node("Mul", [name, count]))


def _pad(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    value, filler = inputs
    if any(inner for _, _, inner in params["padding_config"]):
        raise UnsupportedError("padding between pixels")
    if not any(low or high for low, high, _ in params["padding_config"]):
        return value
    value = expanded(graph, unflattened(graph, value))
    pads = [params["padding_config"][axis] for axis in value.order]
    sides = [low for low, _, _ in pads] + [high for _, high, _ in pads]
    names = [name_of(graph, value), graph.integers(sides), name_of(graph, filler)]
    return dataclasses.replace(value, shape=shape, name=graph.node("Pad", names))


def _slice(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    (value,) = inputs
    value = expanded(graph, unflattened(graph, value))
    strides = params["strides"] or (1,) * len(shape)
    cut = [
        axis
        for axis, size in enumerate(value.shape)
        if (params["start_indices"][axis], params["limit_indices"][axis], strides[axis]) != (0, size, 1)
    ]
    if value.batched and 0 in cut:
        raise UnsupportedError("a part of the batch")
    if not cut:
        return value
    lists = (
        [params["start_indices"][axis] for axis in cut],
        [params["limit_indices"][axis] for axis in cut],
        [value.order.index(axis) for axis in cut],
        [strides[axis] for axis in cut],
    )
    name = graph.node("Slice", [name_of(graph, value), *map(graph.integers, lists)])
    return dataclasses.replace(value, shape=shape, name=name)


def _reverse(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    (value,) = inputs
    value = expanded(graph, unflattened(graph, value))
    axes = [value.order.index(axis) for axis in params["dimensions"]]
    count = len(axes)
    lists = ([-1] * count, [-(2**31)] * count, axes, [-1] * count)
    return dataclasses.replace(value, name=graph.node("Slice", [name_of(graph, value), *map(graph.integers, lists)]))


def _concatenate(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    inputs = [value for value in inputs if 0 not in value.shape]
    if len(inputs) == 1:
        return inputs[0]
    if params["dimension"] == 0 and any(value.batched for value in inputs):
        raise UnsupportedError("batches one after another")
    inputs = [expanded(graph, unflattened(graph, value)) for value in inputs]
    order = max((value for value in inputs if value.constant is None), key=lambda value: math.prod(value.shape)).order
    names = [name_of(graph, ordered(graph, value, order)) for value in inputs]
    name = graph.node("Concat", names, axis=order.index(params["dimension"]))
    return Value(shape, any(value.batched for value in inputs), order, name)


def _dot(graph: Graph, inputs: list[Value], params: Any, shape: tuple[int, ...], dtype: Any) -> Value:
    left, right = inputs
    contracting, batching = params["dimension_numbers"]
    dense = contracting == ((len(left.shape) - 1,), (0,)) and not batching[0] and len(right.shape) == 2
    if dense and len(left.shape) == 2 and right.constant is not None:
        weights = right.constant
        if left.flat is not None:
            sizes, order = left.flat
            weights = weights.reshape(*sizes, -1).transpose(*order, len(sizes)).reshape(weights.shape)
            left = dataclasses.replace(left, flat=None)
        return Value(shape, True, (0, 1), graph.node("MatMul", [name_of(graph, left), graph.array(weights)]))
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left, right = (expanded(graph, unflattened(graph, value)) for value in (left, right))
    left_axes = [next(letters) for _ in left.shape]
    right_axes = [next(letters) for _ in right.shape]
    for mine, theirs in zip((*contracting[0], *batching[0]), (*contracting[1], *batching[1]), strict=True):
        right_axes[theirs] = left_axes[mine]
    result = [left_axes[axis] for axis in batching[0]]
    result += [a for axis, a in enumerate(left_axes) if axis not in (*contracting[0], *batching[0])]
    result += [a for axis, a in enumerate(right_axes) if axis not in (*contracting[1], *batching[1])]
    terms = ["".join(axes[axis] for axis in value.order) for axes, value in ((left_axes, left), (right_axes, right))]
    name = graph.node(
        "Einsum", [name_of(graph, left), name_of(graph, right)], equation=f"{','.join(terms)}->{''.join(result)}"
    )
    if not ((left.batched and result[0] == left_axes[0]) or (right.batched and result[0] == right_axes[0])):
        raise UnsupportedError("a product whose batch is not its first axis")
    return Value(shape, True, tuple(range(len(shape))), name)


RULES: dict[str, Callable[..., Value]] = {
    **ELEMENTWISE,
    "stop_gradient": _same,
    "copy": _same,
    "optimization_barrier": _same,
    "reduce_precision": _same,
    "convert_element_type": _convert_type,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "conv_general_dilated": _convolution,
    "reduce_window_max": _max_pool,
    "reduce_window_sum": _sum_pool,
    "pad": _pad,
    "slice": _slice,
    "rev": _reverse,
    "concatenate": _concatenate,
    "dot_general": _dot,
}
