"""Runs that differ in their seed alone, trained in lockstep by one program: `jax.vmap` over a member axis.

Every array of the program has a leading member axis, which the devices share; records and checkpoints are fanned out to
each member's folder, where they look as if the member had been trained alone. Batched products may round differently
from those of a run alone, so `provenance.json` records the size of the ensemble.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int32, PRNGKeyArray
from rich.console import Console

from cnn_jax import compilation, identity, pretrained
from cnn_jax.config import Experiment
from cnn_jax.data.device import pipeline
from cnn_jax.data.device.pipeline import DeviceSplit, Preprocessing
from cnn_jax.data.sources import memory
from cnn_jax.data.split import Split
from cnn_jax.geometry import preflight
from cnn_jax.identity import Loaded
from cnn_jax.models import Variables
from cnn_jax.run.recorder import Paused, Recorder, Stopped
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import inputs, sharding
from cnn_jax.train.inputs import Evaluation, Keys, TrainInput
from cnn_jax.train.loop import CompiledRun, train
from cnn_jax.train.metrics import Sums
from cnn_jax.train.run_group import RunGroup
from cnn_jax.train.step import StepConfig, TrainState, create_state, evaluate, train_steps


class Member(NamedTuple):
    """One run of an ensemble: its config, its folder, and where its progress is printed."""

    experiment: Experiment
    workdir: Path
    console: Console | None = None


def train_and_evaluate(
    members: Sequence[Member], data_dir: Path | None = None, until_epoch: int | None = None
) -> list[dict[str, Any] | BaseException]:
    """Trains the networks of an ensemble, or continues training them.

    Members that are done are not repeated; those that cannot start leave the others to train. All others start from the
    newest step of which every one has a checkpoint.

    Args:
      members: Runs whose configs differ in the seed alone, their images in memory.
      data_dir: Folder of prepared data; None is the default folder.
      until_epoch: Epoch after whose end they save and pause; None trains to the end.

    Returns:
      For each member the content of its result.json, or the exception that ended it.
    """
    preflight.check_settings()
    ends: dict[int, dict[str, Any] | BaseException] = {}
    with StopSignal() as stop, contextlib.ExitStack() as opened:
        runs: dict[int, Recorder] = {}
        datasets: dict[int, Loaded] = {}
        for number, member in enumerate(members):
            try:
                run = opened.enter_context(Recorder(*member))
                run.folder.claim(member.experiment)
                if (result := run.finished()) is not None:
                    ends[number] = result.to_json()
                    continue
                preflight.check_process(member.experiment)
                compilation.enable_cache()
                runs[number], datasets[number] = run, _load(run, data_dir)
            except preflight.REFUSALS as error:
                ends[number] = error
        if runs:
            started = time.monotonic()
            described = [loaded.described for loaded in datasets.values()]
            group = RunGroup(list(runs.values()), described, stacked=True)
            try:
                compiled = _prepare(group, list(datasets.values()))
                seconds = time.monotonic() - started
                results = train(group, compiled, stop, compile_seconds=seconds, until_epoch=until_epoch)
                ends |= {n: end.to_json() for n, end in zip(runs, results, strict=True) if end is not None}
            except (Paused, Stopped) as end:
                ends |= dict.fromkeys(runs, end)
            ends |= {number: run.error for number, run in runs.items() if run.error is not None}
    return [ends[number] for number in range(len(members))]


def num_devices(members: int, available: int) -> int:
    """Gives the most devices that can share the members evenly."""
    return max(count for count in range(1, available + 1) if members % count == 0)


def _load(run: Recorder, data_dir: Path | None) -> Loaded:
    """Loads a member's data, and checks that they are what its folder records and that its network fits."""
    loaded = identity.load(run.experiment, data_dir)
    identity.check_resumed(run.folder, run.experiment, loaded.described)
    preflight.check(run.experiment, loaded.dataset, devices=1)
    return loaded


def _prepare(group: RunGroup, loaded: Sequence[Loaded]) -> CompiledRun:
    """Restores or creates the members' states, and compiles their programs."""
    datasets = [each.dataset for each in loaded]
    experiment, first = group.experiment, datasets[0]
    mesh = sharding.data_mesh(jax.devices()[: num_devices(len(datasets), jax.device_count())])
    config = StepConfig.of(experiment, first.num_classes)
    starts = [_start(config, run.experiment, own) for run, own in zip(group.runs, loaded, strict=True)]
    group.begin()
    variables, preprocessing, keys = _stack(starts, mesh)
    state: TrainState = compilation.compile_once(_create, _Static(config, mesh), (variables,))(variables)
    restored = group.restore(jax.eval_shape(functools.partial(create_state, config), starts[0][0]))
    if restored is not None:
        state = _stack(restored, mesh)
    splits = [dataset.measured for dataset in datasets]
    return CompiledRun(
        state=state,
        inputs=_training(config, [own.train for own in datasets], preprocessing, keys, state, mesh),
        evaluations={
            name: _evaluation(config, [each[name] for each in splits], preprocessing, state.variables, mesh)
            for name in splits[0]
        },
        examples=len(first.train),
        summary=preflight.check(experiment, first, devices=1),
    )


def _start(config: StepConfig, experiment: Experiment, own: Loaded) -> tuple[Variables, Preprocessing, Keys]:
    """Computes the variables that a member starts from, the constants of its images and its random keys."""
    keys = Keys.of(experiment.seed)
    variables = pretrained.initial_variables(config.network, experiment, keys.init, own.dataset.image_shape)
    return variables, own.preprocessing, keys


class _Static(NamedTuple):
    """Static part of an ensemble's programs.

    Attributes:
      config: Static part of one member's steps.
      mesh: Mesh of the devices that share the members.
      image_axis: 0 where each member has images of its own, None where all read the same.
    """

    config: StepConfig
    mesh: Mesh
    image_axis: int | None = None

    def map_members(self, function: Callable[..., Any], in_axes: tuple[Any, ...]) -> Callable[..., Any]:
        """Maps a function of one member over all, each device over its own ones.

        Args:
          function: Function of arrays.
          in_axes: For each argument 0 where it has a member axis, None where all members share it.
        """

        def spec(axis: int | None) -> PartitionSpec:
            return PartitionSpec() if axis is None else PartitionSpec("data")

        in_specs = jax.tree.map(spec, in_axes, is_leaf=lambda axis: axis is None)
        mapped = jax.vmap(function, in_axes)
        return jax.shard_map(mapped, mesh=self.mesh, in_specs=in_specs, out_specs=spec(0), check_vma=False)

    @property
    def split_axes(self) -> Any:
        """`in_axes` of a split on the devices."""
        return DeviceSplit(self.image_axis, self.image_axis, 0)  # type: ignore[arg-type]


def _create(static: _Static, variables: Variables) -> TrainState:
    return static.map_members(functools.partial(create_state, static.config), (0,))(variables)


def _epoch_orders(
    static: tuple[_Static, int, int], keys: PRNGKeyArray, epoch: Int32[Array, ""]
) -> Int32[Array, "m steps b"]:
    members, examples, batch_size = static
    order = functools.partial(inputs.epoch_order, (examples, batch_size))
    return members.map_members(order, (0, None))(keys, epoch)


def _train_steps(
    static: _Static,
    state: TrainState,
    data: DeviceSplit,
    orders: Array,
    learning_rates: Array,
    bounds: tuple[Array, Array],
    keys: PRNGKeyArray,
) -> tuple[TrainState, tuple[Sums, Sums]]:
    member = functools.partial(train_steps, static.config)
    result: tuple[TrainState, tuple[Sums, Sums]] = static.map_members(member, (0, static.split_axes, 0, None, None, 0))(
        state, data, orders, learning_rates, bounds, keys
    )
    return result


def _evaluate(static: _Static, variables: Variables, data: DeviceSplit, order: Array) -> Sums:
    member = functools.partial(evaluate, static.config)
    sums: Sums = static.map_members(member, (0, static.split_axes, None))(variables, data, order)
    return sums


def _training(
    config: StepConfig, splits: Sequence[Any], preprocessing: Preprocessing, keys: Keys, state: TrainState, mesh: Mesh
) -> TrainInput:
    """As `inputs.training`, with a member axis."""
    data, image_axis = _on_devices(splits, preprocessing, mesh)
    static = _Static(config, mesh, image_axis)
    sizes = len(splits[0]), config.train.batch_size
    draw = compilation.compile_once(_epoch_orders, (static, *sizes), (keys.order, np.int32(0)))
    return inputs.in_memory(_train_steps, static, state, data, lambda epoch: draw(keys.order, epoch), keys.step)


def _evaluation(
    config: StepConfig, splits: Sequence[Any], preprocessing: Preprocessing, variables: Variables, mesh: Mesh
) -> Evaluation:
    """As `inputs.evaluation`, for all members."""
    data, image_axis = _on_devices(splits, preprocessing, mesh)
    size = min(config.train.eval_batch_size, len(splits[0]))
    order = sharding.put(pipeline.file_order(len(splits[0]), size), sharding.replicated(mesh))
    compiled = compilation.compile_once(_evaluate, _Static(config, mesh, image_axis), (variables, data, order))
    return lambda variables: compiled(variables, data, order)


def _on_devices(splits: Sequence[Any], preprocessing: Preprocessing, mesh: Mesh) -> tuple[DeviceSplit, int | None]:
    """Puts the members' images on the devices, once where all are the same.

    Returns:
      (the split, `_Static.image_axis`).

    Raises:
      TypeError: Where images are streamed.
      DataError: Where images of their own do not fit into the memory that is left.
    """
    for split in splits:
        if not isinstance(split, Split):
            raise TypeError(f"an ensemble trains on images in memory; got a {type(split).__name__}")
    first = splits[0]
    if all(
        each is first or (np.array_equal(first.labels, each.labels) and np.array_equal(first.images, each.images))
        for each in splits
    ):
        return inputs.on_devices(first, preprocessing, mesh), None
    memory.require(
        2 * sum(each.images.nbytes for each in splits),
        f"config.data: {len(splits)} runs that are trained together, each on images of its own",
        "sweep without --vectorize=seeds, or set config.data.validation_fraction=0, so that they share them",
    )
    images, labels = _stack([(each.images, each.labels) for each in splits], mesh)
    return DeviceSplit(images, labels, preprocessing), 0


def _stack(trees: Sequence[Any], mesh: Mesh) -> Any:
    """Stacks the members' trees along a leading axis that the devices share."""
    where = NamedSharding(mesh, PartitionSpec("data"))

    def one(*leaves: Any) -> jax.Array:
        stack = np.stack if isinstance(leaves[0], np.ndarray | np.generic) else jnp.stack
        return jax.device_put(stack(leaves), where)

    return jax.tree.map(one, *trees)
