"""A finished network measured again on a split."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cnn_jax.data.dataset import Split
from cnn_jax.train import metrics
from cnn_jax.train.finished import FinishedRun


def measure(run: FinishedRun, split: Split) -> dict[str, float]:
    """Loss, accuracy and errors of a finished run's network.

    Args:
      run: as `finished.load` opens it.
      split: images of the run's shape.

    Returns:
      What `train.metrics.means` gives, each name after `test_`, and the number of images.
    """
    classes = len(run.class_names)
    targets = jax.nn.one_hot(split.labels, classes)
    sums = metrics.measure(jnp.asarray(run.scores(split.images)), targets, jnp.ones(len(split)))
    return {f"test_{name}": value for name, value in metrics.means(sums, classes).items()} | {"images": len(split)}
