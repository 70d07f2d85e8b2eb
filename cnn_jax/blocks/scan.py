"""Runs consecutive equal blocks as one `lax.scan`, so that deep networks compile as fast as shallow ones."""

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
    """Returns whether blocks may run as a loop: not during initialization, nor while layers are recorded."""
    return not owner.is_initializing() and not is_tracing()


def scan_blocks(
    owner: nn.Module, block: nn.Module, names: Sequence[str], x: Float[Array, "b h w c"], train: bool
) -> Float[Array, "b h w c"]:
    """Runs blocks as a loop over their variables.

    The owner stores each block's variables under its name, as without the loop; only the loop stacks them.

    Args:
      owner: Module whose `__call__` calls this function.
      block: Unbound module equal to each of the blocks; its output has its input's shape and type.
      names: Names of the blocks in the owner, in order.
      x: Input of the first block.
      train: Passed to the blocks.

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
