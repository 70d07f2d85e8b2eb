"""What a run calls on the devices, compiled: the first state, the steps of an epoch, the measuring of a split."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
from jaxtyping import Float32, PRNGKeyArray

from cnn_jax.data import pipeline
from cnn_jax.data.dataset import Split
from cnn_jax.models import Variables
from cnn_jax.train import resident, sharding, steps
from cnn_jax.train import state as train_state
from cnn_jax.train.metrics import Sums
from cnn_jax.train.state import TrainState

if TYPE_CHECKING:
    from cnn_jax.data.stream import Stream

Measure = Callable[[Any], Sums]  # of a network's variables


class Advance(Protocol):
    """Takes training steps; closed when the last is taken."""

    def __call__(
        self, state: TrainState, epoch: int, rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """Takes steps of an epoch.

        Args:
          state: before them; it is consumed.
          epoch: from 0.
          rates: the epoch's learning rates.
          first, last: steps within the epoch, the last excluded.

        Returns:
          The state after them, and its (epoch's, window's) sums a second time, as buffers that the next call does not
          consume.
        """

    def text(self) -> str:
        """The compiled program, as XLA writes it."""

    def close(self) -> None:
        """Ends what reads batches ahead."""


def first_state(recipe: steps.Recipe, variables: Variables, mesh: jax.sharding.Mesh) -> TrainState:
    """Makes the state before the first step, on every device.

    Args:
      recipe: config, network and optimizer.
      variables: that the network starts from.
      mesh: of the devices.

    Returns:
      The state; step 0.
    """
    create = functools.partial(_create, recipe)
    variables = sharding.on_all(variables, mesh)
    shardings = sharding.of_state(jax.eval_shape(create, variables), mesh, recipe.experiment.train)
    state: TrainState = jax.jit(create, out_shardings=shardings)(variables)
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


def train_steps(
    recipe: steps.Recipe,
    state: TrainState,
    split: Split | Stream,
    constants: pipeline.Normalization,
    colours: pipeline.Colours | None,
    rates: Float32[np.ndarray, " steps"],
    keys: tuple[PRNGKeyArray, PRNGKeyArray],
    mesh: jax.sharding.Mesh,
) -> Advance:
    """Compiles the training steps.

    Args:
      recipe: config, network and optimizer.
      state: of the shapes that will come.
      split: what is learned from: images that are put on the devices, or a stream that is read as the steps go.
      constants: of the normalisation, on the devices.
      colours: principal ones of the training pixels, on the devices, where augmentation wants them.
      rates: of any epoch.
      keys: the experiment's, for the order of images on the devices, and for the steps.
      mesh: of the devices.

    Returns:
      The steps.
    """
    if isinstance(split, Split):
        return resident.TrainSteps(recipe, state, split, constants, colours, rates, keys, mesh)
    from cnn_jax.train import streamed  # Grain takes a second to import

    return streamed.TrainSteps(recipe, state, split, constants, colours, keys[1], mesh)


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
