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
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, Sharding
from jaxtyping import Array, Float32, Int32, PRNGKeyArray

from cnn_jax.data import pipeline
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

Evaluation = Callable[[Variables], Sums]


class Keys(NamedTuple):
    """Random keys of a run, one for each purpose.

    Attributes:
      init: For the initial variables.
      order: For the order of the images in each epoch.
      step: For augmentation and dropout.
    """

    init: PRNGKeyArray
    order: PRNGKeyArray
    step: PRNGKeyArray

    @classmethod
    def of(cls, seed: int) -> Keys:
        """Derives the keys from an experiment's seed."""
        key = jax.random.key(seed)
        return cls(*(jax.random.fold_in(key, purpose) for purpose in (_INIT, _ORDER, _STEP)))


class TrainInput(Protocol):
    """Compiled train steps together with the batches that they take."""

    def train_steps(
        self, state: TrainState, epoch: int, learning_rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """Takes steps `first` to `last` (excluded) of an epoch.

        Args:
          state: State before the first step; its buffers are donated.
          epoch: Number of the epoch, from 0.
          learning_rates: Learning rates of the epoch.
          first: First step within the epoch.
          last: Step within the epoch after the last.

        Returns:
          As `step.train_step`, after the last step.
        """

    def program_text(self) -> str:
        """Gives the compiled program as XLA writes it."""

    def close(self) -> None:
        """Ends what reads batches ahead."""


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
    kind = InMemoryTraining if isinstance(split, Split) else StreamedTraining
    return kind(config, split, preprocessing, keys, state, mesh)  # type: ignore[arg-type]


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

    Returns:
      A function of a network's variables that gives the sums over the split.
    """
    everywhere = sharding.replicated(mesh)
    size = sharding.whole_batch(min(config.train.eval_batch_size, len(split)), mesh.size)
    if isinstance(split, Split):
        data = on_devices(split, preprocessing, mesh)
        order = jax.device_put(pipeline.file_order(len(split), size), sharding.batches(mesh))
        compiled = compilation.compile_once(evaluate, config, (variables, data, order), out_shardings=everywhere)
        return lambda variables: compiled(variables, data, order)

    from cnn_jax.data.device_feed import DeviceFeed

    batches = _share_of_process(split, size)
    arguments = (variables, _batch_like(batches, preprocessing, mesh))
    one_batch = compilation.compile_once(eval_step, config, arguments, out_shardings=everywhere)

    def evaluate_stream(variables: Variables) -> Sums:
        sums = Sums.zero()
        with DeviceFeed(batches, 0, sharding.one_batch(mesh)) as feed:
            for arrays in itertools.islice(feed, batches.steps_per_epoch):
                sums += one_batch(variables, Batch(*arrays, preprocessing))
        return sums

    return evaluate_stream


class InMemoryTraining:
    """`TrainInput` of images that lie on the devices: many steps in one dispatch."""

    def __init__(
        self, config: StepConfig, split: Split, preprocessing: Preprocessing, keys: Keys, state: TrainState, mesh: Mesh
    ):
        """Compiles; arguments are those of `training`."""
        everywhere = sharding.replicated(mesh)
        self._order = epoch_orders(len(split), config.train.batch_size, keys.order, sharding.batches(mesh))
        self._data, self._key = on_devices(split, preprocessing, mesh), keys.step
        learning_rates = np.zeros(len(self._order(0)), np.float32)
        arguments = (state, self._data, self._order(0), learning_rates, (np.int32(0), np.int32(0)), self._key)
        self._compiled = compilation.compile_once(
            train_steps,
            config,
            arguments,
            donate_argnums=1,
            out_shardings=(sharding.of_state(state, mesh, config.train), everywhere),
        )

    def train_steps(
        self, state: TrainState, epoch: int, learning_rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """As `TrainInput` has it."""
        bounds = np.int32(first), np.int32(last)
        result: tuple[TrainState, tuple[Sums, Sums]] = self._compiled(
            state, self._data, self._order(epoch), learning_rates, bounds, self._key
        )
        return result

    def program_text(self) -> str:
        """As `TrainInput` has it."""
        return self._compiled.as_text() or ""

    def close(self) -> None:
        """As `TrainInput` has it; nothing is read ahead."""


class StreamedTraining:
    """`TrainInput` of batches that are read and decoded while the devices compute: one step in one dispatch."""

    def __init__(
        self,
        config: StepConfig,
        stream: Stream,
        preprocessing: Preprocessing,
        keys: Keys,
        state: TrainState,
        mesh: Mesh,
    ):
        """Compiles; arguments are those of `training`."""
        self._batches = _share_of_process(stream, config.train.batch_size)
        self._preprocessing, self._key, self._mesh = preprocessing, keys.step, mesh
        self._next_step = 0
        self._feed: DeviceFeed | None = None
        self._compiled = compilation.compile_once(
            train_step,
            config,
            (state, _batch_like(self._batches, preprocessing, mesh), np.float32(0), self._key),
            donate_argnums=1,
            out_shardings=(sharding.of_state(state, mesh, config.train), sharding.replicated(mesh)),
        )

    def train_steps(
        self, state: TrainState, epoch: int, learning_rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """As `TrainInput` has it."""
        from cnn_jax.data.device_feed import DeviceFeed

        start = epoch * len(learning_rates) + first
        if self._feed is None or self._next_step != start:
            self.close()
            self._feed = DeviceFeed(self._batches, start, sharding.one_batch(self._mesh))
        for learning_rate in learning_rates[first:last]:
            batch = Batch(*next(self._feed), self._preprocessing)
            state, sums = self._compiled(state, batch, learning_rate, self._key)
        self._next_step = start + last - first
        return state, sums

    def program_text(self) -> str:
        """As `TrainInput` has it."""
        return self._compiled.as_text() or ""

    def close(self) -> None:
        """As `TrainInput` has it."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None


def on_devices(split: Split, preprocessing: Preprocessing, mesh: Mesh) -> DeviceSplit:
    """Puts a split on the devices, whole on each.

    Args:
      split: Images and labels.
      preprocessing: Constants of the training images, on the devices.
      mesh: Mesh of the devices.
    """
    images, labels = sharding.on_all((jnp.asarray(split.images), jnp.asarray(split.labels)), mesh)
    return DeviceSplit(images, labels, preprocessing)


def epoch_orders(
    examples: int, batch_size: int, key: PRNGKeyArray, where: Sharding
) -> Callable[[int], Int32[Array, "steps b"]]:
    """Compiles the drawing of an epoch's batches.

    Args:
      examples: Number of training images.
      batch_size: Images of a batch.
      key: Key of the run's orders.
      where: Sharding of the batches.

    Returns:
      A function of the epoch; the last order is kept for all dispatches of the epoch.
    """
    compiled = compilation.compile_once(_epoch_order, (examples, batch_size), (key,), out_shardings=where)
    return functools.lru_cache(maxsize=1)(lambda epoch: compiled(jax.random.fold_in(key, epoch)))


def _epoch_order(sizes: tuple[int, int], key: PRNGKeyArray) -> Int32[Array, "steps b"]:
    return pipeline.epoch_order(key, *sizes)


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
