"""Checkpoints of a small state, which tests save and read."""

import jax.numpy as jnp

from cnn_jax.train import run_group
from cnn_jax.train.checkpoint import Checkpoints

TENSORSTORES_NOTE = " [tensorstore_spec='{}']"  # at the end of its messages


def state(number):
    return {
        "kernel": jnp.arange(4000.0).reshape(40, 100) + number,
        "bias": jnp.full(3, number),
        "step": jnp.int32(number),
    }


def saved(folder, steps, keep_last=2):
    checkpoints = Checkpoints(folder, keep_last)
    for step in steps:
        checkpoints.save(step, state(step))
    checkpoints.close()


def load_newest(checkpoints, like):
    """The newest whole checkpoint of one run; None where there is none."""
    found = run_group.load_newest_common([checkpoints], like)
    return None if found is None else found[1][0]


def kept(folder):
    return sorted(int(entry.name) for entry in folder.iterdir())
