"""What a config must fit before anything is compiled: its data, its network's geometry, the devices."""

from __future__ import annotations

from cnn_jax import geometry, pretrained
from cnn_jax.config import Experiment
from cnn_jax.config_parse import ConfigError
from cnn_jax.data import augment, views
from cnn_jax.data.dataset import Dataset
from cnn_jax.train import sharding


def check(experiment: Experiment, dataset: Dataset, devices: int) -> geometry.Summary:
    """Checks that config, data and devices go together.

    Args:
      experiment: the resolved config.
      dataset: as the config names it.
      devices: over which a batch is spread.

    Returns:
      The network's layers on the data's images.

    Raises:
      ConfigError: where the config does not fit the data or the devices.
      GeometryError: where the network cannot work on the images.
    """
    batch_size, examples = experiment.train.batch_size, len(dataset.train)
    if (fault := sharding.indivisible(experiment.train, devices)) is not None:
        raise ConfigError([fault])
    if batch_size > examples:
        raise ConfigError([f"config.train.batch_size={batch_size} exceeds the {examples} training images"])
    return check_network(experiment, dataset.image_shape, dataset.num_classes)


def check_network(experiment: Experiment, image_shape: tuple[int, int, int], classes: int) -> geometry.Summary:
    """Checks that augmentation and network go with images of a size.

    Args:
      experiment: the resolved config.
      image_shape: (height, width, channels) in pixels.
      classes: how many there are.

    Returns:
      The network's layers.

    Raises:
      ConfigError: where augmentation does not fit the images, or there is no layer to freeze.
      GeometryError: where the network cannot work on the images.
    """
    moved = views.unfit(experiment.train.eval_shift, image_shape)
    if unfit := augment.unfit(experiment.augment, image_shape) + moved:
        raise ConfigError(unfit)
    summary = geometry.summarize(experiment.model, image_shape, classes)
    with_parameters = tuple(layer.name for layer in summary.layers if layer.parameters)
    if faults := pretrained.check_frozen(experiment.pretrained.freeze, with_parameters):
        raise ConfigError(faults)
    return summary
