"""Compiles the steps together with their data: images in device memory, or streamed from the host.

Small data sets are kept on the devices, and one dispatch runs many steps. Large ones are read and decoded by
`cnn_jax.data.sources.stream`, one step per dispatch. Both run the same step on the same batches.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float32, Int32, PRNGKeyArray

from cnn_jax import compilation
from cnn_jax.data.device import pipeline
from cnn_jax.data.device.pipeline import Batch, DeviceSplit, Preprocessing
from cnn_jax.data.sources import memory
from cnn_jax.data.split import Split
from cnn_jax.geometry import preflight
from cnn_jax.models import Variables
from cnn_jax.train import sharding
from cnn_jax.train.metrics import Sums
from cnn_jax.train.step import StepConfig, TrainState, eval_step, evaluate, train_step, train_steps

if TYPE_CHECKING:
    from cnn_jax.data.sources.stream import Stream

# Purposes of random keys, folded into the experiment's key.
_INIT, _ORDER, _STEP = range(3)

Evaluation = Callable[[Variables], Sums]  # evaluates variables on a whole split


class Keys(NamedTuple):
    """Random keys of a run: initial variables; order of the images; augmentation and dropout."""

    init: PRNGKeyArray
    order: PRNGKeyArray
    step: PRNGKeyArray

    @classmethod
    def of(cls, seed: int) -> Keys:
        """Derives the keys from an experiment's seed."""
        return cls(*_derived_keys(seed))


@jax.jit  # one small program in place of five: each costs a hundredth of a second, even from the cache
def _derived_keys(seed: Array) -> tuple[PRNGKeyArray, ...]:
    key = jax.random.key(seed)
    return tuple(jax.random.fold_in(key, purpose) for purpose in (_INIT, _ORDER, _STEP))


class TrainInput(NamedTuple):
    """Compiled train steps with their batches.

    Attributes:
      train_steps: Takes consecutive steps of an epoch. Its arguments are the state, whose buffers are donated, the
        epoch's number from 0, the epoch's learning rates, the first step within the epoch and the one after the last.
        It returns the result of the last `step.train_step`.
      program_text: Returns the text of the compiled program.
      close: Stops prefetching batches.
    """

    train_steps: Callable[
        [TrainState, int, Float32[np.ndarray, " steps"], int, int], tuple[TrainState, tuple[Sums, Sums]]
    ]
    program_text: Callable[[], str | None]
    close: Callable[[], None] = lambda: None


def training(
    config: StepConfig, split: Split | Stream, preprocessing: Preprocessing, keys: Keys, state: TrainState, mesh: Mesh
) -> TrainInput:
    """Compiles the train steps for a split.

    Args:
      config: Static part of the steps.
      split: Training images.
      preprocessing: Constants that normalize the images, on the devices.
      keys: Random keys of the run, on the devices.
      state: State with the shapes to compile for.
      mesh: Mesh of the devices.
    """
    shardings = (sharding.of_state(state, mesh, config.train), sharding.replicated(mesh))
    if isinstance(split, Split):
        data, sizes = on_devices(split, preprocessing, mesh), (len(split), config.train.batch_size)
        arguments = keys.order, np.int32(0)
        draw = compilation.compile_once(epoch_order, sizes, arguments, out_shardings=sharding.batches(mesh))
        return in_memory(
            train_steps, config, state, data, lambda epoch: draw(keys.order, epoch), keys.step, out_shardings=shardings
        )

    from cnn_jax.data.device.device_feed import DeviceFeed

    batches, example = _streamed(split, config.train.batch_size, preprocessing, mesh)
    step_arguments = (state, example, np.float32(0), keys.step)
    one_step = compilation.compile_once(train_step, config, step_arguments, donate_argnums=0, out_shardings=shardings)
    feed: DeviceFeed | None = None
    next_step = -1

    def streamed(
        state: TrainState, epoch: int, learning_rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        nonlocal feed, next_step
        step = epoch * len(learning_rates) + first
        if feed is None:
            feed, next_step = DeviceFeed(batches, step, sharding.one_batch(mesh)), step
        if step != next_step:
            raise ValueError(f"streamed batches come in the order of the steps: expected step {next_step}, got {step}")
        for learning_rate in learning_rates[first:last]:
            state, sums = one_step(state, Batch(*next(feed), preprocessing), learning_rate, keys.step)
        next_step += last - first
        return state, sums

    return TrainInput(streamed, one_step.as_text, lambda: feed.close() if feed is not None else None)


def in_memory(
    function: Callable[..., Any],
    static: Hashable,
    state: TrainState,
    data: DeviceSplit,
    order: Callable[[np.int32], Int32[Array, "..."]],
    key: PRNGKeyArray,
    **jit: Any,
) -> TrainInput:
    """Compiles train steps on images in device memory, many steps per dispatch.

    Args:
      function: `step.train_steps`, or its counterpart for an ensemble.
      static: Static first argument of the function.
      state: State with the shapes to compile for.
      data: Training images.
      order: Draws the image indices of an epoch's batches, [..., steps, batch]; called once per epoch.
      key: Key of the run's steps.
      jit: Further arguments of `jax.jit`.
    """
    order = functools.lru_cache(maxsize=1)(order)
    batches = order(np.int32(0))
    arguments = (state, data, batches, np.zeros(batches.shape[-2], np.float32), (np.int32(0), np.int32(0)), key)
    program = compilation.compile_once(function, static, arguments, donate_argnums=0, **jit)

    def chunk(
        state: TrainState, epoch: int, learning_rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        return program(state, data, order(np.int32(epoch)), learning_rates, (np.int32(first), np.int32(last)), key)

    return TrainInput(chunk, program.as_text)


def evaluation(
    config: StepConfig, split: Split | Stream, preprocessing: Preprocessing, variables: Variables, mesh: Mesh
) -> Evaluation:
    """Compiles the evaluation of a split.

    Args:
      config: Static part of the steps.
      split: Images to evaluate.
      preprocessing: Constants that normalize the images, on the devices.
      variables: Variables with the shapes to compile for.
      mesh: Mesh of the devices.
    """
    everywhere = sharding.replicated(mesh)
    size = preflight.whole_batch(min(config.train.eval_batch_size, len(split)), mesh.size)
    if isinstance(split, Split):
        data = on_devices(split, preprocessing, mesh)
        order = jax.device_put(pipeline.file_order(len(split), size), sharding.batches(mesh))
        whole = compilation.compile_once(evaluate, config, (variables, data, order), out_shardings=everywhere)
        return lambda variables: whole(variables, data, order)

    from cnn_jax.data.device.device_feed import DeviceFeed

    batches, example = _streamed(split, size, preprocessing, mesh)
    one_batch = compilation.compile_once(eval_step, config, (variables, example), out_shardings=everywhere)

    def streamed(variables: Variables) -> Sums:
        sums = Sums.zero(config.num_classes)
        with DeviceFeed(batches, 0, sharding.one_batch(mesh)) as feed:
            for arrays in itertools.islice(feed, batches.steps_per_epoch):
                sums += one_batch(variables, Batch(*arrays, preprocessing))
        return sums

    return streamed


def on_devices(split: Split, preprocessing: Preprocessing, mesh: Mesh) -> DeviceSplit:
    """Replicates a split on the devices; CPU devices share its memory. `preprocessing` is on the devices already.

    Raises:
      DataError: If the images do not fit into a device's memory.
    """
    memory.require_on_device(split.images.nbytes, mesh.local_devices[0].memory_stats())
    images, labels = sharding.put(
        (memory.shareable(split.images), memory.shareable(split.labels)), sharding.replicated(mesh)
    )
    return DeviceSplit(images, labels, preprocessing)


def epoch_order(sizes: tuple[int, int], key: PRNGKeyArray, epoch: Int32[Array, ""]) -> Int32[Array, "steps b"]:
    """Draws the image indices of an epoch's batches.

    Args:
      sizes: (training images, batch size).
      key: Key for the order of the images.
      epoch: Number of the epoch, from 0.
    """
    return pipeline.epoch_order(jax.random.fold_in(key, epoch), *sizes)


def _streamed(stream: Stream, size: int, preprocessing: Preprocessing, mesh: Mesh) -> tuple[Stream, Batch]:
    """Returns a stream of batches that reads this process's share, and an example batch on the devices."""
    from cnn_jax.data.sources.stream import Share

    batches = stream.in_batches(size, Share(jax.process_index(), jax.process_count()))
    labels_and_weights = np.zeros(size, np.int32), np.zeros(size, np.float32)
    host = np.zeros((size, *stream.image_shape), stream.dtype), *labels_and_weights
    images, labels, weights = jax.device_put(host, sharding.one_batch(mesh))
    return batches, Batch(images, labels, weights, preprocessing)
