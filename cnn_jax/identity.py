"""Loads and describes a run's data set, and checks data and weights against those that its folder records."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from cnn_jax import data, jax_settings
from cnn_jax.config import Experiment, locations
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.device import pipeline
from cnn_jax.data.device.pipeline import Preprocessing
from cnn_jax.data.errors import DataError
from cnn_jax.pretrained import WeightsError
from cnn_jax.run import provenance
from cnn_jax.run.folder import RunFolder, RunFolderError
from cnn_jax.run.records import Colours, DataIdentity, DatasetInfo, Provenance, SplitSizes

# LAPACK computes the eigenvectors, and its last bits depend on the processor.
_COLOUR_TOLERANCE = 1e-5
_SHOWN = 5  # number of class names in a message


class Loaded(NamedTuple):
    """Data set of a run, its preprocessing constants, and its description, the content of dataset.json."""

    dataset: Dataset
    preprocessing: Preprocessing
    described: DatasetInfo


def load(experiment: Experiment, data_dir: Path | None = None) -> Loaded:
    """Loads the data set of a run.

    Args:
      experiment: The resolved config.
      data_dir: Folder of prepared data; None is the default folder.

    Raises:
      DataError: If the images are not available.
    """
    dataset = data.load(experiment.data, experiment.seed, data_dir)
    preprocessing = pipeline.preprocessing(experiment.data, experiment.augment, dataset.train)
    return Loaded(dataset, preprocessing, _described(dataset, preprocessing))


def _described(dataset: Dataset, preprocessing: Preprocessing) -> DatasetInfo:
    sizes = (len(dataset.train), len(dataset.validation or ()), len(dataset.test))
    normalization, colours = (jax.tree.map(lambda array: np.asarray(array).tolist(), part) for part in preprocessing)
    return DatasetInfo(
        name=dataset.name,
        checksum=dataset.checksum,
        image_shape=dataset.image_shape,
        dtype=dataset.dtype,
        class_names=dataset.class_names,
        images=SplitSizes(**dict(zip(("train", "validation", "test"), sizes, strict=True))),
        mean=normalization.mean,
        std=normalization.std,
        colours=None if colours is None else Colours(**colours._asdict()),
        warnings=dataset.warnings,
        split_checksum=dataset.split_checksum,
        files_checksum=dataset.files_checksum,
        placement=dataset.placement,
    )


def provenance_of(experiment: Experiment, described: DatasetInfo, trained_together: int = 1) -> Provenance:
    """Returns the content of provenance.json for a run of this process.

    Args:
      experiment: The resolved config.
      described: The data set.
      trained_together: Number of runs that one program trains, including this one.

    Raises:
      WeightsError: If the weights file cannot be read.
    """
    return provenance.collect(
        DataIdentity(name=described.name, checksum=described.checksum, paths=locations.paths(experiment)),
        jax.devices(),
        jax_settings.recorded(lambda name: getattr(jax.config, name, None)),
        trained_together,
        _weights_checksum(experiment.pretrained.weights),
    )


def check_resumed(folder: RunFolder, experiment: Experiment, described: DatasetInfo) -> None:
    """Checks, before anything is written, that a folder's run can resume with this data.

    Args:
      folder: Folder of the run, new or interrupted.
      experiment: The resolved config.
      described: The current data set.

    Raises:
      DataError: If images, labels, classes, splits or constants differ from those that the run recorded.
      RunFolderError: If the folder's records cannot be read.
      WeightsError: If the initial weights differ from those that the run recorded.
    """
    if (folder.path / "dataset.json").exists():
        refuse_changed_data(
            folder, described, "bring the old files back, or give another --workdir to train anew on the new ones"
        )
    elif folder.has_checkpoints():
        raise RunFolderError(
            f"--workdir: {folder.path} has checkpoints but no dataset.json, so it is unknown whether they were trained "
            "on these images; bring the file back, or give another --workdir to train anew"
        )
    if (folder.path / "provenance.json").exists():
        was = folder.provenance().weights_checksum
        now = _weights_checksum(experiment.pretrained.weights)
        if was is not None and now != was:
            raise WeightsError(
                f"config.pretrained.weights: {experiment.pretrained.weights} has changed: its SHA-256 is "
                f"{(now or 'none')[:12]}, the run in {folder.path} started from {was[:12]}; bring the old file back, "
                "or give another --workdir to train anew"
            )


def refuse_changed_data(folder: RunFolder, described: DatasetInfo, fix: str) -> None:
    """Checks that a data set is the one that a run recorded.

    Args:
      folder: Folder of the run, with its dataset.json.
      described: The current data set.
      fix: Suggested fix, for the message.

    Raises:
      DataError: If it is not; the message lists the changes.
      RunFolderError: If dataset.json cannot be read.
    """
    if changes := data_changes(folder.dataset_info(), described):
        listed = "\n  ".join(changes)
        raise DataError(f"config.data: the images of {folder.path} have changed:\n  {listed}\n{fix}")


def data_changes(was: DatasetInfo, now: DatasetInfo) -> list[str]:
    """Lists the differences between two data sets and their preprocessing constants.

    Args:
      was: Content of a dataset.json; fields missing from an older version count as equal.
      now: Description of the current data set.

    Returns:
      One line per difference.
    """
    lines = []
    if was.name != now.name:
        lines.append(f"source: {was.name} -> {now.name}")
    if was.class_names != now.class_names:
        lines.append(f"classes: {_class_changes(was.class_names, now.class_names)}")
    if was.image_shape != now.image_shape:
        lines.append(f"(height, width, channels) of an image: {was.image_shape} -> {now.image_shape}")
    if was.dtype != now.dtype:
        lines.append(f"type of the pixels: {was.dtype} -> {now.dtype}")
    for split in SplitSizes.model_fields:
        before, after = getattr(was.images, split), getattr(now.images, split)
        if before != after:
            lines.append(f"{split} images: {before:,} -> {after:,}")
    if was.checksum != now.checksum:
        lines.append(f"checksum of pixels and labels: {was.checksum[:12]} -> {now.checksum[:12]}")
    elif was.split_checksum not in (None, now.split_checksum):
        lines.append("the images are the same, but are split differently into training, validation and test")
    if was.files_checksum not in (None, now.files_checksum):
        lines.append(
            f"checksum of the record files: {was.files_checksum[:12]} -> {(now.files_checksum or 'none')[:12]}"
        )
    for name in ("mean", "std"):
        before, after = getattr(was, name), getattr(now, name)
        if before != after:
            lines.append(f"{name} of the normalization: {before} -> {after}")
    if not _same_colours(was.colours, now.colours):
        lines.append("distribution of the training images' colours")
    return lines


def _class_changes(was: tuple[str, ...], now: tuple[str, ...]) -> str:
    removed, added = ([name for name in one if name not in other] for one, other in ((was, now), (now, was)))
    parts = [f"{word} {', '.join(names[:_SHOWN])}" for word, names in (("without", removed), ("with", added)) if names]
    return f"{len(was)} -> {len(now)}, {' and '.join(parts) or 'in another order'}"


def _same_colours(was: Colours | None, now: Colours | None) -> bool:
    """Returns whether two distributions are equal up to rounding and the signs of eigenvectors."""
    if was is None or now is None:
        return was == now
    before, after = _covariance(was), _covariance(now)
    return (
        was.mean == now.mean
        and before.shape == after.shape
        and bool(np.abs(before - after).max() <= _COLOUR_TOLERANCE * max(np.abs(after).max(), 1e-12))
    )


def _covariance(colours: Colours) -> np.ndarray:
    vectors = np.array(colours.eigenvectors)
    return vectors * np.array(colours.eigenvalues) @ vectors.T


def _weights_checksum(file: str | None) -> str | None:
    """Computes the SHA-256 of the weights file; None without one."""
    if file is None:
        return None
    path = Path(file).expanduser()
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"config.pretrained.weights: {path} cannot be read: {error.strerror}") from error
