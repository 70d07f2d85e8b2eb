"""Exported files, opened again and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float32, UInt8

from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.host.evaluation_picture import read_picture
from cnn_jax.export import archive, onnx_file, seal, stablehlo
from cnn_jax.export.description import Description


class Program(Protocol):
    """A program that was read from a file."""

    description: Description

    def probabilities(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of images."""


class ExportedNetwork:
    """A network from an exported file.

    Attributes:
      experiment: Config of the run that was exported.
      image_shape: (height, width, channels) in pixels that the network takes.
      class_names: Names of the classes in label order.
    """

    def __init__(self, program: Program):
        self._program = program
        self.experiment: Experiment = program.description.experiment
        self.image_shape = program.description.image_shape
        self.class_names = program.description.class_names

    def read_picture(self, file: Path) -> tuple[UInt8[np.ndarray, "h w c"], str]:
        """Reads a picture file as the evaluation of the data source does.

        Args:
          file: Picture file.

        Returns:
          (pixels, what was changed, in words; empty where it fitted).

        Raises:
          UnreadablePictureError: Where it cannot be read whole.
        """
        return read_picture(file, self.experiment.data, self.image_shape)

    def probabilities(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of any number of images.

        Args:
          images: Pixels 0 to 255, of the network's image shape.
        """
        return self._program.probabilities(images)


def load(file: Path) -> ExportedNetwork:
    """Opens an exported file.

    Args:
      file: File that `launch.py export` wrote. Its content says which format it has.

    Returns:
      The network.

    Raises:
      ConfigError: Where it cannot be read, is damaged, or needs another version of JAX or a package.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError([f"--model: cannot read {file}: {error.strerror}"]) from error
    seal.check(content, file.name)
    if content.startswith(b"PK"):
        return ExportedNetwork(stablehlo.Program(content, file.name))
    if content[8:9] == b"{":
        return ExportedNetwork(archive.Program(content, file.name))
    return ExportedNetwork(onnx_file.Program(content, file.name))
