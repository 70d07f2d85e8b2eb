"""One run from its config to its result: the one training loop."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from cnn_jax import data, models, pretrained, xla_flags
from cnn_jax.config import Experiment
from cnn_jax.config_parse import ConfigError
from cnn_jax.data import augment, pipeline
from cnn_jax.data.dataset import Dataset
from cnn_jax.run import provenance
from cnn_jax.run.folder import RunFolder
from cnn_jax.run.metrics_log import TEST, TRAIN, TRAIN_WINDOW, VALIDATION, MetricsLog, Record
from cnn_jax.run.progress import TrainingProgress
from cnn_jax.run.records import Result
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import compilation, optim, preflight, processes, programs, sharding, steps
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.train.company import Alone, Company
from cnn_jax.train.dispatches import Dispatches
from cnn_jax.train.metrics import Sums, means
from cnn_jax.train.performance import performance
from cnn_jax.train.state import TrainState
from cnn_jax.train.trace import Trace
from cnn_jax.train.training import Advance, Measure, Training

_PATIENCE = 2.0  # seconds that a dispatch may take: a signal waits for the end of one or two

# What a random key is for: the first fold of the experiment's seed.
_INIT, _ORDER, _STEP = range(3)


class DivergedError(Exception):
    """The loss is no longer a finite number; the message says where, and what helps."""


class Stopped(Exception):
    """A signal stopped the run; its state is saved, and the same command goes on."""


def train_and_evaluate(
    experiment: Experiment,
    workdir: Path,
    data_dir: Path | None = None,
    console: Console | None = None,
    profile: bool = False,
    company: Company | None = None,
) -> dict[str, Any]:
    """Trains one network, or goes on with it, and measures it on the test images.

    Args:
      experiment: the resolved config.
      workdir: the run's folder; a run that was stopped there is resumed, a finished one is not repeated.
      data_dir: of prepared data; None is the default folder.
      console: for progress; None is standard output.
      profile: whether to trace some steps, as `trace.Trace` tells; of several processes the first traces, where any
        is asked to.
      company: with whom the run shares its program; None is with nobody.

    Returns:
      The content of result.json.

    Raises:
      ConfigError: where the config does not fit the data or the devices.
      DataError: where the images cannot be had.
      GeometryError: where the network cannot work on the images.
      RunFolderError: where the folder cannot be used.
      WeightsError: where the weights to start from cannot be read or do not fit.
      DivergedError: where the loss becomes infinite or not a number.
      Stopped: on SIGTERM or SIGINT, the state saved.
      OtherProcessFailed: where the first of several processes raised one of these before the training began.
    """
    console, company = console or Console(quiet=not processes.is_first()), company or Alone()
    folder = RunFolder(workdir, writes=processes.is_first())
    processes.on_first(lambda: folder.claim(experiment))
    try:
        with company.stop() as stop:
            result = folder.result()
            if result is not None:
                console.print(f"{workdir} is done: delete it, or give another --workdir, to train anew")
                return result.to_json()
            compilation.enable_cache()
            dataset = data.load(experiment.data, experiment.seed, data_dir)
            run = _prepare(experiment, dataset, folder, console, stop, profile, company)
            try:
                run.train()
                result = Result.model_validate(run.result())
            finally:
                run.close()
            folder.write_result(result)
            return result.to_json()
    finally:
        folder.release()


def _prepare(
    experiment: Experiment,
    dataset: Dataset,
    folder: RunFolder,
    console: Console,
    stop: StopSignal,
    profile: bool,
    company: Company,
) -> _Run:
    """Checks that config, data and devices fit, and brings up the newest state and the compiled programs."""
    if (fault := xla_flags.fault(experiment, jax.default_backend())) is not None:
        raise ConfigError([fault])
    mesh = company.mesh
    summary = preflight.check(experiment, dataset, company.shares)
    batch_size, examples = experiment.train.batch_size, len(dataset.train)
    started = time.monotonic()
    classes = dataset.num_classes
    model = models.create(experiment.model, classes, experiment.pretrained.freeze)
    recipe = steps.Recipe(experiment, model, optim.optimizer(experiment.optimizer), classes)
    constants = pipeline.normalization(experiment.data, dataset.train)
    keys = {purpose: jax.random.fold_in(jax.random.key(experiment.seed), purpose) for purpose in (_INIT, _ORDER, _STEP)}
    variables = pretrained.initial_variables(
        model, experiment.model, experiment.pretrained, keys[_INIT], dataset.image_shape
    )
    colours = pipeline.colours(dataset.train) if augment.wants_colours(experiment.augment) else None
    folder.begin(experiment)
    folder.write("dataset.json", describe(dataset, constants, colours))
    folder.write_provenance(provenance.collect(dataset.name, dataset.checksum, jax.devices(), company.size))
    keys = sharding.on_all(keys, mesh)
    state = programs.first_state(recipe, variables, mesh)
    checkpoints = Checkpoints(folder.checkpoints, experiment.checkpoint.keep_last)
    restored = checkpoints.load_newest(state)
    if restored is not None:
        state = sharding.put(restored, sharding.of_state(restored, mesh, experiment.train))
        console.print(f"resuming at step {int(state.step)}")
    constants, colours = sharding.on_all((constants, colours), mesh)
    per_epoch = pipeline.steps_per_epoch(examples, batch_size)
    rates = optim.learning_rates(
        experiment.schedule, experiment.optimizer.learning_rate, experiment.train.epochs, per_epoch
    ).reshape(experiment.train.epochs, per_epoch)
    advance = company.train_steps(
        Training(recipe, state, dataset.train, constants, colours, rates[0], keys[_ORDER], keys[_STEP])
    )
    evaluations = {TEST: company.evaluation(recipe, state, dataset.test, constants)}
    if dataset.validation is not None:
        evaluations = {
            VALIDATION: company.evaluation(recipe, state, dataset.validation, constants),
            **evaluations,
        }
    (profile,) = processes.any_wishes(profile)
    left = rates.size - int(state.step)
    trace = Trace(folder.path, left, advance.text, console, processes.is_first()) if profile and left else None
    log = MetricsLog(folder.metrics, int(state.step), experiment.log.tensorboard, processes.is_first())
    return _Run(
        experiment=experiment,
        console=console,
        stop=stop,
        state=state,
        examples=examples,
        parameters=summary.parameters,
        training_flop=summary.training_flop,
        means=functools.partial(means, classes=classes),
        advance=advance,
        dispatches=Dispatches(advance, trace),
        rates=rates,
        evaluations=evaluations,
        checkpoints=checkpoints,
        log=log,
        compile_seconds=time.monotonic() - started,
        alone=company.size == 1,
    )


def describe(dataset: Dataset, constants: pipeline.Normalization, colours: pipeline.Colours | None) -> dict[str, Any]:
    """What a network must be given again to be used: the content of dataset.json."""
    sizes = {TRAIN: len(dataset.train), VALIDATION: len(dataset.validation or ()), TEST: len(dataset.test)}
    return {
        "name": dataset.name,
        "checksum": dataset.checksum,
        "image_shape": list(dataset.image_shape),
        "class_names": list(dataset.class_names),
        "images": sizes,
        "mean": np.asarray(constants.mean).tolist(),
        "deviation": np.asarray(constants.deviation).tolist(),
        "colours": colours and {name: np.asarray(value).tolist() for name, value in colours._asdict().items()},
    }


@dataclasses.dataclass
class _Run:
    """A run that is ready to train: its state, and all that the loop calls."""

    experiment: Experiment
    console: Console
    stop: StopSignal
    state: TrainState
    examples: int
    parameters: int
    training_flop: int
    means: Callable[[Sums], dict[str, float]]
    advance: Advance
    dispatches: Dispatches
    rates: np.ndarray
    evaluations: dict[str, Measure]
    checkpoints: Checkpoints
    log: MetricsLog
    compile_seconds: float
    alone: bool  # no other run's steps must be dispatched with this one's

    def __post_init__(self) -> None:
        self.pace = 0.0  # seconds of a step; 0: not known yet
        self.started = self.saved_at = time.monotonic()
        self.evaluation_seconds = 0.0

    def train(self) -> None:
        """Goes through the epochs that are left."""
        epochs, per_epoch = self.rates.shape
        step = int(self.state.step)
        with TrainingProgress(self.console, epochs * per_epoch, step) as progress:
            for epoch in range(step // per_epoch, epochs):
                self._epoch(epoch, step - epoch * per_epoch, progress)
                step = (epoch + 1) * per_epoch
                self._end_epoch(epoch, progress)

    def _epoch(self, epoch: int, first: int, progress: TrainingProgress) -> None:
        """Takes an epoch's steps from `first` on; reads each dispatch's figures when the next is on its way."""
        per_epoch, train = self.rates.shape[1], self.experiment.train
        begun, begun_at = time.monotonic(), first
        pending: tuple[int, bool, tuple[Sums, Sums]] | None = None
        while first < per_epoch:
            # Windows close where whole dispatches end, wherever these were cut and the run was stopped.
            start = first - first % train.steps_per_dispatch
            end = min(start + train.steps_per_dispatch, per_epoch)
            last = min(end, first + self._affordable()) if self.alone else end
            self.state, sums = self.dispatches(self.state, epoch, self.rates[epoch], first, last)
            every, before = self.experiment.log.every_steps, epoch * per_epoch
            closes = last == end and (before + end) // every > (before + start) // every
            if closes:
                self.state = dataclasses.replace(self.state, window_sums=Sums.zero())
            self._read(pending, epoch, progress)
            pending, first = (last, closes, sums), last
            if last == per_epoch:
                break
            if processes.are_many():  # whose wishes are exchanged only when no step is on its way
                self._read(pending, epoch, progress)
                pending = None
            self.pace = processes.greatest(self.dispatches.pace)
            stop, save = processes.any_wishes(self.stop.received is not None, self._save_is_due())
            if stop or save:
                self._read(pending, epoch, progress)
                pending = None
            if stop:
                self._stop(progress)
            if save:
                self._save()
        self._read(pending, epoch, progress)
        seconds = time.monotonic() - begun
        images = min(per_epoch * train.batch_size, self.examples) - begun_at * train.batch_size
        values = self.means(self.state.epoch_sums) | {
            "learning_rate": float(self.rates[epoch, -1]),
            "images_per_second": images / seconds,
            "seconds": seconds,
        }
        self.log.write(Record(int(self.state.step), epoch + 1.0, TRAIN, values))
        self.state = dataclasses.replace(self.state, epoch_sums=Sums.zero())

    def _affordable(self) -> int:
        """Steps of one dispatch, for whose end a signal waits: by the time of the last ones, of the slowest process."""
        return max(1, int(_PATIENCE / self.pace)) if self.pace else 1

    def _read(
        self, pending: tuple[int, bool, tuple[Sums, Sums]] | None, epoch: int, progress: TrainingProgress
    ) -> None:
        """Waits for a dispatch's figures, checks and shows them, and records them where a window closes."""
        if pending is None:
            return
        position, closes, (epoch_sums, window_sums) = pending
        per_epoch = self.rates.shape[1]
        step, figures = epoch * per_epoch + position, self.means(epoch_sums)
        self.dispatches.arrived()
        if not math.isfinite(figures["loss"]):
            raise self._diverged(f"the training loss is {figures['loss']}", step)
        progress.steps(step, figures["loss"], figures["accuracy"])
        if closes:
            values = self.means(window_sums) | {"learning_rate": float(self.rates[epoch, position - 1])}
            self.log.write(Record(step, step / per_epoch, TRAIN_WINDOW, values))

    def _diverged(self, what: str, step: int) -> DivergedError:
        return DivergedError(
            f"{what} after step {step} (epoch {-(-step // self.rates.shape[1])}); the last good checkpoint is kept; "
            "try a lower config.optimizer.learning_rate, a warm-up, or config.optimizer.clip_norm=1.0"
        )

    def _end_epoch(self, epoch: int, progress: TrainingProgress) -> None:
        """Measures, records and saves, each where it is due."""
        step, measured = int(self.state.step), {}
        epochs = self.rates.shape[0]
        due = (epoch + 1) % self.experiment.train.eval_every_epochs == 0 or epoch + 1 == epochs
        begun = time.monotonic()
        for split, evaluation in self.evaluations.items() if due else ():
            measured[split] = self.means(evaluation(self.state.variables))
            if not math.isfinite(measured[split]["loss"]):
                raise self._diverged(f"the {split} loss is {measured[split]['loss']}", step)
            self.log.write(Record(step, epoch + 1.0, split, measured[split]))
        self.evaluation_seconds += time.monotonic() - begun
        train = self._last(TRAIN).values
        figures = [f"loss {train['loss']:.4f} accuracy {train['accuracy']:.4f}"]
        figures += [f"{split} loss {now['loss']:.4f} accuracy {now['accuracy']:.4f}" for split, now in measured.items()]
        progress.line(f"epoch {epoch + 1}/{epochs}: {'; '.join(figures)}; {train['images_per_second']:,.0f} images/s")
        every = self.experiment.checkpoint.every_epochs
        improved = VALIDATION in measured and self._best()[0] == epoch + 1
        if (epoch + 1) % every == 0 or epoch + 1 == epochs or improved:
            accuracy = measured[VALIDATION]["accuracy"] if VALIDATION in measured else None
            self._save({"accuracy": accuracy, "epoch": epoch + 1.0} if accuracy is not None else None)
        (stop,) = processes.any_wishes(self.stop.received is not None)
        if stop and epoch + 1 < epochs:
            self._stop(progress)

    def _save_is_due(self) -> bool:
        minutes = self.experiment.checkpoint.every_minutes
        # Only the first process's clock counts.
        return minutes is not None and processes.is_first() and time.monotonic() - self.saved_at > 60 * minutes

    def _save(self, validation: dict[str, float] | None = None) -> None:
        self.log.sync()
        self.checkpoints.save(int(self.state.step), sharding.readable(self.state), validation)
        self.saved_at = time.monotonic()

    def _stop(self, progress: TrainingProgress) -> None:
        self._save()
        self.checkpoints.close()
        signal = self.stop.received or "another process was stopped"
        progress.line(f"{signal}: saved at step {int(self.state.step)}; the same command goes on")
        raise Stopped(signal)

    def _last(self, split: str) -> Record:
        return next(record for record in reversed(self.log.records) if record.split == split)

    def _best(self) -> tuple[int, Record]:
        """The epoch that counts, and its test record: best on validation where there is one, else the last."""
        tests = {record.epoch: record for record in self.log.records if record.split == TEST}
        validations = [record for record in self.log.records if record.split == VALIDATION]
        if not validations:
            last = max(tests)
            return int(last), tests[last]
        best = max(validations, key=lambda record: (record.values["accuracy"], -record.epoch))
        return int(best.epoch), tests[best.epoch]

    def result(self) -> dict[str, Any]:
        """The content of result.json."""
        epochs = self.experiment.train.epochs
        best_epoch, best_test = self._best()
        chosen = best_test if self.experiment.checkpoint.select == "best" else self._last(TEST)
        trained = [record for record in self.log.records if record.split == TRAIN]
        speed = statistics.median(record.values["images_per_second"] for record in trained)
        return {
            "test_accuracy": chosen.values["accuracy"],
            "test_loss": chosen.values["loss"],
            "test_top1_error": chosen.values["top1_error"],
            "test_top5_error": chosen.values.get("top5_error"),
            "step": chosen.step,
            "best_epoch": best_epoch,
            "final_epoch": epochs,
            "selected_by": "validation_accuracy" if self.experiment.checkpoint.select == "best" else "last_epoch",
            "parameters": self.parameters,
            "images_per_second": speed,
            "performance": performance(self.experiment, self.training_flop, speed, self.dispatches.step_seconds()),
            "seconds": {
                "compile": self.compile_seconds,
                "training": sum(record.values["seconds"] for record in trained),
                "evaluation": self.evaluation_seconds,
                "total": self.compile_seconds + time.monotonic() - self.started,
            },
        }

    def close(self) -> None:
        """Ends what reads ahead and what writes to the disk."""
        self.dispatches.close()
        self.advance.close()
        self.checkpoints.close()
        self.log.close()
