"""The data side of the compiled steps: images in memory on the devices, or streamed while they compute.

Both give the same batches to the same step. Small data sets lie on the devices and many steps are one dispatch; large
ones are read and decoded by `cnn_jax.data.stream`, one step a dispatch.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float32, Int32, PRNGKeyArray

from cnn_jax import preflight
from cnn_jax.data import memory, pipeline
from cnn_jax.data.pipeline import Batch, DeviceSplit, Preprocessing
from cnn_jax.data.split import Split
from cnn_jax.models import Variables
from cnn_jax.train import compilation, sharding
from cnn_jax.train.metrics import Sums
from cnn_jax.train.step import StepConfig, TrainState, eval_step, evaluate, train_step, train_steps

if TYPE_CHECKING:
    from cnn_jax.data.device_feed import DeviceFeed
    from cnn_jax.data.stream import Stream

# What a random key is for: the first fold of the experiment's seed.
_INIT, _ORDER, _STEP = range(3)

Evaluation = Callable[[Variables], Sums]  # of a network's variables, over a whole split


class Keys(NamedTuple):
    """Random keys of a run: for the initial variables, the order of the images, and augmentation and dropout."""

    init: PRNGKeyArray
    order: PRNGKeyArray
    step: PRNGKeyArray

    @classmethod
    def of(cls, seed: int) -> Keys:
        """Derives the keys from an experiment's seed."""
        key = jax.random.key(seed)
        return cls(*(jax.random.fold_in(key, purpose) for purpose in (_INIT, _ORDER, _STEP)))


class TakeSteps(Protocol):
    """Takes training steps, with batches of its own."""

    def __call__(
        self, state: TrainState, epoch: int, learning_rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """Takes steps of an epoch.

        Args:
          state: State before the first step; its buffers are donated.
          epoch: Number of the epoch, from 0.
          learning_rates: Learning rates of the epoch.
          first: First step within the epoch.
          last: Step within the epoch after the last.

        Returns:
          As `step.train_step`, after the last step.
        """


class TrainInput(NamedTuple):
    """Compiled train steps together with their batches.

    Attributes:
      train_steps: Takes steps of an epoch.
      program_text: Gives the compiled program as XLA writes it.
      close: Ends what reads batches ahead.
    """

    train_steps: TakeSteps
    program_text: Callable[[], str | None]
    close: Callable[[], None] = lambda: None


def training(
    config: StepConfig, split: Split | Stream, preprocessing: Preprocessing, keys: Keys, state: TrainState, mesh: Mesh
) -> TrainInput:
    """Compiles the train steps for a split.

    Args:
      config: Static part of the steps.
      split: Training images.
      preprocessing: Constants of the training images, on the devices.
      keys: Random keys of the run, on the devices.
      state: State of the shapes that will come.
      mesh: Mesh of the devices.
    """
    out_shardings = (sharding.of_state(state, mesh, config.train), sharding.replicated(mesh))
    jit = {"donate_argnums": 0, "out_shardings": out_shardings}
    if isinstance(split, Split):
        data = on_devices(split, preprocessing, mesh)
        order = epoch_orders(config, len(split), keys.order, mesh)
        steps = pipeline.steps_per_epoch(len(split), config.train.batch_size)
        start = np.int32(0), np.int32(0)
        arguments = (state, data, order(0), np.zeros(steps, np.float32), start, keys.step)
        chunk = compilation.compile_once(train_steps, config, arguments, **jit)

        def in_memory(
            state: TrainState, epoch: int, learning_rates: Float32[np.ndarray, " steps"], first: int, last: int
        ) -> tuple[TrainState, tuple[Sums, Sums]]:
            bounds = np.int32(first), np.int32(last)
            done: tuple[TrainState, tuple[Sums, Sums]] = chunk(
                state, data, order(epoch), learning_rates, bounds, keys.step
            )
            return done

        return TrainInput(in_memory, chunk.as_text)

    batches = _share_of_process(split, config.train.batch_size)
    like = _batch_like(batches, preprocessing, mesh)
    one_step = compilation.compile_once(train_step, config, (state, like, np.float32(0), keys.step), **jit)
    feed = _Feed(batches, mesh)

    def streamed(
        state: TrainState, epoch: int, learning_rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        arrays = feed.at(epoch * len(learning_rates) + first)
        for learning_rate in learning_rates[first:last]:
            state, sums = one_step(state, Batch(*next(arrays), preprocessing), learning_rate, keys.step)
        feed.next_step += last - first
        return state, sums

    return TrainInput(streamed, one_step.as_text, feed.close)


def evaluation(
    config: StepConfig, split: Split | Stream, preprocessing: Preprocessing, variables: Variables, mesh: Mesh
) -> Evaluation:
    """Compiles the evaluation of a split.

    Args:
      config: Static part of the steps.
      split: Images to evaluate.
      preprocessing: Constants of the training images, on the devices.
      variables: Variables of the shapes that will come.
      mesh: Mesh of the devices.
    """
    everywhere = sharding.replicated(mesh)
    size = preflight.whole_batch(min(config.train.eval_batch_size, len(split)), mesh.size)
    if isinstance(split, Split):
        data = on_devices(split, preprocessing, mesh)
        order = jax.device_put(pipeline.file_order(len(split), size), sharding.batches(mesh))
        whole = compilation.compile_once(evaluate, config, (variables, data, order), out_shardings=everywhere)
        return lambda variables: whole(variables, data, order)

    from cnn_jax.data.device_feed import DeviceFeed

    batches = _share_of_process(split, size)
    arguments = (variables, _batch_like(batches, preprocessing, mesh))
    one_batch = compilation.compile_once(eval_step, config, arguments, out_shardings=everywhere)

    def streamed(variables: Variables) -> Sums:
        sums = Sums.zero()
        with DeviceFeed(batches, 0, sharding.one_batch(mesh)) as feed:
            for arrays in itertools.islice(feed, batches.steps_per_epoch):
                sums += one_batch(variables, Batch(*arrays, preprocessing))
        return sums

    return streamed


def on_devices(split: Split, preprocessing: Preprocessing, mesh: Mesh) -> DeviceSplit:
    """Puts a split on the devices, whole on each; `preprocessing` is there already.

    Devices on the host share the split's own memory.

    Raises:
      DataError: Where the images do not fit into a device's memory.
    """
    memory.require_on_device(split.images.nbytes, mesh.local_devices[0].memory_stats())
    images, labels = sharding.on_all((memory.shareable(split.images), memory.shareable(split.labels)), mesh)
    return DeviceSplit(images, labels, preprocessing)


def epoch_orders(
    config: StepConfig, examples: int, key: PRNGKeyArray, mesh: Mesh
) -> Callable[[int], Int32[Array, "steps b"]]:
    """Compiles the drawing of an epoch's batches; the last order is kept for all dispatches of its epoch.

    Args:
      config: Static part of the steps.
      examples: Number of training images.
      key: Key of the run's orders.
      mesh: Mesh of the devices.

    Returns:
      A function of the epoch's number.
    """
    sizes, where = (examples, config.train.batch_size), sharding.batches(mesh)
    draw = compilation.compile_once(_epoch_order, sizes, (key,), out_shardings=where)
    return functools.lru_cache(maxsize=1)(lambda epoch: draw(jax.random.fold_in(key, epoch)))


def _epoch_order(sizes: tuple[int, int], key: PRNGKeyArray) -> Int32[Array, "steps b"]:
    return pipeline.epoch_order(key, *sizes)


class _Feed:
    """The batches of a stream in the order of the steps; it starts again where a run continues elsewhere."""

    def __init__(self, batches: Stream, mesh: Mesh):
        self._batches, self._where = batches, sharding.one_batch(mesh)
        self._feed: DeviceFeed | None = None
        self.next_step = 0

    def at(self, step: int) -> DeviceFeed:
        """Gives the batches from a step on."""
        from cnn_jax.data.device_feed import DeviceFeed

        if self._feed is None or self.next_step != step:
            self.close()
            self._feed, self.next_step = DeviceFeed(self._batches, step, self._where), step
        return self._feed

    def close(self) -> None:
        """Ends the stream's workers."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None


def _share_of_process(stream: Stream, batch_size: int) -> Stream:
    """The stream in batches of which each process reads its own rows."""
    from cnn_jax.data.stream import Share

    return stream.in_batches(batch_size, Share(jax.process_index(), jax.process_count()))


def _batch_like(stream: Stream, preprocessing: Preprocessing, mesh: Mesh) -> Batch:
    """A batch of the stream's shapes, on the devices."""
    size, where = stream.batch_size, sharding.one_batch(mesh)
    host = np.zeros((size, *stream.image_shape), np.uint8), np.zeros(size, np.int32), np.zeros(size, np.float32)
    images, labels, weights = jax.device_put(host, where)
    return Batch(images, labels, weights, preprocessing)
