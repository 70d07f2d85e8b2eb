"""With whom a run shares the devices and its compiled programs: with nobody, as a rule."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import jax

from cnn_jax.data import pipeline
from cnn_jax.data.split import Split
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import programs, sharding, steps
from cnn_jax.train.state import TrainState
from cnn_jax.train.training import Advance, Measure, Training

if TYPE_CHECKING:
    from cnn_jax.data.stream import Stream


class Company(Protocol):
    """What the training loop asks for.

    Attributes:
      mesh: of the devices on which the run's values lie.
      shares: devices over which one batch is spread.
      size: runs that one program trains; 1 where it trains this one alone.
    """

    mesh: jax.sharding.Mesh
    shares: int
    size: int

    def stop(self) -> contextlib.AbstractContextManager[StopSignal]:
        """Listens to signals while the run goes."""

    def train_steps(self, training: Training) -> Advance:
        """As `programs.train_steps`."""

    def evaluation(
        self, recipe: steps.Recipe, state: TrainState, split: Split | Stream, constants: pipeline.Normalization
    ) -> Measure:
        """As `programs.evaluation`."""


class Alone:
    """A run that has all devices to itself; its batches are spread over them."""

    size = 1

    def __init__(self) -> None:
        self.mesh = sharding.data_mesh()
        self.shares = self.mesh.size

    def stop(self) -> StopSignal:
        """Listens to signals while the run goes."""
        return StopSignal()

    def train_steps(self, training: Training) -> Advance:
        """As `programs.train_steps`."""
        return programs.train_steps(training, self.mesh)

    def evaluation(
        self, recipe: steps.Recipe, state: TrainState, split: Split | Stream, constants: pipeline.Normalization
    ) -> Measure:
        """As `programs.evaluation`."""
        return programs.evaluation(recipe, state, split, constants, self.mesh)
