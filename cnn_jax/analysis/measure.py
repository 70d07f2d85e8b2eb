"""A finished network measured again on a split."""

from __future__ import annotations

import numpy as np

from cnn_jax.data.dataset import Split
from cnn_jax.train.finished import FinishedRun


def measure(run: FinishedRun, split: Split) -> dict[str, float]:
    """Loss and accuracy of a finished run's network.

    Args:
      run: as `finished.load` opens it.
      split: images of the run's shape.

    Returns:
      test_accuracy, test_loss (nats) and the number of images.
    """
    probabilities = run.probabilities(split.images)
    right = probabilities.argmax(axis=1) == split.labels
    chosen = probabilities[np.arange(len(split)), split.labels]
    tiny = np.finfo(np.float32).tiny  # a probability below it is rounded to 0
    return {
        "test_accuracy": float(right.mean()),
        "test_loss": float(-np.log(np.maximum(chosen, tiny)).mean()),
        "images": len(split),
    }
