"""What a run calls on the devices, compiled: the first state, the steps of an epoch, the measuring of a split."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, PRNGKeyArray

from cnn_jax.data import pipeline
from cnn_jax.data.dataset import Split
from cnn_jax.data.pipeline import DeviceSplit
from cnn_jax.models import Variables
from cnn_jax.train import compilation, sharding, steps
from cnn_jax.train import state as train_state
from cnn_jax.train.metrics import Sums
from cnn_jax.train.state import TrainState

Advance = Callable[[TrainState, jax.Array, np.ndarray, int, int], tuple[TrainState, tuple[Sums, Sums]]]


@dataclasses.dataclass(frozen=True)
class TrainSteps:
    """`steps.train_steps`, compiled, with all arguments that stay the same.

    Attributes:
      compiled: the program.
      before, after: its arguments between the state and the order, and after the steps.
    """

    compiled: jax.stages.Compiled
    before: tuple[Any, ...]
    after: tuple[Any, ...]

    def __call__(
        self, state: TrainState, order: jax.Array, rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """Takes steps `first` to `last` (excluded) of an epoch; consumes the state."""
        result: tuple[TrainState, tuple[Sums, Sums]] = self.compiled(
            state, *self.before, order, rates, np.int32(first), np.int32(last), *self.after
        )
        return result

    def text(self) -> str:
        """The compiled program, as XLA writes it."""
        return self.compiled.as_text() or ""


def first_state(recipe: steps.Recipe, variables: Variables, mesh: jax.sharding.Mesh) -> TrainState:
    """Makes the state before the first step, on every device.

    Args:
      recipe: config, network and optimizer.
      variables: that the network starts from.
      mesh: of the devices.

    Returns:
      The state; step 0.
    """
    ema = recipe.experiment.train.ema_decay > 0
    create = functools.partial(train_state.create, recipe.optimizer, ema=ema)
    variables = sharding.on_all(variables, mesh)
    shardings = sharding.of_state(jax.eval_shape(create, variables), mesh, recipe.experiment.train)
    state: TrainState = jax.jit(create, out_shardings=shardings)(variables)
    return state


def train_steps(
    recipe: steps.Recipe,
    state: TrainState,
    split: Split,
    constants: pipeline.Normalization,
    colours: pipeline.Colours | None,
    order: jax.Array,
    rates: Float32[np.ndarray, " steps"],
    key: PRNGKeyArray,
    mesh: jax.sharding.Mesh,
) -> TrainSteps:
    """Compiles `steps.train_steps` for one split, which is put on the devices.

    Args:
      recipe: config, network and optimizer.
      state, order, rates: any of the shapes that will come.
      split: what is learned from.
      constants: of the normalisation, on the devices.
      colours: principal ones of the training pixels, on the devices, where augmentation wants them.
      key: the experiment's, for training.
      mesh: of the devices.

    Returns:
      A function of state, the epoch's order and learning rates, and the first and last step (excluded). It consumes
      the state, and gives the next one with its (epoch's, window's) sums a second time, as buffers that the next
      call does not consume.
    """
    replicated = sharding.replicated(mesh)
    data = _on_devices(split, mesh)
    compiled = compilation.compile_once(
        ("train", recipe.compiled_in),
        functools.partial(_advance, recipe),
        (state, data, constants, colours, order, rates, np.int32(0), np.int32(0), key),
        donate_argnums=0,
        out_shardings=(sharding.of_state(state, mesh, recipe.experiment.train), replicated),
    )
    return TrainSteps(compiled, (data, constants, colours), (key,))


def _advance(recipe: steps.Recipe, state: TrainState, *rest: Any) -> tuple[TrainState, tuple[Sums, Sums]]:
    state = steps.train_steps(recipe, state, *rest)
    return state, (state.epoch_sums, state.window_sums)


def evaluation(
    recipe: steps.Recipe, state: TrainState, split: Split, constants: pipeline.Normalization, mesh: jax.sharding.Mesh
) -> Callable[[Any], Sums]:
    """Compiles `steps.evaluate` for one split, which is put on the devices.

    Args:
      recipe: config and network.
      state: any, for its shapes.
      split: what is measured.
      constants: of the normalisation, on the devices.
      mesh: of the devices.

    Returns:
      A function of a network's variables.
    """
    replicated = sharding.replicated(mesh)
    data = _on_devices(split, mesh)
    size = sharding.whole_batch(min(recipe.experiment.train.eval_batch_size, len(split)), mesh.size)
    order = jax.device_put(pipeline.file_order(len(split), size), sharding.batches(mesh))
    compiled = compilation.compile_once(
        ("evaluate", recipe.compiled_in),
        functools.partial(steps.evaluate, recipe),
        (state.variables, data, constants, order),
        out_shardings=replicated,
    )
    return lambda variables: compiled(variables, data, constants, order)


def _on_devices(split: Split, mesh: jax.sharding.Mesh) -> DeviceSplit:
    on_devices: DeviceSplit = sharding.on_all(DeviceSplit(jnp.asarray(split.images), jnp.asarray(split.labels)), mesh)
    return on_devices
