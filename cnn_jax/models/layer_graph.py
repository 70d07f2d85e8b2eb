"""Extracts a network's graph of layers and activations from its jaxpr."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.blocks.flax_layers import emitting_flax_layers
from cnn_jax.layer_rows import IMAGE, LayerRow, trace_layers


@dataclasses.dataclass(frozen=True)
class LayerNode:
    """A layer or activation of a network.

    Attributes:
      name: Name of its output in `Model.apply_with_layers`.
      kind: Kind of the layer's row, or "activation".
      inputs: Indices of the nodes that it reads, in argument order; -1 is the image.
      shape: Shape of its output without the batch axis.
      row: Row of the layer; None for an activation.
      function: Name of the activation function; None for a layer.
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    row: LayerRow | None = None
    function: str | None = None


def trace_graph(
    apply: Callable[[Any, jax.Array], Any], variables: Any, image_shape: tuple[int, int, int], names: Collection[str]
) -> tuple[LayerNode, ...]:
    """Traces the graph of a network in evaluation.

    An edge connects two layers if one's output reaches the other without passing through a third, so operations
    between layers need no node.

    Args:
      apply: Maps (variables, images) to the logits.
      variables: Variables, or their shapes.
      image_shape: (height, width, channels) of an image in pixels.
      names: Names of the layers and of the activations.

    Returns:
      The nodes in the order of computation; the last one's output is the logits.

    Raises:
      ValueError: If the logits are not the output of the last layer.
    """
    kinds: dict[str, str] = {}
    rows: dict[str, LayerRow] = {}
    order: list[str] = []

    def outputs(variables: Any, images: jax.Array) -> Any:
        with trace_layers(names) as trace, emitting_flax_layers():
            logits = apply(variables, images)
        kinds.update(trace.activation_kinds)
        rows.update({row.name: row for row in trace.rows})
        order.extend(trace.outputs)
        return logits, list(trace.outputs.values())

    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    jaxpr = jax.make_jaxpr(outputs)(variables, images).jaxpr
    logits, *values = jaxpr.outvars
    producers = {id(variable): equation for equation in jaxpr.eqns for variable in equation.outvars}
    known = {id(jaxpr.invars[-1]): IMAGE}

    def sources(variable: Any) -> list[int]:
        found: list[int] = []
        stack, visited = [variable], set()
        while stack:
            each = stack.pop()
            if id(each) in visited:
                continue
            visited.add(id(each))
            if id(each) in known:
                found.append(known[id(each)])
            elif id(each) in producers:
                stack += reversed(producers[id(each)].invars)
        return found

    nodes = []
    for number, (name, value) in enumerate(zip(order, values, strict=True)):
        row = rows.get(name)
        kind = row.kind if row else "activation"
        inputs = tuple(sources(value))
        nodes.append(LayerNode(name, kind, inputs, tuple(value.aval.shape[1:]), row, kinds.get(name)))
        known[id(value)] = number
    if id(logits) not in known or known[id(logits)] != len(nodes) - 1:
        raise ValueError(f"the logits are not the output of the last layer, {order[-1] if order else 'of none'}")
    return tuple(nodes)
