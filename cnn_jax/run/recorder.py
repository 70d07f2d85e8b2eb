"""Recorder of one run: writes its folder while it trains, from the config to the result."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from cnn_jax.config import Experiment
from cnn_jax.run import provenance
from cnn_jax.run.errors import started
from cnn_jax.run.folder import RunFolder
from cnn_jax.run.metrics import METRICS
from cnn_jax.run.metrics_log import TEST, TRAIN, TRAIN_WINDOW, VALIDATION, MetricsLog
from cnn_jax.run.progress import TrainingProgress
from cnn_jax.run.records import DatasetInfo, MetricRecord, Performance, Provenance, Result, Seconds
from cnn_jax.terminal import print_line


class DivergedError(Exception):
    """The loss is no longer a finite number; the message says where, and what helps."""


class Stopped(Exception):
    """A signal stopped the run; its state is saved, and the same command continues."""


class Paused(Exception):
    """A run has reached the epoch that it was to be trained to; its state is saved, and it can go on."""


class Recorder:
    """Writes the folder of one run. A context that locks the folder, and closes its files.

    Attributes:
      experiment: Config of the run.
      folder: Folder of the run.
      console: Where progress is printed.
      log: Records of the run; `resume` opens them.
      display: Progress of the training; `resume` opens it.
      error: Exception that ended the run before its last epoch; None while it trains.
      closing: Resources that are closed at the end of the run, before its result is written.
    """

    log: MetricsLog
    display: TrainingProgress

    def __init__(self, experiment: Experiment, workdir: Path, console: Console | None = None, writes: bool = True):
        """Names the folder.

        Args:
          experiment: The resolved config.
          workdir: Folder of the run.
          console: Where progress is printed; None is standard output.
          writes: Whether this process writes; of several processes of a run only one does.
        """
        self.experiment = experiment
        self.folder = RunFolder(workdir, writes)
        self.console = console or Console(quiet=not writes)
        self.error: Exception | None = None
        self._writes = writes
        self.closing = contextlib.ExitStack()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            with started():
                self.closing.close()
        finally:
            self.folder.release()

    def finished(self) -> Result | None:
        """Gives the result of a run that is done, and says so; None where it is not.

        Raises:
          RunFolderError: If result.json or metrics.jsonl was changed since.
        """
        result = self.folder.result()
        if result is not None:
            self.folder.check_result(result)
            where = self.folder.path
            print_line(self.console, f"{where} is done: delete it, or give another --workdir, to train anew")
        return result

    def begin(self, dataset: DatasetInfo, made_by: Provenance) -> None:
        """Writes what describes the run before it trains: config.json, dataset.json and provenance.json.

        The dataset.json of a run that is resumed stays as it is. What has changed since, other than config and data, is
        printed and recorded in provenance.json; what is suspicious in the data set is printed.

        Args:
          dataset: The data set, which is the one that the folder records.
          made_by: Versions, devices and settings that the result depends on, as they are now.
        """
        if dataset.placement is not None:
            print_line(self.console, dataset.placement)
        for warning in dataset.warnings:
            print_line(self.console, f"warning: {warning}")
        changes = self._changes(made_by) if self._writes else ()
        self.folder.begin(self.experiment)
        if not (self.folder.path / "dataset.json").exists():
            self.folder.write_dataset_info(dataset)
        if self._writes:
            recorded = {"changes": changes, "files": self.folder.digests()}
            self.folder.write_provenance(made_by.model_copy(update=recorded))

    def _changes(self, now: Provenance) -> tuple[str, ...]:
        """Lists under which changes the run goes on from its checkpoints; prints those that are new."""
        if not self.folder.has_checkpoints():
            return ()
        before: tuple[str, ...] = ()
        if not (self.folder.path / "provenance.json").exists():
            new = ["provenance.json was missing: what has changed is not known"]
        else:
            recorded = self.folder.provenance()
            before, new = recorded.changes, provenance.differences(recorded, now)
        if new:
            print_line(
                self.console,
                "warning: the run goes on under other conditions than before; its result will not have the bits of an "
                "uninterrupted run, and provenance.json and the report say so:\n  " + "\n  ".join(new),
            )
        return (*before, *new)

    def resume(self, step: int, total_steps: int) -> None:
        """Opens metrics.jsonl, drops the records after a step, and shows progress from there.

        Args:
          step: Steps taken by the state that training starts from.
          total_steps: Steps of the whole training.
        """
        if step:
            print_line(self.console, f"resuming at step {step}")
        self.log = MetricsLog(self.folder.metrics, step, self.experiment.log.tensorboard, self._writes)
        self.closing.callback(self.log.close)
        self.display = self.closing.enter_context(TrainingProgress(self.console, total_steps, step))

    def show(self, record: MetricRecord) -> None:
        """Shows the running means of an epoch, unless the loss is not finite: then the run ends with an error."""
        if self.is_finite(record):
            self.display.steps(record.step, record.values["loss"], record.values["accuracy"])

    def record(self, record: MetricRecord) -> None:
        """Appends a record, unless its loss is not finite: then the run ends with an error."""
        if self.is_finite(record):
            self.log.write(record)

    def is_finite(self, record: MetricRecord) -> bool:
        """Whether the loss of a record is finite; where it is not, the run ends with an error."""
        if not math.isfinite(record.values["loss"]):
            split = "training" if record.split in (TRAIN, TRAIN_WINDOW) else record.split
            where = f"after step {record.step} (epoch {math.ceil(record.epoch)})"
            self.error = DivergedError(
                f"the {split} loss is {record.values['loss']} {where}; the last good checkpoint is kept; "
                "try a lower config.optimizer.learning_rate, a warm-up, or config.optimizer.clip_norm=1.0"
            )
        return self.error is None

    def validation_at(self, step: int) -> dict[str, float] | None:
        """Gives the "accuracy" and the "epoch" of the validation images where they were measured at a step."""
        measured = self._last(VALIDATION)
        if measured is None or measured.step != step:
            return None
        return {"accuracy": measured.values["accuracy"], "epoch": measured.epoch}

    def improved_at(self, step: int) -> bool:
        """Whether the validation images were measured at a step, better than ever before."""
        measured = self.validation_at(step)
        return measured is not None and self._best()[0] == measured["epoch"]

    def print_epoch(self, epoch: int) -> None:
        """Prints a line about an epoch that has just ended, with what was measured after it."""
        records = [record for record in self.log.records[-3:] if record.epoch == epoch and record.split != TRAIN_WINDOW]
        parts = []
        for record in records:
            name = "" if record.split == TRAIN else f"{record.split} "
            parts.append(f"{name}loss {record.values['loss']:.4f} accuracy {record.values['accuracy']:.4f}")
        speed = records[0].values["images_per_second"]
        epochs = self.experiment.train.epochs
        self.display.line(f"epoch {epoch}/{epochs}: {'; '.join(parts)}; {speed:,.0f} images/s")

    def images_per_second(self) -> float:
        """Computes the median training speed of the epochs."""
        return statistics.median(record.values["images_per_second"] for record in self._epochs())

    def write_result(self, parameters: int, performance: Performance, seconds: Mapping[str, float]) -> Result:
        """Writes result.json, which makes the run done, once all else is on the disk.

        Args:
          parameters: Number of the network's parameters.
          performance: Figures that depend on the machine.
          seconds: Wall times of compiling, of evaluation and in total.
        """
        self.closing.close()
        by_validation = self.experiment.checkpoint.select == "best"
        best_epoch, best_test = self._best()
        chosen = best_test if by_validation else self._last(TEST)
        assert chosen is not None, "the test images are measured after the last epoch"
        result = Result(
            test={metric.name: chosen.values.get(metric.name) for metric in METRICS},
            step=chosen.step,
            best_epoch=best_epoch,
            final_epoch=self.experiment.train.epochs,
            selected_by="validation_accuracy" if by_validation else "last_epoch",
            parameters=parameters,
            images_per_second=self.images_per_second(),
            performance=performance,
            seconds=Seconds(training=sum(record.values["seconds"] for record in self._epochs()), **seconds),
        )
        self.folder.write_result(result)
        return result

    def _epochs(self) -> list[MetricRecord]:
        return [record for record in self.log.records if record.split == TRAIN]

    def _last(self, split: str) -> MetricRecord | None:
        """The newest record of a split."""
        return next((record for record in reversed(self.log.records) if record.split == split), None)

    def _best(self) -> tuple[int, MetricRecord]:
        """The epoch that counts and its test record: the best on validation where there is one, else the last."""
        tests = {record.epoch: record for record in self.log.records if record.split == TEST}
        validations = [record for record in self.log.records if record.split == VALIDATION]
        if not validations:
            last = max(tests)
            return int(last), tests[last]
        best = max(validations, key=lambda record: (record.values["accuracy"], -record.epoch))
        return int(best.epoch), tests[best.epoch]
