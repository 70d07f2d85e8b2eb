"""safetensors archives: variables and config, from which this project rebuilds the network with any version of JAX."""

from __future__ import annotations

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32
from safetensors.numpy import load, save

from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.data.split import Images
from cnn_jax.export import description
from cnn_jax.export.description import Description
from cnn_jax.export.seal import seal
from cnn_jax.train import step
from cnn_jax.train.restore import FinishedRun
from cnn_jax.train.step import StepConfig

_KEY = "cnn_jax"


def write(run: FinishedRun) -> bytes:
    """Writes a finished run's variables, with its description as metadata.

    Args:
      run: Finished run.

    Returns:
      Content of the file.
    """
    leaves = jax.tree_util.tree_leaves_with_path(run.variables)
    arrays = {"/".join(key.key for key in path): np.asarray(array) for path, array in leaves}
    return seal(save(arrays, metadata={_KEY: description.describe(run).model_dump_json()}))


class Program:
    """The network of an archive, ready to call."""

    def __init__(self, content: bytes, name: str):
        """Reads the content of a file."""
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        self.description: Description = description.read(metadata[_KEY], name)
        experiment = self.description.experiment
        config = StepConfig.of(experiment, len(self.description.class_names))
        variables: dict[str, Any] = {}
        for path, array in load(content).items():
            *groups, last = path.split("/")
            functools.reduce(lambda group, key: group.setdefault(key, {}), groups, variables)[last] = jnp.asarray(array)
        constants = Normalization(jnp.asarray(self.description.mean), jnp.asarray(self.description.std))
        self._predict = jax.jit(lambda images: jax.nn.softmax(step.predict(config, variables, images, constants)))

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of images."""
        return np.asarray(self._predict(images))
