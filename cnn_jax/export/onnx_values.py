"""Values of an ONNX graph under construction, and the order of their axes in the file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper, numpy_helper


class UnsupportedError(Exception):
    """A primitive, or a use of one, without a rule."""


@dataclasses.dataclass(frozen=True)
class Value:
    """A value of the graph.

    Attributes:
      shape: Shape in JAX; if `batched`, the first axis is the batch.
      batched: Whether the first axis is the batch, whose size is arbitrary.
      order: JAX's axis for each axis of the file's tensor.
      name: Name in the file; None for a constant that is not written yet.
      constant: Array of a constant, in JAX's order.
      broadcast: Axes with size 1 in the file that are broadcast in JAX.
      flat: (sizes, order) of the axes flattened into the last one: their sizes in JAX's order, and JAX's axis for each
        axis of the file; None if the file flattens them like JAX.
    """

    shape: tuple[int, ...]
    batched: bool
    order: tuple[int, ...]
    name: str | None = None
    constant: np.ndarray | None = None
    broadcast: frozenset[int] = frozenset()
    flat: tuple[tuple[int, ...], tuple[int, ...]] | None = None


class Graph:
    """Nodes and initializers, added by rules."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node; returns the name of its output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def array(self, array: np.ndarray) -> str:
        """Adds a constant array; returns its name."""
        array = np.ascontiguousarray(array.astype(np.float32) if array.dtype.name == "bfloat16" else array)
        name = f"constant_{len(self.initializers)}"
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Adds a list of integers, such as a shape or axes."""
        return self.array(np.asarray(values, np.int64))


def constant(array: np.ndarray) -> Value:
    """Creates a value from a constant array."""
    return Value(array.shape, False, tuple(range(array.ndim)), constant=array)


def channels_first(rank: int) -> tuple[int, ...]:
    """Returns the order of axes of feature maps in a file: batch, channels, then the others."""
    return (0, rank - 1, *range(1, rank - 1)) if rank > 2 else tuple(range(rank))


def name_of(graph: Graph, value: Value) -> str:
    """Returns the name of a value in the file; a constant is written first."""
    if value.name is not None:
        return value.name
    assert value.constant is not None
    return graph.array(value.constant.transpose(value.order))


def ordered(graph: Graph, value: Value, order: tuple[int, ...]) -> Value:
    """Returns the value with its axes in another order in the file."""
    value = unflattened(graph, value)
    if value.order == order:
        return value
    if value.constant is not None:
        return dataclasses.replace(value, order=order)
    places = [value.order.index(axis) for axis in order]
    sizes = [1 if axis in value.broadcast else value.shape[axis] for axis in value.order]
    moving = [place for place in places if sizes[place] != 1 or (value.batched and value.order[place] == 0)]
    if moving == sorted(moving):  # moving axes of size 1 moves no data
        shape = [
            -1 if value.batched and axis == 0 else 1 if axis in value.broadcast else value.shape[axis] for axis in order
        ]
        name = graph.node("Reshape", [name_of(graph, value), graph.integers(shape)])
    else:
        name = graph.node("Transpose", [name_of(graph, value)], perm=places)
    return dataclasses.replace(value, order=order, name=name)


def in_order(graph: Graph, value: Value) -> Value:
    """Returns the value with its axes in JAX's order."""
    return ordered(graph, value, tuple(range(len(value.shape))))


def expanded(graph: Graph, value: Value) -> Value:
    """Returns the value with its broadcast axes expanded."""
    if not value.broadcast:
        return value
    if value.batched and 0 in value.broadcast:
        raise UnsupportedError("a value that is spread over the batch by itself")
    sizes = [1 if value.batched and axis == 0 else value.shape[axis] for axis in value.order]
    name = graph.node("Expand", [name_of(graph, value), graph.integers(sizes)])
    return dataclasses.replace(value, name=name, broadcast=frozenset(), constant=None)


def unflattened(graph: Graph, value: Value) -> Value:
    """Returns the value with its flattened axis in JAX's order."""
    if value.flat is None:
        return value
    sizes, order = value.flat
    places = np.arange(math.prod(sizes)).reshape([sizes[axis] for axis in order])
    wanted = places.transpose([order.index(axis) for axis in range(len(sizes))]).ravel()
    name = graph.node("Gather", [name_of(graph, value), graph.integers(wanted.tolist())], axis=len(value.shape) - 1)
    return dataclasses.replace(value, name=name, flat=None)
