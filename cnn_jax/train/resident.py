"""Training and measuring on images that lie on the devices: many steps in one call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int32, PRNGKeyArray

from cnn_jax.data import pipeline
from cnn_jax.data.pipeline import DeviceSplit
from cnn_jax.data.split import Split
from cnn_jax.train import compilation, sharding, steps
from cnn_jax.train.metrics import Sums
from cnn_jax.train.state import TrainState
from cnn_jax.train.training import Training


class TrainSteps:
    """`training.Advance` by `steps.train_steps`."""

    def __init__(self, training: Training, split: Split, mesh: jax.sharding.Mesh):
        """Compiles.

        Args:
          training: what the steps work with.
          split: its images.
          mesh: of the devices.
        """
        recipe, state, self._key = training.recipe, training.state, training.step_key
        self._order = epoch_orders(recipe, len(split), training.order_key, sharding.batches(mesh))
        self._before = (on_devices(split, mesh), training.constants, training.colours)
        arguments = (state, *self._before, self._order(0), training.rates, np.int32(0), np.int32(0), self._key)
        with sharding.working_on(mesh):
            self._compiled = compilation.compile_once(
                ("train", recipe.compiled_in),
                functools.partial(advance, recipe),
                arguments,
                donate_argnums=0,
                out_shardings=(sharding.of_state(state, mesh, recipe.experiment.train), sharding.replicated(mesh)),
            )

    def __call__(
        self, state: TrainState, epoch: int, rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """As `training.Advance` has it."""
        bounds = np.int32(first), np.int32(last)
        result: tuple[TrainState, tuple[Sums, Sums]] = self._compiled(
            state, *self._before, self._order(epoch), rates, *bounds, self._key
        )
        return result

    def text(self) -> str:
        """The compiled program, as XLA writes it."""
        return self._compiled.as_text() or ""

    def close(self) -> None:
        """Nothing is read ahead."""


def epoch_orders(
    recipe: steps.Recipe, examples: int, key: PRNGKeyArray, where: jax.sharding.Sharding
) -> Callable[[int], Int32[Array, "steps b"]]:
    """Compiles the drawing of an epoch's batches.

    Args:
      recipe: for the size of a batch.
      examples: how many there are.
      key: the experiment's, for the order.
      where: the batches are put.

    Returns:
      A function of the epoch; the last order is kept, for all the epoch's calls.
    """
    size = recipe.experiment.train.batch_size
    draw = functools.partial(pipeline.epoch_order, examples=examples, batch_size=size)
    orders = compilation.compile_once(("order", examples, size), draw, (key,), out_shardings=where)
    return functools.lru_cache(maxsize=1)(lambda epoch: orders(jax.random.fold_in(key, epoch)))


def advance(recipe: steps.Recipe, state: TrainState, *rest: Any) -> tuple[TrainState, tuple[Sums, Sums]]:
    """`steps.train_steps`, and its sums a second time, as `training.Advance` has them."""
    state = steps.train_steps(recipe, state, *rest)
    return state, (state.epoch_sums, state.window_sums)


def evaluation(
    recipe: steps.Recipe, state: TrainState, split: Split, constants: pipeline.Normalization, mesh: jax.sharding.Mesh
) -> Callable[[Any], Sums]:
    """Compiles `steps.evaluate`; arguments and result are those of `programs.evaluation`."""
    data = on_devices(split, mesh)
    size = sharding.whole_batch(min(recipe.experiment.train.eval_batch_size, len(split)), mesh.size)
    order = jax.device_put(pipeline.file_order(len(split), size), sharding.batches(mesh))
    compiled = compilation.compile_once(
        ("evaluate", recipe.compiled_in),
        functools.partial(steps.evaluate, recipe),
        (state.variables, data, constants, order),
        out_shardings=sharding.replicated(mesh),
    )
    return lambda variables: compiled(variables, data, constants, order)


def on_devices(split: Split, mesh: jax.sharding.Mesh) -> DeviceSplit:
    """Puts a split on every device."""
    everywhere: DeviceSplit = sharding.on_all(DeviceSplit(jnp.asarray(split.images), jnp.asarray(split.labels)), mesh)
    return everywhere
