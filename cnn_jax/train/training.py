"""What the training loop calls on the devices, and what it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float32, PRNGKeyArray

from cnn_jax.data import pipeline
from cnn_jax.data.split import Split
from cnn_jax.train import steps
from cnn_jax.train.metrics import Sums
from cnn_jax.train.state import TrainState

if TYPE_CHECKING:
    from cnn_jax.data.stream import Stream

Measure = Callable[[Any], Sums]  # of a network's variables


@dataclasses.dataclass(frozen=True)
class Training:
    """What a run trains with, from its first step to its last.

    Attributes:
      recipe: config, network and optimizer.
      state: of the shapes that will come.
      split: what is learned from: images that are put on the devices, or a stream that is read as the steps go.
      constants: of the normalisation, on the devices.
      colours: principal ones of the training pixels, on the devices, where augmentation wants them.
      rates: of any epoch.
      order_key: the experiment's, for the order of images on the devices.
      step_key: the experiment's, for the steps.
    """

    recipe: steps.Recipe
    state: TrainState
    split: Split | Stream
    constants: pipeline.Normalization
    colours: pipeline.Colours | None
    rates: Float32[np.ndarray, " steps"]
    order_key: PRNGKeyArray
    step_key: PRNGKeyArray


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
