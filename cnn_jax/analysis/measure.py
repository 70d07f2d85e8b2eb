"""A finished network measured again on a split."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from cnn_jax.data.split import Split
from cnn_jax.train import metrics
from cnn_jax.train.finished import FinishedRun

if TYPE_CHECKING:
    from cnn_jax.data.stream import Stream


def measure(run: FinishedRun, split: Split | Stream) -> dict[str, float]:
    """Loss, accuracy and errors of a finished run's network.

    Args:
      run: as `finished.load` opens it.
      split: images of the run's shape.

    Returns:
      What `train.metrics.means` gives, each name after `test_`, and the number of images.
    """
    classes, sums = len(run.class_names), metrics.Sums.zero()
    for part in _parts(split, run.experiment.train.eval_batch_size):
        targets = jax.nn.one_hot(part.labels, classes)
        sums += metrics.measure(jnp.asarray(run.scores(part.images)), targets, jnp.ones(len(part)))
    return {f"test_{name}": value for name, value in metrics.means(sums, classes).items()} | {"images": len(split)}


def _parts(split: Split | Stream, size: int) -> Iterator[Split]:
    """What is in memory at once; of a stream its last batch without what fills it up."""
    if isinstance(split, Split):
        yield split
        return
    batches = split.in_batches(min(size, len(split)))
    with contextlib.closing(iter(batches.at(0))) as read:
        for batch in itertools.islice(read, batches.steps_per_epoch):
            real = int(batch.weights.sum())
            yield Split(batch.images[:real], batch.labels[:real])
