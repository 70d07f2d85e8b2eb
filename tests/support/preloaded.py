"""All that training imports and builds once in a process: for one that forks itself. JAX has no devices yet."""

import importlib

import cnn_jax.cli.main
import cnn_jax.models.cnn
import cnn_jax.run.events
import cnn_jax.train.loop  # noqa: F401  as those above
from cnn_jax.config.parsing import parse

importlib.import_module("orbax.checkpoint.experimental.v1")
parse({})
