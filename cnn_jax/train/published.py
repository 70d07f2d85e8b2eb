"""A published network, ready to be used without a run."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path

import jax
import jax.numpy as jnp

from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.data.host.crops import CentreCrop
from cnn_jax.geometry import preflight
from cnn_jax.pretrained import WeightsError, from_torch
from cnn_jax.pretrained.convert import origin_of
from cnn_jax.pretrained.files import read_entries
from cnn_jax.pretrained.published import PUBLISHED, Preprocessing, imagenet_classes
from cnn_jax.train import compilation
from cnn_jax.train.restore import ReadyNetwork
from cnn_jax.train.step import StepConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedNetwork(ReadyNetwork):
    """A published network with its weights.

    Attributes:
      name: torchvision's name of the network.
      library: Library whose names the weights have.
      preprocessing: How a picture becomes what the network sees.
    """

    name: str
    library: str
    preprocessing: Preprocessing

    @property
    def view(self) -> CentreCrop:
        """The middle of a picture that the network sees."""
        how = self.preprocessing
        return CentreCrop(how.side, self.image_shape[2], how.shorter_side, how.interpolation)

    def described(self) -> str:
        """The network and its preprocessing, in a line."""
        how = self.preprocessing
        return (
            f"{self.name} of {self.library}: shorter side resized to {how.shorter_side} pixels ({how.interpolation}), "
            f"the middle {how.side}x{how.side}, mean {_listed(how.mean)}, deviation {_listed(how.std)}"
        )


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def load(name: str, file: Path) -> PublishedNetwork:
    """Opens a file of published weights.

    Args:
      name: torchvision's name of the network, a key of PUBLISHED.
      file: File of weights as torchvision or timm publish them.

    Returns:
      The network. Weights of another number of classes than ImageNet's have numbers for names of classes.

    Raises:
      ConfigError: For a name that is not known; the message has the nearest and all names.
      WeightsError: Where the file cannot be read or does not fit the network.
    """
    if name not in PUBLISHED:
        near = difflib.get_close_matches(name, PUBLISHED, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError([f"--model: got {name!r}; {meant}The published networks are: {', '.join(PUBLISHED)}"])
    preflight.check_settings()
    published = PUBLISHED[name]
    try:
        entries = read_entries(file)
    except WeightsError as error:
        raise WeightsError(f"--pretrained: {error}") from error
    try:
        origin = origin_of(entries, published.config)
        config = published.config_for(entries, origin.library)
        variables = from_torch(entries, config)
    except WeightsError as error:
        raise WeightsError(f"--pretrained: {file}, --model={name}: {error}") from error
    how = published.for_file(file.name, origin.library)
    names = imagenet_classes()
    if origin.classes != len(names):
        names = tuple(map(str, range(origin.classes)))
    if origin.channels != len(how.mean):
        raise WeightsError(f"--pretrained: {file}: its network takes {origin.channels} channels, expected RGB's 3")
    compilation.enable_cache()
    experiment = Experiment(model=config)
    return PublishedNetwork(
        experiment=experiment,
        image_shape=(how.side, how.side, origin.channels),
        class_names=names,
        config=StepConfig.of(experiment, origin.classes),
        normalization=Normalization(255 * jnp.asarray(how.mean), 255 * jnp.asarray(how.std)),
        variables=jax.tree.map(jnp.asarray, variables),
        name=name,
        library=origin.library,
        preprocessing=how,
    )
