"""Loads trained networks, from a finished run or from published weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from cnn_jax import compilation, identity
from cnn_jax.config import Experiment, locations
from cnn_jax.data import DataError
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.device.pipeline import Normalization, Preprocessing
from cnn_jax.data.split import Images, Split
from cnn_jax.geometry import preflight
from cnn_jax.models import Variables
from cnn_jax.run import packed_checkpoints
from cnn_jax.run.folder import RunFolder, RunFolderError
from cnn_jax.run.records import RecordsDigest, Result
from cnn_jax.train import inputs, metrics, sharding, step
from cnn_jax.train.checkpoint import Checkpoints, DamagedCheckpointError
from cnn_jax.train.step import StepConfig

if TYPE_CHECKING:
    from cnn_jax.data.sources.stream import Stream
    from cnn_jax.pretrained.published_weights import PublishedWeights


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadyNetwork:
    """A trained network, its preprocessing and its class names.

    Attributes:
      experiment: Config, whose data section says how pictures are read.
      image_shape: (height, width, channels) of the network's input in pixels.
      class_names: Names of the classes in label order.
      config: Static part of the network's programs.
      normalization: Constants that normalize the pixels.
      variables: Variables of the network.
      dtype: Type of the input pixels, "uint8" or "float32".
    """

    experiment: Experiment
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    config: StepConfig
    normalization: Normalization
    variables: Variables
    dtype: str = "uint8"

    def logits(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the logits of any number of images, with pixels 0 to 255, as evaluation does."""
        size = min(self.experiment.train.eval_batch_size, len(images))
        arguments = (self.variables, images[:size], self.normalization)
        compiled = compilation.compile_once(step.predict, self.config, arguments)
        parts = []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            # The last batch is padded to the compiled shape.
            padded = np.resize(batch, (size, *batch.shape[1:]))
            parts.append(np.asarray(compiled(self.variables, padded, self.normalization))[: len(batch)])
        return np.concatenate(parts)

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the softmax probabilities of any number of images, with pixels 0 to 255."""
        return np.asarray(jax.nn.softmax(self.logits(images)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedRun(ReadyNetwork):
    """The network of a finished run, at the step that its result names.

    Attributes:
      folder: Folder of the run.
      result: Figures of the run.
      records_seen: Digest of the records up to that step; None for a run of an older version.
    """

    folder: RunFolder
    result: Result
    records_seen: RecordsDigest | None = None

    def evaluate(self, split: Split | Stream) -> dict[str, float]:
        """Evaluates the network on a split as training does, and returns the metrics by name."""
        mesh = sharding.data_mesh()
        config = dataclasses.replace(self.config, mesh=mesh.abstract_mesh)
        preprocessing, variables = sharding.put(
            (Preprocessing(self.normalization), self.variables), sharding.replicated(mesh)
        )
        sums = inputs.evaluation(config, split, preprocessing, variables, mesh)(variables)
        return metrics.means(sums, len(self.class_names))

    def dataset(self, data_dir: Path | None = None) -> Dataset:
        """Loads the images of the run.

        Args:
          data_dir: Folder of prepared data; None is the default folder.

        Raises:
          DataError: If the images are not available, or have changed since the run.
        """
        fields = " ".join(f"--config.data.{name}=PATH" for name in locations.paths(self.experiment))
        try:
            loaded = identity.load(self.experiment, data_dir)
        except DataError as error:
            fix = f"\nif the images of {self.folder.path} have moved, give their new paths: {fields}" if fields else ""
            raise DataError(f"{error}{fix}") from error
        fix = "bring the old files back" + (f", or give their new paths: {fields}" if fields else "")
        identity.refuse_changed_data(self.folder, loaded.described, fix)
        return loaded.dataset


def load(workdir: Path, moved: Mapping[str, str] | None = None) -> FinishedRun:
    """Loads a finished run, reading only the network's variables from its checkpoint.

    Args:
      workdir: Folder of the run.
      moved: New paths of the data, by field of config.data; None if the data have not moved.

    Raises:
      ConfigError: If `moved` names a field that the data source does not have, or JAX's settings are refused.
      RunFolderError: If there is no finished run, its checkpoint is damaged, or its config.json or dataset.json was
        changed.
    """
    preflight.check_settings()
    folder = RunFolder(workdir)
    experiment = folder.experiment()
    result, described = folder.result(), folder.dataset_info()
    if result is None:
        raise RunFolderError(f"--workdir: {workdir} has no result.json: no finished run; train there first")
    folder.check_descriptions()
    experiment = locations.moved(experiment, {**folder.data_paths(), **(moved or {})})
    compilation.enable_cache()
    config = StepConfig.of(experiment, len(described.class_names))
    # Checkpoints have the structure of the training state; the fields that the network does not need are not read.
    shape = step.state_shape(config, described.image_shape)
    unused: Any = dict.fromkeys(
        ("step", "opt_state", "epoch_sums", "window_sums", *(["params"] * bool(shape.averaged)))
    )
    with packed_checkpoints.opened(folder, result.step) as directory:
        checkpoints = Checkpoints(directory, experiment.checkpoint.keep_last)
        try:
            state = checkpoints.load(result.step, dataclasses.replace(shape, **unused), partial=True)
        except DamagedCheckpointError as error:
            raise RunFolderError(f"--workdir: {workdir}: {error}") from error
        finally:
            checkpoints.close()
    return FinishedRun(
        folder=folder,
        experiment=experiment,
        result=result,
        image_shape=described.image_shape,
        dtype=described.dtype,
        class_names=described.class_names,
        config=config,
        normalization=Normalization(jnp.asarray(described.mean), jnp.asarray(described.std)),
        variables=state.variables,
        records_seen=checkpoints.records_seen(result.step),
    )


def with_published(weights: PublishedWeights) -> ReadyNetwork:
    """Creates a network from published weights.

    Raises:
      ConfigError: If JAX's settings are refused.
    """
    preflight.check_settings()
    compilation.enable_cache()
    experiment = Experiment(model=weights.config)
    mean, std = (255 * jnp.asarray(constants) for constants in (weights.preprocessing.mean, weights.preprocessing.std))
    return ReadyNetwork(
        experiment=experiment,
        image_shape=weights.image_shape,
        class_names=weights.class_names,
        config=StepConfig.of(experiment, len(weights.class_names)),
        normalization=Normalization(mean, std),
        variables=jax.tree.map(jnp.asarray, weights.variables),
    )
