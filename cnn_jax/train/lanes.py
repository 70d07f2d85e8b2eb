"""Runs of one config but for its seed, trained by one program: each has a lane of it, as `jax.vmap` makes them.

Each run has its own loop, records and checkpoints; the lanes' states meet in the calls of the compiled programs alone.
A lane whose run has ended, or waits for others to catch up, is filled with another's values, so that
the program is one and the same from the first step to the last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float32, PRNGKeyArray

from cnn_jax.data import pipeline
from cnn_jax.data.pipeline import DeviceSplit
from cnn_jax.data.split import Split
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import compilation, resident, sharding, steps
from cnn_jax.train.metrics import Sums
from cnn_jax.train.state import TrainState
from cnn_jax.train.training import Training
from cnn_jax.train.turns import Turns

if TYPE_CHECKING:
    from cnn_jax.data.stream import Stream

T = TypeVar("T")

_COMPILE, _EVALUATE, _TRAIN = range(3)  # at one step, in this order


class Lane:
    """One run's company, where others have the other lanes."""

    shares = 1  # every lane has its whole batch on one device

    def __init__(self, turns: Turns, number: int, size: int, stop: StopSignal):
        """Takes a lane.

        Args:
          turns: of all the runs.
          number: of this one, from 0.
          size: how many there are.
          stop: that listens for all of them.
        """
        self.size = size
        self.mesh = sharding.data_mesh(jax.devices()[: devices_for(size, jax.device_count())])
        self._turns, self._number, self._stop = turns, number, stop
        self._step = self._evaluations = 0

    def stop(self) -> contextlib.AbstractContextManager[StopSignal]:
        """The wish to stop that all lanes share."""
        return contextlib.nullcontext(self._stop)

    def train_steps(self, training: Training) -> _LaneSteps:
        """As `programs.train_steps`, for all lanes."""
        split = _resident(training.split)
        self._step = int(training.state.step)
        everywhere = sharding.replicated(self.mesh)
        order = resident.epoch_orders(training.recipe, len(split), training.order_key, everywhere)
        compile_for_all = functools.partial(_one_for_all, functools.partial(_TrainTogether, self.mesh, self.size))
        program = self._turns.call(self._number, (-1, _COMPILE, 0), (training, order(0)), compile_for_all)
        return _LaneSteps(self, program, order)

    def evaluation(
        self, recipe: steps.Recipe, state: TrainState, split: Split | Stream, constants: pipeline.Normalization
    ) -> Callable[[Any], Sums]:
        """As `programs.evaluation`, for all lanes."""
        self._evaluations = number = self._evaluations + 1
        compile_for_all = functools.partial(
            _one_for_all, functools.partial(_EvaluateTogether, recipe, self.mesh, self.size)
        )
        argument = (state.variables, _resident(split), constants)
        program = self._turns.call(self._number, (-1, _COMPILE, number), argument, compile_for_all)
        return lambda variables: self._turns.call(self._number, (self._step, _EVALUATE, number), variables, program)

    def advance(self, program: _TrainTogether, argument: _Steps) -> tuple[TrainState, tuple[Sums, Sums]]:
        """Takes steps together with the lanes that are to take the same ones."""
        begun = argument.epoch * len(argument.rates)
        order = (begun + argument.first, _TRAIN, begun + argument.last)
        result: tuple[TrainState, tuple[Sums, Sums]] = self._turns.call(self._number, order, argument, program)
        self._step = begun + argument.last
        return result


def devices_for(lanes: int, available: int) -> int:
    """As many devices as can share the lanes evenly."""
    return max(count for count in range(1, available + 1) if lanes % count == 0)


@dataclasses.dataclass(frozen=True)
class _Steps:
    """Steps of one lane, as `training.Advance` takes them."""

    state: TrainState
    epoch: int
    rates: Float32[np.ndarray, " steps"]
    first: int
    last: int
    order: jax.Array


class _LaneSteps:
    """`training.Advance` of one lane."""

    def __init__(self, lane: Lane, program: _TrainTogether, order: Callable[[int], jax.Array]):
        self._lane, self._program, self._order = lane, program, order

    def __call__(
        self, state: TrainState, epoch: int, rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """As `training.Advance` has it."""
        return self._lane.advance(self._program, _Steps(state, epoch, rates, first, last, self._order(epoch)))

    def text(self) -> str:
        """The compiled program of all lanes, as XLA writes it."""
        return self._program.text()

    def close(self) -> None:
        """Nothing is read ahead."""


class _TrainTogether:
    """`resident.advance` for every lane, as one program."""

    def __init__(self, mesh: Mesh, size: int, starts: Mapping[int, tuple[Training, jax.Array]]):
        self._size = size
        lanes, orders = zip(*_filled(size, starts), strict=True)
        recipe, rates = lanes[0].recipe, lanes[0].rates
        data, axis = _joint_split([_resident(lane.split) for lane in lanes], mesh)
        self._before = (data, tuple(lane.constants for lane in lanes), tuple(lane.colours for lane in lanes))
        self._keys = tuple(lane.step_key for lane in lanes)
        states = tuple(lane.state for lane in lanes)
        self._compiled = compilation.compile_once(
            ("train lanes", recipe.compiled_in, size, axis),
            functools.partial(_advance_lanes, recipe, mesh, axis),
            (states, *self._before, orders, rates, np.int32(0), np.int32(0), self._keys),
            donate_argnums=0,
            out_shardings=sharding.replicated(mesh),
        )

    def __call__(self, arguments: Mapping[int, _Steps]) -> dict[int, tuple[TrainState, tuple[Sums, Sums]]]:
        """Takes the same steps of the same epoch in these lanes."""
        some = next(iter(arguments.values()))
        lanes = _filled(self._size, arguments)
        # A state is given up to the program, and can be so only once.
        states = tuple(
            lane.state if number in arguments else jax.tree.map(jnp.copy, lane.state)
            for number, lane in enumerate(lanes)
        )
        orders = tuple(lane.order for lane in lanes)
        bounds = np.int32(some.first), np.int32(some.last)
        results = self._compiled(states, *self._before, orders, some.rates, *bounds, self._keys)
        return {number: results[number] for number in arguments}

    def text(self) -> str:
        """The compiled program, as XLA writes it."""
        return self._compiled.as_text() or ""


class _EvaluateTogether:
    """`steps.evaluate` for every lane, as one program."""

    def __init__(self, recipe: steps.Recipe, mesh: Mesh, size: int, starts: Mapping[int, Any]):
        self._size = size
        variables, splits, constants = zip(*_filled(size, starts), strict=True)
        data, axis = _joint_split(splits, mesh)
        batch = min(recipe.experiment.train.eval_batch_size, len(splits[0]))
        self._after = (data, constants, sharding.on_all(pipeline.file_order(len(splits[0]), batch), mesh))
        self._compiled = compilation.compile_once(
            ("evaluate lanes", recipe.compiled_in, size, axis),
            functools.partial(_evaluate_lanes, recipe, mesh, axis),
            (variables, *self._after),
            out_shardings=sharding.replicated(mesh),
        )

    def __call__(self, arguments: Mapping[int, Any]) -> dict[int, Sums]:
        """Measures these lanes' networks."""
        sums = self._compiled(tuple(_filled(self._size, arguments)), *self._after)
        return {number: sums[number] for number in arguments}


def _advance_lanes(
    recipe: steps.Recipe,
    mesh: Mesh,
    data_axis: int | None,
    states: tuple[TrainState, ...],
    data: DeviceSplit,
    constants: tuple[pipeline.Normalization, ...],
    colours: tuple[pipeline.Colours | None, ...],
    orders: tuple[jax.Array, ...],
    rates: jax.Array,
    first: jax.Array,
    last: jax.Array,
    keys: tuple[PRNGKeyArray, ...],
) -> tuple[tuple[TrainState, tuple[Sums, Sums]], ...]:
    def one(state: Any, data: Any, constants: Any, colours: Any, order: Any, key: Any) -> Any:
        return resident.advance(recipe, state, data, constants, colours, order, rates, first, last, key)

    stacked = [_stack(each, mesh) for each in (states, constants, colours, orders, keys)]
    results = jax.vmap(one, in_axes=(0, data_axis, 0, 0, 0, 0))(stacked[0], data, *stacked[1:])
    return _unstack(results, len(states))


def _evaluate_lanes(
    recipe: steps.Recipe,
    mesh: Mesh,
    data_axis: int | None,
    variables: tuple[Any, ...],
    data: DeviceSplit,
    constants: tuple[pipeline.Normalization, ...],
    order: jax.Array,
) -> tuple[Sums, ...]:
    one = functools.partial(steps.evaluate, recipe)
    stacked = (_stack(variables, mesh), data, _stack(constants, mesh), order)
    return _unstack(jax.vmap(one, in_axes=(0, data_axis, 0, None))(*stacked), len(variables))


def _one_for_all(compile_it: Callable[[Mapping[int, Any]], T], starts: Mapping[int, Any]) -> dict[int, T]:
    """Compiles, and gives every lane the same program."""
    return dict.fromkeys(starts, compile_it(starts))


def _stack(trees: tuple[Any, ...], mesh: Mesh) -> Any:
    """One tree of the lanes' values, each device's share of the lanes on it."""
    where = NamedSharding(mesh, PartitionSpec("data"))
    return jax.tree.map(lambda *each: jax.lax.with_sharding_constraint(jnp.stack(each), where), *trees)


def _unstack(tree: Any, size: int) -> tuple[Any, ...]:
    """The lanes' values of one tree."""
    return tuple(jax.tree.map(lambda each, lane=lane: each[lane], tree) for lane in range(size))


def _filled(size: int, given: Mapping[int, Any]) -> list[Any]:
    """A value for every lane: its own, or of one that has one."""
    some = next(iter(given.values()))
    return [given.get(number, some) for number in range(size)]


def _resident(split: Split | Stream) -> Split:
    assert isinstance(split, Split), "lanes are for images that lie on the devices"
    return split


def _joint_split(splits: Sequence[Split], mesh: Mesh) -> tuple[DeviceSplit, int | None]:
    """The lanes' images on the devices, once where they are the same; and the axis of the lanes."""
    first = splits[0]
    if all(_same(first, other) for other in splits[1:]):
        return resident.on_devices(first, mesh), None
    where = NamedSharding(mesh, PartitionSpec("data"))
    arrays = [np.stack([np.asarray(getattr(split, name)) for split in splits]) for name in ("images", "labels")]
    return DeviceSplit(*(jax.device_put(array, where) for array in arrays)), 0


def _same(first: Split, other: Split) -> bool:
    return np.array_equal(first.labels, other.labels) and np.array_equal(first.images, other.images)
