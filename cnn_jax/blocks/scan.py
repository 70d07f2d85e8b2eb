"""Equal blocks in a row as one loop, so that a deep network's program is as small as a shallow one's."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layer_rows import is_tracing


def can_scan(owner: nn.Module) -> bool:
    """Tells whether blocks can run as a loop: not while weights are initialized, nor while layers are recorded."""
    return not owner.is_initializing() and not is_tracing()


def scan_blocks(
    owner: nn.Module, block: nn.Module, names: Sequence[str], x: Float[Array, "b h w c"], train: bool
) -> Float[Array, "b h w c"]:
    """Runs blocks one after another as a loop over their variables.

    The variables lie in the owner under the blocks' names, as if each ran by itself; they are stacked for the loop
    alone.

    Args:
      owner: Module in whose `__call__` this is.
      block: Block without a parent, equal to each of the blocks; its output has its input's shape and type.
      names: Names of the blocks in the owner, in their order.
      x: Input of the first block.
      train: Argument of the blocks.

    Returns:
      Output of the last block.
    """
    kinds = owner.variables.items()
    variables = [{kind: of_kind[name] for kind, of_kind in kinds if name in of_kind} for name in names]
    keys = jax.random.split(owner.make_rng("dropout"), len(names)) if owner.has_rng("dropout") else None

    def run(x: Array, one: Any) -> tuple[Array, Any]:
        variables, key = one
        rngs = {} if key is None else {"dropout": key}
        y, updates = block.apply(variables, x, train, rngs=rngs, mutable=["batch_stats"])
        return y, updates.get("batch_stats", {})

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *variables)
    x, batch_stats = jax.lax.scan(run, x, (stacked, keys))
    if batch_stats and owner.is_mutable_collection("batch_stats"):
        for number, name in enumerate(names):
            owner.put_variable("batch_stats", name, jax.tree.map(operator.itemgetter(number), batch_stats))
    return x
