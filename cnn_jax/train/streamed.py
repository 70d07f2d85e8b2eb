"""Training and measuring on batches that are read and decoded while the devices compute: one step in one call."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32

from cnn_jax.data import pipeline
from cnn_jax.data.device_feed import DeviceFeed
from cnn_jax.data.stream import Share, Stream
from cnn_jax.train import compilation, sharding, steps
from cnn_jax.train.metrics import Sums
from cnn_jax.train.state import TrainState
from cnn_jax.train.training import Training


class TrainSteps:
    """`training.Advance` by `steps.train_on_pixels`."""

    def __init__(self, training: Training, stream: Stream, mesh: jax.sharding.Mesh):
        """Compiles.

        Args:
          training: what the steps work with.
          stream: of its images.
          mesh: of the devices.
        """
        recipe, state, self._key = training.recipe, training.state, training.step_key
        self._stream = stream.in_batches(recipe.experiment.train.batch_size, _share())
        self._mesh, self._after = mesh, (training.constants, training.colours)
        self._next = 0
        self._feed: DeviceFeed | None = None
        with sharding.working_on(mesh):
            self._compiled = compilation.compile_once(
                ("train streamed", recipe.compiled_in),
                functools.partial(_advance, recipe),
                (state, _like(self._stream, mesh), *self._after, np.float32(0), self._key),
                donate_argnums=0,
                out_shardings=(sharding.of_state(state, mesh, recipe.experiment.train), sharding.replicated(mesh)),
            )

    def __call__(
        self, state: TrainState, epoch: int, rates: Float32[np.ndarray, " steps"], first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """As `training.Advance` has it."""
        start = epoch * len(rates) + first
        if self._feed is None or self._next != start:
            self.close()
            self._feed = DeviceFeed(self._stream, start, sharding.one_batch(self._mesh))
        for rate in rates[first:last]:
            state, sums = self._compiled(state, next(self._feed), *self._after, rate, self._key)
        self._next = start + last - first
        return state, sums

    def text(self) -> str:
        """The compiled program, as XLA writes it."""
        return self._compiled.as_text() or ""

    def close(self) -> None:
        """Ends the stream's workers."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None


def _advance(
    recipe: steps.Recipe, state: TrainState, batch: pipeline.RawBatch, *rest: Any
) -> tuple[TrainState, tuple[Sums, Sums]]:
    state = steps.train_on_pixels(recipe, state, batch, *rest)
    return state, (state.epoch_sums, state.window_sums)


def evaluation(
    recipe: steps.Recipe, state: TrainState, stream: Stream, constants: pipeline.Normalization, mesh: jax.sharding.Mesh
) -> Callable[[Any], Sums]:
    """Compiles `steps.measure_pixels`; arguments and result are those of `programs.evaluation`."""
    size = sharding.whole_batch(min(recipe.experiment.train.eval_batch_size, len(stream)), mesh.size)
    batches = stream.in_batches(size, _share())
    compiled = compilation.compile_once(
        ("evaluate streamed", recipe.compiled_in),
        functools.partial(steps.measure_pixels, recipe),
        (state.variables, _like(batches, mesh), constants),
        out_shardings=sharding.replicated(mesh),
    )

    def measure(variables: Any) -> Sums:
        sums = Sums.zero()
        with DeviceFeed(batches, 0, sharding.one_batch(mesh)) as feed:
            for batch in itertools.islice(feed, batches.steps_per_epoch):
                sums += compiled(variables, batch, constants)
        return sums

    return measure


def _share() -> Share:
    return Share(jax.process_index(), jax.process_count())


def _like(stream: Stream, mesh: jax.sharding.Mesh) -> pipeline.RawBatch:
    """A batch of the stream's shapes."""
    size, where = stream.batch_size, sharding.one_batch(mesh)
    images, labels = np.zeros((size, *stream.image_shape), np.uint8), np.zeros(size, np.int32)
    return pipeline.RawBatch(*jax.device_put((images, labels, np.zeros(size, np.float32)), where))
