"""Finished runs whose networks have random variables, for tests of what is done with a run's network."""

import jax
import numpy as np

from cnn_jax.config.parsing import parse
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.train.restore import FinishedRun
from cnn_jax.train.step import StepConfig


class Result:
    """Figures that a description tells."""

    test_accuracy = 0.5


def untrained_run(model, image_shape, train=None, classes=10):
    """A finished run that has not been trained: kernels as they are drawn, all else moved by up to 0.1.

    Args:
      model: Model section of the config.
      image_shape: (height, width, channels) in pixels.
      train: Train section of the config.
      classes: Number of classes.
    """
    experiment = parse({"model": model, "train": train or {}})
    config = StepConfig.of(experiment, classes)
    rng = np.random.default_rng(0)
    # By NumPy: JAX compiles a program for every shape that it computes on by itself.
    variables = jax.tree.map(
        lambda leaf: leaf if leaf.ndim > 1 else leaf + (0.2 * (rng.random(leaf.shape) - 0.5)).astype(leaf.dtype),
        jax.tree.map(np.asarray, config.network.init(jax.random.key(0), image_shape)),
    )
    channels = image_shape[2]
    return FinishedRun(
        folder=None,
        experiment=experiment,
        result=Result,
        image_shape=image_shape,
        class_names=tuple(f"class {number}" for number in range(classes)),
        config=config,
        normalization=Normalization(
            np.linspace(90, 110, channels, dtype=np.float32), np.full(channels, 60, np.float32)
        ),
        variables=jax.device_put(variables),
    )


def images(run, count):
    """Random pixels of a run's image shape."""
    return np.random.default_rng(count).integers(0, 256, (count, *run.image_shape), dtype=np.uint8)
