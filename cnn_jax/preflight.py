"""Checks before anything is compiled: that config, data, network, devices and process go together."""

from __future__ import annotations

import os

import jax

from cnn_jax import geometry, pretrained, xla_flags
from cnn_jax.config import Experiment, Train
from cnn_jax.config_parse import ConfigError
from cnn_jax.data import DataError, augment, views
from cnn_jax.data.dataset import Dataset
from cnn_jax.ops import GeometryError
from cnn_jax.pretrained import WeightsError
from cnn_jax.run.folder import RunFolderError

# Errors by which a run is refused before it starts.
REFUSALS = (ConfigError, DataError, GeometryError, RunFolderError, WeightsError)


def check_devices() -> None:
    """Checks that JAX finds the devices that it is asked to use.

    Raises:
      ConfigError: If it does not.
    """
    asked = os.environ.get("JAX_PLATFORMS")
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter where the platform's plugin is not installed
        if not asked:
            raise
        why = f" ({str(error).splitlines()[0]})" if str(error) else ""
        raise ConfigError(
            [f"JAX_PLATFORMS={asked}: JAX finds no such device here{why}; set JAX_PLATFORMS=cpu, or leave it out"]
        ) from error


def check_process(experiment: Experiment) -> None:
    """Checks that this process has devices, and was started with the XLA flags that an experiment needs.

    Raises:
      ConfigError: Where a device or a flag is missing.
    """
    check_devices()
    if (fault := xla_flags.fault(experiment, jax.default_backend())) is not None:
        raise ConfigError([fault])


def check(experiment: Experiment, dataset: Dataset, devices: int) -> geometry.Summary:
    """Checks that config, data and devices go together.

    Args:
      experiment: The resolved config.
      dataset: Data set that the config names.
      devices: Number of devices that share a batch.

    Returns:
      The layer table of the network on the data's images.

    Raises:
      ConfigError: Where the config does not fit the data or the devices.
      GeometryError: Where the network cannot work on the images.
    """
    batch_size, examples = experiment.train.batch_size, len(dataset.train)
    if (fault := indivisible(experiment.train, devices)) is not None:
        raise ConfigError([fault])
    if batch_size > examples:
        raise ConfigError([f"config.train.batch_size={batch_size} exceeds the {examples} training images"])
    return check_network(experiment, dataset.image_shape, dataset.num_classes)


def check_network(experiment: Experiment, image_shape: tuple[int, int, int], classes: int) -> geometry.Summary:
    """Checks that augmentation and network go with images of a size.

    Args:
      experiment: The resolved config.
      image_shape: (height, width, channels) in pixels.
      classes: Number of classes.

    Returns:
      The layer table of the network.

    Raises:
      ConfigError: Where augmentation does not fit the images, or there is no layer to freeze.
      GeometryError: Where the network cannot work on the images.
    """
    moved = views.unfit(experiment.train.eval_shift, image_shape)
    if unfit := augment.unfit(experiment.augment, image_shape) + moved:
        raise ConfigError(unfit)
    summary = geometry.summarize(experiment.model, image_shape, classes)
    with_parameters = tuple(layer.name for layer in summary.layers if layer.parameters)
    if faults := pretrained.check_frozen(experiment.pretrained.freeze, with_parameters):
        raise ConfigError(faults)
    return summary


def whole_batch(batch_size: int, devices: int) -> int:
    """The least batch of at least this size that the devices share evenly."""
    return -(-batch_size // devices) * devices


def indivisible(train: Train, devices: int) -> str | None:
    """Says why a batch, or a part of it, cannot be shared evenly by the devices; None where it can."""
    shares = train.accumulate * devices
    if train.batch_size % shares == 0:
        return None
    above = whole_batch(train.batch_size, shares)
    nearest = " or ".join(str(size) for size in (above - shares, above) if size)
    parts = f"{train.accumulate} parts of " * (train.accumulate > 1)
    return (
        f"config.train.batch_size={train.batch_size} does not divide over {parts}{devices} devices; "
        f"the nearest are {nearest}"
    )
