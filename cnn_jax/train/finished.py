"""A finished run's network, ready to be used again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

from cnn_jax import data, models
from cnn_jax.config import Experiment
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.errors import DataError
from cnn_jax.data.pipeline import Normalization
from cnn_jax.run.folder import RunFolder, RunFolderError
from cnn_jax.train import compilation, optim, programs, steps
from cnn_jax.train.checkpoint import Checkpoints, DamagedCheckpointError


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """What a run left behind.

    Attributes:
      folder: of the run.
      experiment: its config.
      result: the content of result.json.
      image_shape: (height, width, channels) in pixels, that the network takes.
      class_names: in label order.
      variables: of the network, at the step that the result names.
      logits: maps pixels [b, height, width, channels] (uint8) to logits [b, classes], compiled.
    """

    folder: RunFolder
    experiment: Experiment
    result: dict[str, Any]
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    variables: models.Variables
    logits: Callable[[UInt8[np.ndarray, "b h w c"]], jax.Array]

    def probabilities(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        """Classifies images.

        Args:
          images: pixels 0 to 255, of the run's image shape.

        Returns:
          Softmax probabilities.
        """
        return np.asarray(jax.nn.softmax(self.scores(images)))

    def scores(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        """The logits of any number of images, which `probabilities` takes."""
        size = min(self.experiment.train.eval_batch_size, len(images))
        parts = []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            # One compiled shape: the last batch is filled up, and the filling cut off.
            filled = np.resize(batch, (size, *batch.shape[1:]))
            parts.append(np.asarray(self.logits(filled))[: len(batch)])
        return np.concatenate(parts)

    def dataset(self, data_dir: Path | None = None) -> Dataset:
        """Loads the images of the run.

        Raises:
          DataError: where they cannot be had, or are no longer those that the run saw.
        """
        dataset = data.load(self.experiment.data, self.experiment.seed, data_dir)
        trained_on = self.folder.read("dataset.json")["checksum"]
        if dataset.checksum != trained_on:
            raise DataError(
                f"the images of {self.folder.path} have changed: their checksum is {dataset.checksum[:12]}, "
                f"the run saw {trained_on[:12]}; bring the old files back"
            )
        return dataset


def load(workdir: Path) -> FinishedRun:
    """Opens a finished run's folder.

    Args:
      workdir: the run's folder.

    Returns:
      The run.

    Raises:
      RunFolderError: where there is no finished run, or its checkpoint is damaged.
    """
    folder = RunFolder(workdir)
    experiment = folder.experiment()
    result, described = folder.read("result.json"), folder.read("dataset.json")
    compilation.enable_cache()
    height, width, channels = described["image_shape"]
    classes = len(described["class_names"])
    model = models.create(experiment.model, classes)
    recipe = steps.Recipe(experiment, model, optim.optimizer(experiment.optimizer), classes)
    checkpoints = Checkpoints(folder.checkpoints, experiment.checkpoint.keep_last)
    try:
        state = checkpoints.load(result["step"], programs.state_like(recipe, (height, width, channels)))
    except DamagedCheckpointError as error:
        raise RunFolderError(f"--workdir: {workdir}: {error}") from error
    finally:
        checkpoints.close()
    constants = Normalization(jnp.asarray(described["mean"]), jnp.asarray(described["deviation"]))
    predict = jax.jit(functools.partial(steps.predict, recipe), compiler_options=compilation.options())
    return FinishedRun(
        folder=folder,
        experiment=experiment,
        result=result,
        image_shape=(height, width, channels),
        class_names=tuple(described["class_names"]),
        variables=state.variables,
        logits=lambda pixels: predict(state.variables, pixels, constants),
    )
