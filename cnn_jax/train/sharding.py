"""One mesh axis, `data`, over all devices: batches are split over it, everything else is on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh of all devices, or of others, which need not be here; on one device, of size 1."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def on_all(tree: Any, mesh: Mesh) -> Any:
    """Puts values that every process has on every device.

    Args:
      tree: of arrays, random keys among them; the same in all processes.
      mesh: of the devices.

    Returns:
      The tree, replicated.
    """
    where = replicated(mesh)
    if jax.process_count() == 1:
        return jax.device_put(tree, where)

    def put(leaf: Any) -> jax.Array:
        # Only what is on the host can go to other processes' devices.
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)))
        return jax.device_put(np.asarray(leaf), where)

    return jax.tree.map(put, tree)


def one_batch(mesh: Mesh) -> NamedSharding:
    """[batch, ...] split along the batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def batches(mesh: Mesh) -> NamedSharding:
    """[steps, batch] split along the batch."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))


def whole_batch(batch_size: int, devices: int) -> int:
    """The least batch of at least this size that the devices share evenly."""
    return -(-batch_size // devices) * devices


def indivisible(batch_size: int, devices: int) -> str | None:
    """Says why a batch cannot be shared evenly by the devices; None where it can."""
    if batch_size % devices == 0:
        return None
    above = whole_batch(batch_size, devices)
    nearest = " or ".join(str(size) for size in (above - devices, above) if size)
    return f"config.train.batch_size={batch_size} does not divide over {devices} devices; the nearest are {nearest}"
