"""A run's folder while it trains: records, checkpoints and result, of one run or of the members of an ensemble."""

from __future__ import annotations

import contextlib
import math
import operator
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from cnn_jax.config import Experiment
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.pipeline import Preprocessing
from cnn_jax.geometry import Summary
from cnn_jax.run import provenance
from cnn_jax.run.folder import RunFolder
from cnn_jax.run.metrics_log import TEST, TRAIN, TRAIN_WINDOW, VALIDATION, MetricsLog, Record
from cnn_jax.run.progress import TrainingProgress
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import distributed, sharding
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.train.metrics import Sums, means
from cnn_jax.train.profiling import performance
from cnn_jax.train.step import TrainState


class DivergedError(Exception):
    """The loss is no longer a finite number; the message says where, and what helps."""


class Stopped(Exception):
    """A signal stopped the run; its state is saved, and the same command continues."""


class Recorder:
    """Writes the folder of one run, from its config to its result.

    Attributes:
      experiment: Config of the run.
      folder: Folder of the run, locked from `__enter__` to `__exit__`.
      console: Where progress is printed.
      checkpoints: Checkpoints of the run.
      log: Records of the run; `resume` opens them.
      error: What ended the run before its last epoch; None while it trains.
    """

    checkpoints: Checkpoints
    log: MetricsLog

    def __init__(self, experiment: Experiment, workdir: Path, console: Console | None = None):
        """Names the folder; `__enter__` locks it.

        Args:
          experiment: The resolved config.
          workdir: Folder of the run.
          console: Where progress is printed; None is standard output.
        """
        self.experiment = experiment
        self.folder = RunFolder(workdir, writes=distributed.is_first())
        self.console = console or Console(quiet=not distributed.is_first())
        self.error: Exception | None = None
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Recorder:
        distributed.on_first(lambda: self.folder.claim(self.experiment))
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._opened.close()
        finally:
            self.folder.release()

    def finished(self) -> dict[str, Any] | None:
        """Gives the result of a run that is done, and says so; None where it is not."""
        result = self.folder.result()
        if result is not None:
            where = self.folder.path
            self.console.print(f"{where} is done: delete it, or give another --workdir, to train anew")
        return result

    def begin(self, dataset: Dataset, preprocessing: Preprocessing, ensemble_size: int = 1) -> None:
        """Writes what describes the run before it trains: config.json, dataset.json, provenance.json.

        Args:
          dataset: Data set of the run.
          preprocessing: Constants of its training images.
          ensemble_size: Number of runs that one program trains, with this one.
        """
        self.folder.begin(self.experiment)
        self.folder.write("dataset.json", describe(dataset, preprocessing))
        made_by = provenance.collect(dataset.name, dataset.checksum, jax.devices())
        self.folder.write("provenance.json", made_by | {"trained_together": ensemble_size})
        keep_last = self.experiment.checkpoint.keep_last
        # Two, so that the members of an ensemble always have a step in common.
        self.checkpoints = Checkpoints(self.folder.checkpoints, keep_last if ensemble_size == 1 else max(2, keep_last))
        self._opened.callback(self.checkpoints.close)

    def resume(self, step: int) -> None:
        """Opens metrics.jsonl and drops the records after a step.

        Args:
          step: Steps taken by the state that training starts from.
        """
        if step:
            self.console.print(f"resuming at step {step}")
        self.log = MetricsLog(self.folder.metrics, step, self.experiment.log.tensorboard, distributed.is_first())
        self._opened.callback(self.log.close)

    def record(self, record: Record) -> None:
        """Appends a record, unless its loss is not finite: then the run ends with an error."""
        if self.check(record.step, record.split, record.values["loss"], record.epoch):
            self.log.write(record)

    def check(self, step: int, split: str, loss: float, epoch: float) -> bool:
        """Whether a loss is finite; where it is not, the run ends with an error."""
        if not math.isfinite(loss):
            what = "training" if split in (TRAIN, TRAIN_WINDOW) else split
            self.error = DivergedError(
                f"the {what} loss is {loss} after step {step} (epoch {math.ceil(epoch)}); the last good checkpoint is "
                "kept; try a lower config.optimizer.learning_rate, a warm-up, or config.optimizer.clip_norm=1.0"
            )
        return self.error is None

    def save(self, state: TrainState) -> None:
        """Starts to save a checkpoint, with the validation accuracy where it has just been measured."""
        self.log.sync()
        step, measured = int(state.step), self._last(VALIDATION)
        validation = None
        if measured is not None and measured.step == step:
            validation = {"accuracy": measured.values["accuracy"], "epoch": measured.epoch}
        self.checkpoints.save(step, state, validation)

    def improved_at(self, step: int) -> bool:
        """Whether the validation images were measured at this step, better than ever before."""
        measured = self._last(VALIDATION)
        return measured is not None and measured.step == step and self._best()[0] == int(measured.epoch)

    def epoch_text(self, epoch: int) -> str:
        """Describes an epoch that has just ended, with what was measured after it."""
        records = [record for record in self.log.records[-3:] if record.epoch == epoch and record.split != TRAIN_WINDOW]
        parts = []
        for record in records:
            name = "" if record.split == TRAIN else f"{record.split} "
            parts.append(f"{name}loss {record.values['loss']:.4f} accuracy {record.values['accuracy']:.4f}")
        speed = records[0].values["images_per_second"]
        return f"epoch {epoch}/{self.experiment.train.epochs}: {'; '.join(parts)}; {speed:,.0f} images/s"

    def write_result(
        self, summary: Summary, step_seconds: Mapping[str, float] | None, seconds: Mapping[str, float]
    ) -> dict[str, Any]:
        """Writes result.json, which makes the run done, once all checkpoints are on the disk.

        Args:
          summary: Layer table of the network.
          step_seconds: Percentiles of a step's time.
          seconds: Wall times of compiling, of evaluation and in total.

        Returns:
          The content of result.json.
        """
        self._opened.close()
        by_validation = self.experiment.checkpoint.select == "best"
        best_epoch, best_test = self._best()
        chosen = best_test if by_validation else self._last(TEST)
        assert chosen is not None, "the test images are measured after the last epoch"
        epochs = [record.values for record in self.log.records if record.split == TRAIN]
        speed = statistics.median(values["images_per_second"] for values in epochs)
        result = {
            "test_accuracy": chosen.values["accuracy"],
            "test_loss": chosen.values["loss"],
            "test_top1_error": chosen.values["top1_error"],
            "test_top5_error": chosen.values.get("top5_error"),
            "step": chosen.step,
            "best_epoch": best_epoch,
            "final_epoch": self.experiment.train.epochs,
            "selected_by": "validation_accuracy" if by_validation else "last_epoch",
            "parameters": summary.parameters,
            "images_per_second": speed,
            "performance": performance(self.experiment, summary.training_flop, speed, step_seconds),
            "seconds": {"training": sum(values["seconds"] for values in epochs), **seconds},
        }
        self.folder.write("result.json", result)
        return result

    def _last(self, split: str) -> Record | None:
        """The newest record of a split."""
        return next((record for record in reversed(self.log.records) if record.split == split), None)

    def _best(self) -> tuple[int, Record]:
        """The epoch that counts and its test record: the best on validation where there is one, else the last."""
        tests = {record.epoch: record for record in self.log.records if record.split == TEST}
        validations = [record for record in self.log.records if record.split == VALIDATION]
        if not validations:
            last = max(tests)
            return int(last), tests[last]
        best = max(validations, key=lambda record: (record.values["accuracy"], -record.epoch))
        return int(best.epoch), tests[best.epoch]


class RunGroup:
    """The runs that the loop trains: one, or the members of an ensemble, which differ in their seed alone.

    Arrays of an ensemble have a leading member axis, those of one run have none. A member with an error is no longer
    written.
    """

    def __init__(self, runs: Sequence[Recorder], num_classes: int, stacked: bool = False):
        """Names the runs.

        Args:
          runs: Recorder of each run.
          num_classes: Width of the logits.
          stacked: Whether arrays have a leading member axis.
        """
        self.runs, self.experiment = runs, runs[0].experiment
        self._num_classes, self._stacked = num_classes, stacked
        self._displays: list[TrainingProgress] = []
        self._saved_at = time.monotonic()

    @contextlib.contextmanager
    def training(self, total_steps: int, first_step: int) -> Iterator[None]:
        """Shows progress inside the `with`.

        Args:
          total_steps: Steps of the whole training.
          first_step: Steps that were taken before.
        """
        with contextlib.ExitStack() as stack:
            for run in self.runs:
                self._displays.append(stack.enter_context(TrainingProgress(run.console, total_steps, first_step)))
            yield

    def members(self, tree: Any) -> list[tuple[int, Any]]:
        """Gives the number and the part of a tree of host arrays of each member without an error."""
        left = [number for number, run in enumerate(self.runs) if run.error is None]
        if not self._stacked:
            return [(number, tree) for number in left]
        return [(number, jax.tree.map(operator.itemgetter(number), tree)) for number in left]

    @property
    def all_failed(self) -> bool:
        """Whether no run is left."""
        return all(run.error is not None for run in self.runs)

    def show(self, step: int, epoch: float, epoch_sums: Sums) -> None:
        """Shows the running means of an epoch, and ends runs whose loss is not finite."""
        for number, sums in self.members(epoch_sums):
            values = means(sums, self._num_classes)
            if self.runs[number].check(step, TRAIN, values["loss"], epoch):
                self._displays[number].steps(step, values["loss"], values["accuracy"])

    def record(self, step: int, epoch: float, split: str, sums: Sums, **more: float) -> None:
        """Records the metrics of each run.

        Args:
          step: Steps taken.
          epoch: Passes over the training images, a fraction within one.
          split: Name of the split, as `Record` has it.
          sums: Sums of the metrics, on the host.
          more: Further values of the record.
        """
        for number, own in self.members(sums):
            self.runs[number].record(Record(step, epoch, split, means(own, self._num_classes) | more))

    def print_epoch(self, epoch: int) -> None:
        """Prints a line about an epoch that has just ended."""
        for number, display in enumerate(self._displays):
            if self.runs[number].error is None:
                display.line(self.runs[number].epoch_text(epoch))

    def improved_at(self, step: int) -> bool:
        """Whether any run is better on its validation images than ever before, measured at this step."""
        return any(run.improved_at(step) for run in self.runs if run.error is None)

    @property
    def save_is_due(self) -> bool:
        """Whether checkpoint.every_minutes have passed by the clock of the first process."""
        minutes = self.experiment.checkpoint.every_minutes
        return minutes is not None and distributed.is_first() and time.monotonic() - self._saved_at > 60 * minutes

    def save(self, state: TrainState) -> None:
        """Starts to save a checkpoint of each run."""
        whole = sharding.readable(state)
        if self._stacked:
            for run in self.runs:  # no member may be two checkpoints ahead of another
                run.checkpoints.wait()
            whole = jax.device_get(whole)
        for number, own in self.members(whole):
            self.runs[number].save(own)
        self._saved_at = time.monotonic()

    def stopped(self, stop: StopSignal, step: int) -> Stopped:
        """Waits until all is saved, and says so."""
        signal = stop.received or "another process was stopped"
        for run, display in zip(self.runs, self._displays, strict=True):
            run.checkpoints.wait()
            display.line(f"{signal}: saved at step {step}; the same command goes on")
        return Stopped(signal)

    def write_results(
        self, summary: Summary, step_seconds: Mapping[str, float] | None, seconds: Mapping[str, float]
    ) -> list[dict[str, Any] | None]:
        """Writes result.json of each run without an error; arguments are those of `Recorder.write_result`."""
        return [run.write_result(summary, step_seconds, seconds) if run.error is None else None for run in self.runs]


def describe(dataset: Dataset, preprocessing: Preprocessing) -> dict[str, Any]:
    """Gives the content of dataset.json: what the network needs to be used again.

    Args:
      dataset: Data set of the run.
      preprocessing: Constants of its training images.
    """
    normalization, colours = preprocessing
    splits = {TRAIN: dataset.train, VALIDATION: dataset.validation or (), TEST: dataset.test}
    return {
        "name": dataset.name,
        "checksum": dataset.checksum,
        "image_shape": list(dataset.image_shape),
        "class_names": list(dataset.class_names),
        "images": {name: len(split) for name, split in splits.items()},
        "mean": np.asarray(normalization.mean).tolist(),
        "deviation": np.asarray(normalization.std).tolist(),
        "colours": colours and {name: np.asarray(value).tolist() for name, value in colours._asdict().items()},
    }
