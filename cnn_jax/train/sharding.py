"""One mesh axis, `data`, over all devices: batches are split over it, and the state where the config says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cnn_jax.config import Train
from cnn_jax.train.step import TrainState

_LARGE = 2**14  # values of an array of the optimizer's that it pays to split
_LARGE_DENSE = 2**20  # weights of a dense layer that it pays to split


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh of all devices, or of others, which need not be here; on one device, of size 1."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def of_state(state: TrainState, mesh: Mesh, train: Train) -> TrainState:
    """Where each part of the training state lies.

    Args:
      state: of arrays, or of their shapes.
      mesh: of the devices.
      train: says whether the optimizer's state and large dense kernels are split; all else is on every device.

    Returns:
      The state with a sharding in place of each array. What is split is split along its last axis that the devices
      divide, the outputs of a kernel before its inputs.
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


def on_all(tree: Any, mesh: Mesh) -> Any:
    """Puts values that every process has on every device.

    Args:
      tree: of arrays, random keys among them; the same in all processes.
      mesh: of the devices.

    Returns:
      The tree, replicated.
    """
    where = replicated(mesh)
    return put(tree, jax.tree.map(lambda _: where, tree))


def put(tree: Any, shardings: Any) -> Any:
    """Puts values that every process has where they belong.

    Args:
      tree: of arrays, random keys among them; the same in all processes.
      shardings: one for each array.

    Returns:
      The tree, on the devices.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def one(leaf: Any, where: NamedSharding) -> jax.Array:
        # Only what is on the host can go to other processes' devices.
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(one(jax.random.key_data(leaf), where))
        return jax.device_put(np.asarray(leaf), where)

    return jax.tree.map(one, tree, shardings)


def readable(tree: Any) -> Any:
    """The tree with every array whole in every process; all processes call this together."""
    leaves = jax.tree.leaves(tree)
    if all(leaf.is_fully_addressable or leaf.is_fully_replicated for leaf in leaves):
        return tree
    mesh = next(leaf.sharding.mesh for leaf in leaves if not leaf.is_fully_replicated)
    return jax.jit(lambda same: same, out_shardings=replicated(mesh))(tree)


def one_batch(mesh: Mesh) -> NamedSharding:
    """[batch, ...] split along the batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def batches(mesh: Mesh) -> NamedSharding:
    """[steps, batch] split along the batch."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))
