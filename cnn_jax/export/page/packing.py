"""Packs the layers and weights of a network for the scripts of the live page."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnn_jax.blocks.dense import initial_prototypes
from cnn_jax.config.parsing import ConfigError
from cnn_jax.models import LayerNode, Variables
from cnn_jax.models.lenet5 import full_kernel

KINDS = frozenset(
    {"conv", "max_pool", "avg_pool", "min_pool", "adaptive_avg_pool", "global_avg_pool", "batch_norm", "group_norm"}
    | {"layer_norm", "lrn", "pad", "crop", "scale", "add", "multiply", "concat", "flatten", "dense", "rbf"}
    | {"dropout", "activation"}
)
"""Kinds of layers that the page's scripts compute."""
_NORMS = ("batch_norm", "group_norm", "layer_norm")


def narrowed(array: np.ndarray) -> np.ndarray:
    """Rounds an array to the dtype used by the page.

    Args:
      array: Parameters of a layer.

    Returns:
      float16 for kernels and dense weights; float32 for arrays with one value per channel, such as variances, and for
      values beyond float16's range.
    """
    wide = np.asarray(array, np.float32)
    if wide.ndim < 2 or np.abs(wide).max(initial=0) > np.finfo(np.float16).max:
        return wide
    return wide.astype(np.float16)


def pack(nodes: tuple[LayerNode, ...], variables: Variables) -> tuple[list[dict[str, Any]], str]:
    """Describes layers for the page.

    Args:
      nodes: Layers and activations of a network.
      variables: Its variables.

    Returns:
      (description of each node, with its arrays by name as (dtype, shape, offset in bytes, count); base64 of all
      arrays).

    Raises:
      ConfigError: For a kind of layer that the page does not compute.
    """
    foreign = sorted({node.kind for node in nodes} - KINDS)
    if foreign:
        raise ConfigError(
            [f"--format=page: it does not compute layers of the kind {', '.join(foreign)}; --format=onnx writes them"]
        )
    # Flax's own norms do not give eps in their row, and name their statistics differently.
    unsaid = [node.name for node in nodes if node.kind in _NORMS and node.row and "eps" not in dict(node.row.settings)]
    if unsaid:
        fix = "build them of cnn_jax.blocks.Norm, or use --format=onnx"
        raise ConfigError([f"--format=page: the settings of the norms {', '.join(unsaid)} are not known; {fix}"])
    chunks: list[bytes] = []
    described = [_describe(node, dict(_arrays(node, variables)), chunks) for node in nodes]
    return described, base64.b64encode(b"".join(chunks)).decode()


def _describe(node: LayerNode, arrays: dict[str, np.ndarray], chunks: list[bytes]) -> dict[str, Any]:
    placed = {}
    for name, array in arrays.items():
        small = np.ascontiguousarray(narrowed(array))
        placed[name] = {
            "type": small.dtype.name,
            "shape": small.shape,
            "offset": sum(map(len, chunks)),
            "count": small.size,
        }
        content = small.astype(small.dtype.newbyteorder("<")).tobytes()
        chunks.append(content + bytes(-len(content) % 4))
    row = node.row
    described: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind,
        "inputs": node.inputs,
        "shape": _as_map(node.shape),
        "arrays": placed,
    }
    if node.function:
        described["function"] = node.function
    if row is None:
        return described
    described["settings"] = dict(row.settings)
    if row.window is not None:
        moves = {"window": row.window, "strides": row.strides, "dilation": row.dilation, "groups": row.groups}
        described |= moves | {"padding": row.padding if row.padding is not None else row.pads}
    return described


def _as_map(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if len(shape) == 3 else (1, 1, *shape)


def _arrays(node: LayerNode, variables: Variables) -> Iterator[tuple[str, np.ndarray]]:
    """Returns the arrays of a layer by their names in the page."""
    if node.row is None:
        return
    for collection in ("params", "batch_stats"):
        group = functools.reduce(lambda at, key: at.get(key, {}), node.name.split("/"), variables.get(collection, {}))
        for name, array in group.items():
            if isinstance(array, dict):
                continue
            values = np.asarray(array)
            yield name, full_kernel(values) if node.kind == "conv" and values.ndim == 3 else values
    if node.kind == "rbf":
        kind = dict(node.row.settings)["prototypes"]
        if kind != "learned":
            yield "prototypes", initial_prototypes(kind, (node.shape[0], node.row.input_shape[0]))
