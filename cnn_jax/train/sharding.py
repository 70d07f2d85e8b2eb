"""Shardings of batches and of the training state over one mesh axis, `data`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cnn_jax.config import Train
from cnn_jax.train.step import TrainState

_LARGE = 2**14  # smallest size of an optimizer array worth sharding
_LARGE_DENSE = 2**20  # smallest size of a dense kernel worth sharding


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Creates the mesh of all devices, or of the given ones, which need not be attached."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that replicates an array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def of_state(state: TrainState, mesh: Mesh, train: Train) -> TrainState:
    """Returns the sharding of each array of a training state.

    Args:
      state: State of arrays, or of their shapes.
      mesh: Mesh of the devices.
      train: Config that says whether the optimizer's state and large dense kernels are sharded.

    Returns:
      A state of shardings. Arrays are sharded along the last axis that the number of devices divides, so a kernel's
      outputs before its inputs; all others are replicated.
    """

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        part, size = path[0].name, math.prod(leaf.shape)
        dense = train.shard_dense and part in ("params", "opt_state", "averaged") and leaf.ndim == 2
        optimizer = train.shard_optimizer and part == "opt_state"
        axes = [axis for axis in range(leaf.ndim) if leaf.shape[axis] % mesh.size == 0]
        if axes and size >= min([_LARGE_DENSE] * dense + [_LARGE] * optimizer, default=math.inf):
            return NamedSharding(mesh, PartitionSpec(*[None] * axes[-1], "data"))
        return replicated(mesh)

    shardings: TrainState = jax.tree_util.tree_map_with_path(place, state)
    return shardings


def put(tree: Any, shardings: Any) -> Any:
    """Puts arrays and random keys that are equal in all processes on the devices.

    Args:
      tree: Tree of arrays and random keys.
      shardings: Sharding of each array, or one for all.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def one(leaf: Any, where: NamedSharding) -> jax.Array:
        # Only host arrays can be put on other processes' devices.
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(one(jax.random.key_data(leaf), where))
        return jax.device_put(np.asarray(leaf), where)

    return jax.tree.map(one, tree, jax.tree.broadcast(shardings, tree))


def addressable(tree: Any) -> Any:
    """Replicates arrays that are not addressable as a whole in every process; all processes must call it."""
    leaves = jax.tree.leaves(tree)
    if all(leaf.is_fully_addressable or leaf.is_fully_replicated for leaf in leaves):
        return tree
    mesh = next(leaf.sharding.mesh for leaf in leaves if not leaf.is_fully_replicated)
    return jax.jit(lambda same: same, out_shardings=replicated(mesh))(tree)


def one_batch(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of [batch, ...] along the batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def batches(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of [steps, batch] along the batch."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))
