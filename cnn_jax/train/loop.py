"""The training loop: one run from its config to its result."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from cnn_jax import compilation, geometry, identity, pretrained
from cnn_jax.config import Experiment
from cnn_jax.data import DataError
from cnn_jax.data.device import pipeline
from cnn_jax.data.errors import UnreadableRecordError
from cnn_jax.geometry import preflight
from cnn_jax.run import errors
from cnn_jax.run.errors import RunFailed
from cnn_jax.run.metrics_log import TRAIN, TRAIN_WINDOW
from cnn_jax.run.recorder import DivergedError, Paused, Recorder, Stopped
from cnn_jax.run.records import Result
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import distributed, inputs, optimizer, sharding
from cnn_jax.train.inputs import Evaluation, Keys, TrainInput
from cnn_jax.train.profiling import Chunk, Dispatcher, Trace
from cnn_jax.train.run_group import RunGroup
from cnn_jax.train.step import StepConfig, TrainState, create_state

__all__ = ["DivergedError", "Paused", "RunFailed", "Stopped", "train_and_evaluate"]


def train_and_evaluate(
    experiment: Experiment,
    workdir: Path,
    data_dir: Path | None = None,
    console: Console | None = None,
    profile: bool = False,
    until_epoch: int | None = None,
) -> dict[str, Any]:
    """Trains a network, or resumes training it, and evaluates it on the test images.

    Args:
      experiment: The resolved config.
      workdir: Folder of the run. An interrupted run in it is resumed, a finished one is not repeated.
      data_dir: Folder of prepared data; None is the default folder.
      console: Console for progress; None is standard output.
      profile: Whether to trace some steps (`profiling.Trace`). With several processes, the first one traces if any
        asks for it.
      until_epoch: Epoch after which the run saves and pauses; the learning-rate schedule still covers all of
        train.epochs. None trains to the end.

    Returns:
      The content of result.json.

    Raises:
      ConfigError: If the config does not fit the data or the devices.
      DataError: If the images are not available.
      GeometryError: If the network does not fit the images.
      RunFolderError: If the folder cannot be used.
      WeightsError: If the initial weights cannot be read or do not fit.
      DivergedError: If the loss becomes infinite or NaN.
      Stopped: On SIGTERM or SIGINT, after saving the state.
      Paused: After `until_epoch`, once the state is saved.
      RunFailed: If memory or a file is refused during training, or a record cannot be read.
      OtherProcessFailed: If the first of several processes raised one of these before training began.
    """
    preflight.check_settings()
    with Recorder(experiment, workdir, console, distributed.is_first()) as run, StopSignal() as stop:
        distributed.on_first(lambda: run.folder.claim(experiment))
        if (result := run.finished()) is not None:
            return result.to_json()
        preflight.check_process(experiment)
        compilation.enable_cache()
        dataset, preprocessing, described = identity.load(experiment, data_dir)
        distributed.on_first(lambda: identity.check_resumed(run.folder, experiment, described))
        mesh = sharding.data_mesh()
        summary = preflight.check(experiment, dataset, mesh.size)
        started = time.monotonic()
        config = StepConfig.of(experiment, dataset.num_classes, mesh.abstract_mesh)
        keys = Keys.of(experiment.seed)
        variables = pretrained.initial_variables(config.network, experiment, keys.init, dataset.image_shape)
        group = RunGroup([run], [described])
        group.begin()
        variables, preprocessing, keys = sharding.put((variables, preprocessing, keys), sharding.replicated(mesh))
        shape = jax.eval_shape(functools.partial(create_state, config), variables)
        shardings = sharding.of_state(shape, mesh, config.train)
        state = compilation.compile_once(create_state, config, (variables,), out_shardings=shardings)(variables)
        if (restored := group.restore(state)) is not None:
            state = sharding.put(restored[0], shardings)
        compiled = CompiledRun(
            state=state,
            inputs=inputs.training(config, dataset.train, preprocessing, keys, state, mesh),
            evaluations={
                name: inputs.evaluation(config, split, preprocessing, state.variables, mesh)
                for name, split in dataset.measured.items()
            },
            examples=len(dataset.train),
            summary=summary,
        )
        [result] = train(group, compiled, stop, profile, time.monotonic() - started, until_epoch)
    if result is None:
        raise run.error or AssertionError("a run without a result has an error")
    return result.to_json()


class CompiledRun(NamedTuple):
    """Initial state, compiled programs and layer table of a run, or of an ensemble of runs that differ in the seed.

    Attributes:
      state: Initial state; the arrays of an ensemble have a leading member axis.
      inputs: The train steps with their batches.
      evaluations: Evaluation of each measured split by name, the test split last.
      examples: Number of training images.
      summary: Layer table of the network.
    """

    state: TrainState
    inputs: TrainInput
    evaluations: Mapping[str, Evaluation]
    examples: int
    summary: geometry.Summary


def chunks(
    experiment: Experiment, steps_per_epoch: int, step: int, affordable_steps: Callable[[], int]
) -> Iterator[Chunk]:
    """Splits the rest of an epoch into dispatches.

    Args:
      experiment: The resolved config.
      steps_per_epoch: Steps of an epoch.
      step: Steps taken since the start of training.
      affordable_steps: Returns the largest number of steps for the next dispatch.

    Yields:
      Chunks up to the end of the epoch. Windows end only with full dispatches of steps_per_dispatch steps, so that a
      resumed run has the same records.
    """
    epoch_start = step - step % steps_per_epoch
    dispatch_steps, log_every = experiment.train.steps_per_dispatch, experiment.log.every_steps
    first = step % steps_per_epoch
    while first < steps_per_epoch:
        start = first - first % dispatch_steps
        end = min(start + dispatch_steps, steps_per_epoch)
        last = min(end, first + affordable_steps())
        crosses = (epoch_start + end) // log_every > (epoch_start + start) // log_every
        yield Chunk(first, last, ends_window=last == end and crosses)
        first = last


@errors.started(DataError, UnreadableRecordError)
def train(
    group: RunGroup,
    compiled: CompiledRun,
    stop: StopSignal,
    profile: bool = False,
    compile_seconds: float = 0.0,
    until_epoch: int | None = None,
) -> list[Result | None]:
    """Trains a run, or the members of an ensemble in lockstep, for all epochs.

    Args:
      group: The run, or the members of the ensemble. A run whose loss is not finite ends with an error; the others
        continue.
      compiled: Initial state and compiled programs.
      stop: Signal to stop between two dispatches.
      profile: Whether to trace some steps.
      compile_seconds: Seconds spent on the initial state and on compilation.
      until_epoch: Epoch after which the runs save and pause; None trains to the end.

    Returns:
      The result of each run; None if it ended with an error.

    Raises:
      Stopped: On a signal, after saving the states.
      Paused: After `until_epoch`, once the states are saved.
      RunFailed: If memory or a file is refused, or a record cannot be read.
    """
    started, evaluation_seconds = time.monotonic(), 0.0
    experiment, state, step = group.experiment, compiled.state, int(np.ravel(compiled.state.step)[0])
    epochs, peak = experiment.train.epochs, experiment.optimizer.learning_rate
    steps_per_epoch = pipeline.steps_per_epoch(compiled.examples, experiment.train.batch_size)
    learning_rates = optimizer.learning_rates(experiment.schedule, peak, epochs, steps_per_epoch)
    steps_left, trace = epochs * steps_per_epoch - step, None
    if distributed.any_process(profile)[0] and steps_left:
        trace = Trace(group.runs[0], steps_left, compiled.inputs.program_text)
    dispatcher = Dispatcher(compiled.inputs.train_steps, trace)
    for run in group.runs:
        run.resume(step, epochs * steps_per_epoch)
    group.prepare_saves(state)

    def record_finished(max_in_flight: int) -> None:
        """Records the metrics of finished dispatches, waiting until at most `max_in_flight` are unfinished."""
        for chunk, (epoch_sums, window_sums) in dispatcher.read(max_in_flight):
            end = epoch * steps_per_epoch + chunk.last
            group.show(end, end / steps_per_epoch, epoch_sums)
            if chunk.ends_window:
                learning_rate = float(learning_rates[epoch, chunk.last - 1])
                group.record(end, end / steps_per_epoch, TRAIN_WINDOW, window_sums, learning_rate=learning_rate)

    with contextlib.closing(compiled.inputs), contextlib.closing(dispatcher):
        for epoch in range(step // steps_per_epoch, epochs):
            if until_epoch is not None and epoch >= until_epoch:
                raise group.paused(epoch, step, state)
            epoch_started, first_step = time.monotonic(), step
            for chunk in chunks(experiment, steps_per_epoch, step, dispatcher.affordable_steps):
                state = dispatcher.dispatch(state, epoch, learning_rates[epoch], chunk)
                step = epoch * steps_per_epoch + chunk.last
                if chunk.ends_window:
                    state = state.reset("window_sums")
                # One dispatch stays in flight, so that the devices never wait. Several processes synchronize first.
                record_finished(max_in_flight=0 if jax.process_count() > 1 or chunk.last == steps_per_epoch else 1)
                if chunk.last == steps_per_epoch or not group.running:
                    break
                stops, saves = distributed.any_process(stop.received is not None, group.save_is_due)
                if stops or saves:
                    record_finished(max_in_flight=0)
                    if stops:
                        raise group.stopped(stop, step, state)
                    group.save(step, state)
            if not group.running:
                break
            seconds = time.monotonic() - epoch_started
            images = compiled.examples - first_step % steps_per_epoch * experiment.train.batch_size
            learning_rate = float(learning_rates[epoch, -1])
            figures = {"learning_rate": learning_rate, "images_per_second": images / seconds, "seconds": seconds}
            group.record(step, epoch + 1.0, TRAIN, jax.device_get(state.epoch_sums), **figures)
            state = state.reset("epoch_sums")
            if (epoch + 1) % experiment.train.eval_every_epochs == 0 or epoch + 1 == epochs:
                evaluation_started = time.monotonic()
                for split, evaluate in compiled.evaluations.items():
                    group.record(step, epoch + 1.0, split, jax.device_get(evaluate(state.variables)))
                evaluation_seconds += time.monotonic() - evaluation_started
            if not group.running:
                break
            group.print_epoch(epoch + 1)
            if (epoch + 1) % experiment.checkpoint.every_epochs == 0 or epoch + 1 == epochs or group.improved_at(step):
                group.save(step, state)
            (stops,) = distributed.any_process(stop.received is not None)
            if stops and epoch + 1 < epochs:
                raise group.stopped(stop, step, state)
    total = compile_seconds + time.monotonic() - started
    seconds_of = {"compile": compile_seconds, "evaluation": evaluation_seconds, "total": total}
    return group.write_results(compiled.summary, dispatcher.percentiles(), seconds_of)
