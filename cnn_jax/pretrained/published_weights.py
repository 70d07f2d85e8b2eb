"""A file of published weights, with what it takes to use them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cnn_jax import models
from cnn_jax.config.networks import Network
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.host.crops import CentreCrop
from cnn_jax.pretrained.convert import from_torch, origin_of
from cnn_jax.pretrained.errors import WeightsError
from cnn_jax.pretrained.files import read_entries
from cnn_jax.pretrained.published import PUBLISHED, Preprocessing, imagenet_classes
from cnn_jax.words import did_you_mean


@dataclasses.dataclass(frozen=True)
class PublishedWeights:
    """The weights of a published network.

    Attributes:
      name: torchvision's name of the network.
      library: Library whose names the weights have.
      config: Config of the network.
      variables: Variables of the network, on the host.
      preprocessing: How a picture becomes what the network sees.
      image_shape: (height, width, channels) in pixels that the network takes.
      class_names: Names of the classes in label order; numbers where they are not ImageNet's.
    """

    name: str
    library: str
    config: Network
    variables: models.Variables
    preprocessing: Preprocessing
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]

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
            f"the middle {how.side}x{how.side}, mean {_listed(how.mean)}, std {_listed(how.std)}"
        )


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def read(name: str, file: Path) -> PublishedWeights:
    """Reads a file of published weights.

    Args:
      name: torchvision's name of the network, a key of PUBLISHED.
      file: File of weights as torchvision or timm publish them.

    Raises:
      ConfigError: For a name that is not known; the message has the nearest and all names.
      WeightsError: Where the file cannot be read or does not fit the network.
    """
    if name not in PUBLISHED:
        known = ", ".join(PUBLISHED)
        raise ConfigError([f"--model: got {name!r}, expected one of: {known}{did_you_mean(name, PUBLISHED)}"])
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
    image_shape = (how.side, how.side, origin.channels)
    return PublishedWeights(name, origin.library, config, variables, how, image_shape, names)
