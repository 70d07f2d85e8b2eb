"""Checks that a layer table describes its network."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from cnn_jax.layer_rows import TWICE, LayerRow, LayerTableError


def check_rows(rows: Sequence[LayerRow], params: Mapping[str, Any]) -> None:
    """Checks that rows have distinct names and account for all parameters of a network.

    Args:
      rows: Rows of the network's layers.
      params: The network's parameters, or their shapes.

    Raises:
      LayerTableError: If two layers share a name, a module with parameters has no row, or a row's parameter count is
        not its module's; the message names every such layer.
    """
    owned: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = "/".join(str(key.key) for key in path[:-1])
        owned[name] = owned.get(name, 0) + math.prod(leaf.shape)
    counted = {row.name: row.parameters for row in rows}
    faults = [TWICE.format(name) for name, times in collections.Counter(row.name for row in rows).items() if times > 1]
    faults += [
        f"module {name or 'the network itself'} owns {count:,} parameters and has no row; end its __call__ with "
        "layer_rows.emit, or build it of cnn_jax.blocks or Flax's Conv, Dense and norms"
        for name, count in owned.items()
        if name not in counted
    ]
    faults += [
        f"layer {row.name} has a row of {row.parameters:,} parameters and owns {owned.get(row.name, 0):,}"
        for row in rows
        if row.parameters != owned.get(row.name, 0)
    ]
    total = sum(row.parameters for row in rows)
    if not faults and total != sum(owned.values()):
        faults = [f"the rows count {total:,} parameters and the network has {sum(owned.values()):,}"]
    if faults:
        raise LayerTableError("the layer table does not describe the network: " + "; ".join(faults))
