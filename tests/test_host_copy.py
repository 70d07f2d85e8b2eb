"""Copies of a state in memory that is used again."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.host_copy import HostCopy


def leaves(number):
    return {
        "kernel": np.full((3, 4), number, np.float32),
        "half": jnp.full((2,), number, jnp.bfloat16),
        "step": jnp.int32(number),
        "none": np.zeros((0, 4), np.float32),
    }


@pytest.mark.parametrize("reserved", [False, True])
def test_copies_follow_one_another_in_the_same_memory(reserved):
    host_copy = HostCopy()
    if reserved:
        host_copy.reserve(leaves(0))
    first = dict(host_copy.copy(leaves(1)))
    assert {name: np.unique(array).tolist() for name, array in first.items()} == {
        "kernel": [1],
        "half": [1],
        "step": [1],
        "none": [],
    }
    assert {name: array.dtype for name, array in first.items()} == {n: leaf.dtype for n, leaf in leaves(0).items()}
    second = host_copy.copy(leaves(2))
    assert all(second[name] is array for name, array in first.items())
    assert (second["kernel"] == 2).all()
    assert int(second["step"]) == 2


def test_a_copy_does_not_follow_what_it_was_made_from():
    given, host_copy = leaves(1), HostCopy()
    copied = host_copy.copy(given)
    given["kernel"] += 1
    assert (copied["kernel"] == 1).all()


@pytest.mark.parametrize("other", [np.zeros((4, 3), np.float32), np.zeros((3, 4), np.int32)])
def test_arrays_of_another_kind_get_memory_of_their_own(other):
    host_copy = HostCopy()
    host_copy.reserve(leaves(0))
    copied = host_copy.copy(leaves(1) | {"kernel": other})
    assert (copied["kernel"].shape, copied["kernel"].dtype) == (other.shape, other.dtype)
    assert (copied["kernel"] == 0).all()
