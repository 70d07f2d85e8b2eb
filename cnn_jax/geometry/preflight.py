"""Checks that config, data, network, devices and process are compatible, before anything is compiled."""

from __future__ import annotations

import math
import os

import jax

from cnn_jax import chips, geometry, jax_settings, pretrained, xla_flags
from cnn_jax.blocks import Policy
from cnn_jax.config import Experiment, Train
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data import DataError
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.device import augment, pipeline, tta
from cnn_jax.ops import GeometryError
from cnn_jax.pretrained import WeightsError
from cnn_jax.run.folder import RunFolderError

LARGEST_STEPS = 100_000_000  # each training step has a learning rate in memory

# Errors that refuse a run before it starts.
REFUSALS = (ConfigError, DataError, GeometryError, RunFolderError, WeightsError)


def check_settings() -> None:
    """Checks that JAX has the settings that the project relies on.

    Raises:
      ConfigError: If a setting would change random numbers or arithmetic.
    """
    jax_settings.check_settings(lambda name: getattr(jax.config, name, None))


def check_devices() -> None:
    """Checks that JAX finds the devices that the environment asks for.

    Raises:
      ConfigError: If it does not.
    """
    variables = [name for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if os.environ.get(name)]
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # AssertionError: the platform's plugin is not installed
        if not variables:
            raise
        asked = " and ".join(f"{name}={os.environ[name]}" for name in variables)
        why = f" ({str(error).splitlines()[0]})" if str(error) else ""
        raise ConfigError(
            [f"{asked}: JAX finds no such device here{why}; set {variables[0]}=cpu, or leave it out"]
        ) from error


def check_process(experiment: Experiment) -> None:
    """Checks that this process has devices, and was started with the XLA flags that the experiment needs.

    Raises:
      ConfigError: If a device or a flag is missing.
    """
    check_devices()
    if (fault := xla_flags.fault(experiment, jax.default_backend())) is not None:
        raise ConfigError([fault])
    if (fault := chips.arithmetic_fault(experiment, jax.devices()[0].device_kind)) is not None:
        raise ConfigError([fault])


def check(experiment: Experiment, dataset: Dataset, devices: int) -> geometry.Summary:
    """Checks that config, data and devices are compatible.

    Args:
      experiment: The resolved config.
      dataset: Data set that the config names.
      devices: Number of devices that share a batch.

    Returns:
      The layer table of the network on the data's images.

    Raises:
      ConfigError: If the config does not fit the data or the devices.
      GeometryError: If the network does not fit the images.
    """
    batch_size, examples = experiment.train.batch_size, len(dataset.train)
    if (fault := indivisible(experiment.train, devices)) is not None:
        raise ConfigError([fault])
    if batch_size > examples:
        raise ConfigError([f"config.train.batch_size={batch_size} exceeds the {examples} training images"])
    steps = pipeline.steps_per_epoch(examples, batch_size)
    if experiment.train.epochs * steps > LARGEST_STEPS:
        message = (
            f"config.train.epochs={experiment.train.epochs}: {experiment.train.epochs * steps:,} steps, above the "
            f"bound of {LARGEST_STEPS:,}; use {LARGEST_STEPS // steps} or fewer, or a larger config.train.batch_size"
        )
        raise ConfigError([message])
    summary = check_network(experiment, dataset.image_shape, dataset.num_classes)
    check_norms(experiment, summary)
    return summary


def check_network(experiment: Experiment, image_shape: tuple[int, int, int], classes: int) -> geometry.Summary:
    """Checks that augmentation and network fit images of a size.

    Args:
      experiment: The resolved config.
      image_shape: (height, width, channels) in pixels.
      classes: Number of classes.

    Returns:
      The layer table of the network.

    Raises:
      ConfigError: If augmentation does not fit the images, or a layer to freeze does not exist.
      GeometryError: If the network does not fit the images.
    """
    tta_faults = tta.unfit(experiment.train.eval_shift, image_shape)
    if unfit := augment.unfit(experiment.augment, image_shape) + tta_faults:
        raise ConfigError(unfit)
    summary = geometry.summarize(experiment.model, image_shape, classes)
    with_parameters = tuple(layer.name for layer in summary.layers if layer.parameters)
    if faults := pretrained.check_frozen(experiment.pretrained.freeze, with_parameters):
        raise ConfigError(faults)
    return summary


def check_norms(experiment: Experiment, summary: geometry.Summary) -> None:
    """Checks that no layer normalizes over a single value in training, which always gives zero.

    Args:
      experiment: The resolved config.
      summary: Layer table of its network.

    Raises:
      ConfigError: If a layer does; the message names the layer and the fix.
    """
    model, train = experiment.model, experiment.train
    policy = Policy.of(model, experiment.pretrained.freeze)
    images = model.norm_images or train.batch_size // train.accumulate
    batch, group, layer = [], [], []
    for row in summary.layers:
        positions = math.prod(row.input_shape[:-1])
        if row.kind == "batch_norm" and policy.uses_batch_statistics(tuple(row.name.split("/")), train=True):
            batch += [row.name] * (images * positions == 1)
        elif row.kind == "group_norm":
            group += [row.name] * (positions * row.input_shape[-1] // model.norm_groups == 1)
        elif row.kind == "layer_norm":
            layer += [row.name] * (row.input_shape[-1] == 1)
    faults = []
    if batch:
        cause, fix = "config.model.norm_images=1", "config.model.norm_images=2 or more"
        if model.norm_images is None:
            parts = f" / config.train.accumulate={train.accumulate}" * (train.accumulate > 1)
            cause = f"config.train.batch_size={train.batch_size}{parts}"
            fix = f"config.train.batch_size={2 * train.accumulate} or more"
        faults.append(
            f"{cause}: batch norm over one image with maps of 1x1 pixel normalizes a single value, in training always "
            f"to zero, in layer {_first(batch)}; use {fix}, or config.model.norm=none"
        )
    if group:
        faults.append(
            f"config.model.norm_groups={model.norm_groups}: group norm over one channel with maps of 1x1 pixel "
            f"normalizes a single value, always to zero, in layer {_first(group)}; use fewer groups, or "
            "config.model.norm=none"
        )
    if layer:
        faults.append(
            "config.model.norm=layer: layer norm over one channel normalizes a single value, always to zero, in layer "
            f"{_first(layer)}; use more channels, or config.model.norm=none"
        )
    if faults:
        raise ConfigError(faults)


def _first(names: list[str]) -> str:
    return names[0] + f" and {len(names) - 1} more" * (len(names) > 1)


def whole_batch(batch_size: int, devices: int) -> int:
    """Rounds a batch size up to a multiple of the number of devices."""
    return -(-batch_size // devices) * devices


def indivisible(train: Train, devices: int) -> str | None:
    """Returns why a batch, or an accumulated part of it, does not divide over the devices; None if it does."""
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
