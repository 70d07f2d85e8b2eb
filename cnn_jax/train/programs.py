"""What a run calls on the devices, compiled: the first state, the steps of an epoch, the measuring of a split."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import jax

from cnn_jax.data import pipeline
from cnn_jax.data.split import Split
from cnn_jax.models import Variables
from cnn_jax.train import compilation, resident, sharding, steps
from cnn_jax.train import state as train_state
from cnn_jax.train.state import TrainState
from cnn_jax.train.training import Advance, Measure, Training

if TYPE_CHECKING:
    from cnn_jax.data.stream import Stream


def first_state(recipe: steps.Recipe, variables: Variables, mesh: jax.sharding.Mesh) -> TrainState:
    """Makes the state before the first step, on every device.

    Args:
      recipe: config, network and optimizer.
      variables: that the network starts from.
      mesh: of the devices.

    Returns:
      The state; step 0.
    """
    variables = sharding.on_all(variables, mesh)
    compiled = compilation.compile_once(
        ("first state", recipe.compiled_in, mesh),
        functools.partial(_create, recipe),
        (variables,),
        place=lambda state: sharding.of_state(state, mesh, recipe.experiment.train),
    )
    state: TrainState = compiled(variables)
    return state


def state_like(recipe: steps.Recipe, image_shape: tuple[int, int, int]) -> TrainState:
    """The shapes and types of a training state; no array is made.

    Args:
      recipe: config, network and optimizer.
      image_shape: (height, width, channels) in pixels.
    """
    shapes: TrainState = jax.eval_shape(
        lambda key: _create(recipe, recipe.model.init(key, image_shape)), jax.random.key(0)
    )
    return shapes


def _create(recipe: steps.Recipe, variables: Variables) -> TrainState:
    return train_state.create(recipe.optimizer, variables, ema=recipe.experiment.train.ema_decay > 0)


def train_steps(training: Training, mesh: jax.sharding.Mesh) -> Advance:
    """Compiles the training steps.

    Args:
      training: what they work with.
      mesh: of the devices.

    Returns:
      The steps.
    """
    if isinstance(training.split, Split):
        return resident.TrainSteps(training, training.split, mesh)
    from cnn_jax.train import streamed  # Grain takes a second to import

    return streamed.TrainSteps(training, training.split, mesh)


def evaluation(
    recipe: steps.Recipe,
    state: TrainState,
    split: Split | Stream,
    constants: pipeline.Normalization,
    mesh: jax.sharding.Mesh,
) -> Measure:
    """Compiles the measuring of one split.

    Args:
      recipe: config and network.
      state: any, for its shapes.
      split: what is measured.
      constants: of the normalisation, on the devices.
      mesh: of the devices.

    Returns:
      A function of a network's variables.
    """
    if isinstance(split, Split):
        return resident.evaluation(recipe, state, split, constants, mesh)
    from cnn_jax.train import streamed

    return streamed.evaluation(recipe, state, split, constants, mesh)
