"""Trained networks, ready to be used: of a finished run, or of published weights."""

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
    """A network with what it takes to use it.

    Attributes:
      experiment: Config whose data section says how pictures are read.
      image_shape: (height, width, channels) in pixels that the network takes.
      class_names: Names of the classes in label order.
      config: Static part of the network's programs.
      normalization: Constants that normalize the pixels.
      variables: Variables of the network.
      dtype: Type of the pixels that it takes, "uint8" or "float32".
    """

    experiment: Experiment
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    config: StepConfig
    normalization: Normalization
    variables: Variables
    dtype: str = "uint8"

    def logits(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the logits of any number of images as evaluation does.

        Args:
          images: Pixels 0 to 255, of the network's image shape.
        """
        size = min(self.experiment.train.eval_batch_size, len(images))
        arguments = (self.variables, images[:size], self.normalization)
        compiled = compilation.compile_once(step.predict, self.config, arguments)
        parts = []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            # One compiled shape: the last batch is filled up, and the filling cut off.
            filled = np.resize(batch, (size, *batch.shape[1:]))
            parts.append(np.asarray(compiled(self.variables, filled, self.normalization))[: len(batch)])
        return np.concatenate(parts)

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the softmax probabilities of any number of images.

        Args:
          images: Pixels 0 to 255, of the network's image shape.
        """
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
        """Measures the network on a split, by the evaluation that training uses.

        Args:
          split: Images of the run's shape, with labels.

        Returns:
          The metrics by name.
        """
        mesh = sharding.data_mesh()
        config = dataclasses.replace(self.config, mesh=mesh.abstract_mesh)
        start = Preprocessing(self.normalization), self.variables
        preprocessing, variables = sharding.put(start, sharding.replicated(mesh))
        sums = inputs.evaluation(config, split, preprocessing, variables, mesh)(variables)
        return metrics.means(sums, len(self.class_names))

    def dataset(self, data_dir: Path | None = None) -> Dataset:
        """Loads the images of the run.

        Args:
          data_dir: Folder of prepared data; None is the default folder.

        Raises:
          DataError: Where they cannot be had, or are no longer those that the run saw.
        """
        fields = " ".join(f"--config.data.{name}=PATH" for name in locations.paths(self.experiment))
        try:
            loaded = identity.load(self.experiment, data_dir)
        except DataError as error:
            where = f"\nif the images of {self.folder.path} lie elsewhere now, say where: {fields}" if fields else ""
            raise DataError(f"{error}{where}") from error
        fix = "bring the old files back" + (f", or say where these lie: {fields}" if fields else "")
        identity.refuse_changed_data(self.folder, loaded.described, fix)
        return loaded.dataset


def load(workdir: Path, moved: Mapping[str, str] | None = None) -> FinishedRun:
    """Opens a finished run's folder; of its checkpoint only the network's variables are read.

    Args:
      workdir: Folder of the run.
      moved: Where its data lie now, by the field of config.data; None: where they lay.

    Raises:
      ConfigError: Where `moved` names a field that its data source does not have, or JAX's settings are refused.
      RunFolderError: Where there is no finished run, its checkpoint is damaged, or its config.json or dataset.json was
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
    # A checkpoint's arrays have the names of the training state; what the network does not need is left out.
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
    """Makes published weights ready to be used.

    Raises:
      ConfigError: Where JAX's settings are refused.
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
