"""Networks in float64, which compute in float32 otherwise."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from unittest import mock

import jax
import jax.numpy as jnp

from cnn_jax.models import Model


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Lets what is written for float32 run in float64."""
    with mock.patch.object(jnp, "float32", jnp.float64), jax.enable_x64(True):
        yield


def in_double_precision(model: Model) -> Model:
    """A network whose layers work in float64, inside `double_precision`."""
    return Model(model.module.clone(policy=dataclasses.replace(model.module.policy, dtype="float64")))
