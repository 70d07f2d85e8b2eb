"""Loading and checking of exported files."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.split import Images
from cnn_jax.export import archive, onnx_file, seal, stablehlo, tflite_file
from cnn_jax.export.description import Description


class Program(Protocol):
    """A program read from a file."""

    description: Description

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of images."""


class ExportedNetwork:
    """A network from an exported file.

    Attributes:
      experiment: Config of the run that was exported.
      image_shape: (height, width, channels) of the input in pixels.
      dtype: Dtype of the input pixels, "uint8" or "float32".
      class_names: Names of the classes in label order.
    """

    def __init__(self, program: Program):
        self._program = program
        self.experiment: Experiment = program.description.experiment
        self.image_shape = program.description.image_shape
        self.dtype = program.description.dtype
        self.class_names = program.description.class_names

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of any number of images.

        Args:
          images: Pixels 0 to 255, of the network's image shape.
        """
        return self._program.probabilities(images)


def load(file: Path) -> ExportedNetwork:
    """Opens an exported file.

    Args:
      file: File written by `launch.py export`. Its format is recognised by content.

    Returns:
      The network.

    Raises:
      ConfigError: If it cannot be read, is damaged, or needs another version of JAX or a missing package.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError([f"--model: cannot read {file}: {error.strerror}"]) from error
    seal.check(content, file.name)
    if content.startswith(b"<!doctype html>"):
        fix = "give a file of --format=stablehlo, onnx, safetensors or tflite"
        raise ConfigError([f"--model: {file.name} is a live page, for a browser; {fix}"])
    if content.startswith(b"PK"):
        return ExportedNetwork(stablehlo.Program(content, file.name))
    if content[4:8] == tflite_file.IDENTIFIER:
        return ExportedNetwork(tflite_file.Program(content, file.name))
    if content[8:9] == b"{":
        return ExportedNetwork(archive.Program(content, file.name))
    return ExportedNetwork(onnx_file.Program(content, file.name))
