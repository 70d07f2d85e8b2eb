"""Folders, checkpoints and results of the training loop's run, or of an ensemble's members."""

from __future__ import annotations

import dataclasses
import functools
import operator
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax

from cnn_jax import identity
from cnn_jax.config import Experiment
from cnn_jax.geometry import Summary
from cnn_jax.run import metrics_log, packed_checkpoints
from cnn_jax.run.metrics_log import TRAIN
from cnn_jax.run.performance import performance
from cnn_jax.run.recorder import Paused, Recorder, Stopped
from cnn_jax.run.records import DatasetInfo, MetricRecord, Percentiles, Result
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import distributed, sharding
from cnn_jax.train.checkpoint import Checkpoints, DamagedCheckpointError
from cnn_jax.train.metrics import Sums, means
from cnn_jax.train.step import TrainState

T = TypeVar("T")


@dataclasses.dataclass
class RunGroup:
    """Writes the folders of runs that train in lockstep and differ only in their seed.

    A run with an error is no longer written.

    Attributes:
      runs: Recorder of each run, its folder locked.
      described: Data set of each run, checked against its folder.
      stacked: Whether arrays have a leading member axis, as in an ensemble.
      checkpoints: Checkpoints of each run, opened by `begin`. An ensemble keeps at least the last two, so that its
        members always have a step in common.
      saved_at: Time of the last save, or of the start.
    """

    runs: Sequence[Recorder]
    described: Sequence[DatasetInfo]
    stacked: bool = False
    checkpoints: list[Checkpoints] = dataclasses.field(default_factory=list)
    saved_at: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def experiment(self) -> Experiment:
        """Config of the first run."""
        return self.runs[0].experiment

    def begin(self) -> None:
        """Writes the description and provenance of each run, and opens its checkpoints."""
        keep_last = max(self.experiment.checkpoint.keep_last, 2 if self.stacked else 1)
        for run, described in zip(self.runs, self.described, strict=True):
            run.begin(described, identity.provenance_of(run.experiment, described, len(self.runs)))
            distributed.on_first(functools.partial(packed_checkpoints.unpack, run.folder))
            self.checkpoints.append(Checkpoints(run.folder.checkpoints, keep_last, alone=not self.stacked))
            run.closing.callback(self.checkpoints[-1].close)

    def restore(self, like: T) -> list[T] | None:
        """Reads the newest step for which every run has an intact checkpoint, setting damaged ones aside.

        Args:
          like: Tree with the structure and shapes of one run's state.

        Returns:
          The state of each run, as NumPy arrays; None if the runs have no step in common.

        Raises:
          RunFolderError: If a checkpoint cannot be read, is of another network, or does not match the records in
            metrics.jsonl.
        """
        found = load_newest_common(self.checkpoints, like)
        if found is None:
            return None
        step, states = found
        for run, checkpoints in zip(self.runs, self.checkpoints, strict=True):
            seen = checkpoints.records_seen(step)
            distributed.on_first(functools.partial(metrics_log.check, run.folder.metrics, step, seen))
        return states

    @property
    def running(self) -> dict[int, Recorder]:
        """Runs without an error, by number."""
        return {number: run for number, run in enumerate(self.runs) if run.error is None}

    def member(self, number: int, tree: Any) -> Any:
        """Returns a run's slice of a tree of arrays."""
        return jax.tree.map(operator.itemgetter(number), tree) if self.stacked else tree

    def _means(self, number: int, sums: Sums) -> dict[str, float]:
        return means(self.member(number, sums), len(self.described[0].class_names))

    def show(self, step: int, epoch: float, epoch_sums: Sums) -> None:
        """Displays the running means of an epoch, and ends runs whose loss is not finite."""
        for number, run in self.running.items():
            run.show(MetricRecord(step, epoch, TRAIN, self._means(number, epoch_sums)))

    def record(self, step: int, epoch: float, split: str, sums: Sums, **values: float) -> None:
        """Records the metrics of each run.

        Args:
          step: Steps taken.
          epoch: Epochs completed, including fractions.
          split: Name of the split, as in `MetricRecord`.
          sums: Sums of the metrics, on the host.
          values: Further values of the record.
        """
        for number, run in self.running.items():
            run.record(MetricRecord(step, epoch, split, self._means(number, sums) | values))

    def print_epoch(self, epoch: int) -> None:
        """Prints a line for a finished epoch."""
        for run in self.running.values():
            run.print_epoch(epoch)

    def improved_at(self, step: int) -> bool:
        """Returns whether any run reached its best validation accuracy at this step."""
        return any(run.improved_at(step) for run in self.running.values())

    @property
    def save_is_due(self) -> bool:
        """Whether checkpoint.every_minutes have passed since the last save, by the first process's clock."""
        minutes = self.experiment.checkpoint.every_minutes
        return minutes is not None and distributed.is_first() and time.monotonic() - self.saved_at > 60 * minutes

    def prepare_saves(self, state: TrainState) -> None:
        """Prepares the first save in the background; only a single run keeps memory for copies of its state."""
        keeps_memory = not self.stacked and jax.process_count() == 1
        self.checkpoints[0].prepare(state if keeps_memory else None)

    def save(self, step: int, state: TrainState) -> None:
        """Starts to save a checkpoint of each run, with the validation accuracy measured at this step, if any."""
        state = sharding.addressable(state)
        if self.stacked:
            for checkpoints in self.checkpoints:  # no member may get two checkpoints ahead of another
                checkpoints.wait()
            state = jax.device_get(state)
        for number, run in self.running.items():
            run.log.sync()
            own = self.member(number, state)
            self.checkpoints[number].save(step, own, run.validation_at(step), run.log.digest())
        self.saved_at = time.monotonic()

    def stopped(self, stop: StopSignal, step: int, state: TrainState) -> Stopped:
        """Saves the states, and returns the exception for a run that a signal stops."""
        signal = stop.received or "another process was stopped"
        self._save_and_wait(step, state, f"{signal}: saved at step {step}; the same command continues")
        return Stopped(signal)

    def paused(self, epoch: int, step: int, state: TrainState) -> Paused:
        """Saves the states, and returns the exception for a pause."""
        self._save_and_wait(step, state, f"paused after epoch {epoch}: saved at step {step}")
        return Paused(f"paused after epoch {epoch}")

    def _save_and_wait(self, step: int, state: TrainState, message: str) -> None:
        self.save(step, state)
        for run, checkpoints in zip(self.runs, self.checkpoints, strict=True):
            checkpoints.wait()
            run.display.line(message)

    def write_results(
        self, summary: Summary, step_seconds: Percentiles | None, seconds: Mapping[str, float]
    ) -> list[Result | None]:
        """Writes result.json of each run without an error.

        Args:
          summary: Layer table of the network.
          step_seconds: Percentiles of the time per step.
          seconds: Wall times of compilation, of evaluation and in total.

        Returns:
          The result of each run; None if it ended with an error.
        """
        results: list[Result | None] = [None] * len(self.runs)
        devices = jax.local_devices(), jax.device_count()
        for number, run in self.running.items():
            speed = run.images_per_second()
            figures = performance(self.experiment, summary.training_flop, speed, step_seconds, *devices)
            results[number] = run.write_result(summary.parameters, figures, seconds)
        return results


def load_newest_common(group: Sequence[Checkpoints], like: T) -> tuple[int, list[T]] | None:
    """Reads the newest step for which all runs of a group have an intact checkpoint, setting damaged ones aside.

    Args:
      group: Checkpoints of each run.
      like: Tree with the structure and shapes of one run's state.

    Returns:
      The step, and the state of each run as NumPy arrays; None if the runs have no step in common.

    Raises:
      RunFolderError: If a checkpoint cannot be read, or its arrays do not match `like`.
    """
    while common := set.intersection(*(checkpoints.steps() for checkpoints in group)):
        states = []
        for checkpoints in group:
            try:
                states.append(checkpoints.load(max(common), like))
            except DamagedCheckpointError as error:
                checkpoints.set_aside(max(common), error)
                break
        else:
            return max(common), states
    return None
