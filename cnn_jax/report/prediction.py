"""Classifies picture files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from cnn_jax.config import Data, Experiment, Npz
from cnn_jax.data.errors import DataError
from cnn_jax.data.host.crops import CentreCrop
from cnn_jax.data.host.picture import SUFFIXES, UnreadablePictureError
from cnn_jax.data.sources import listing
from cnn_jax.data.sources.evaluation_picture import read_middle, read_picture
from cnn_jax.data.sources.image_folder import passed_over, pictures_of
from cnn_jax.data.split import Images


class Network(Protocol):
    """A network that classifies: a finished run's, or an exported one."""

    @property
    def experiment(self) -> Experiment:
        """Config; its data section defines how pictures are read."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Image shape of the network, (height, width, channels)."""

    @property
    def dtype(self) -> str:
        """Dtype of the pixels, "uint8" or "float32"."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in label order."""

    def probabilities(self, images: Images) -> Float32[np.ndarray, "n k"]:
        """Computes the probabilities of images."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    r"""Prediction of one picture.

    Attributes:
      file: Path of the picture; bytes that are not UTF-8 are written as \xff.
      label: Most probable class.
      probability: Probability of that class.
      probabilities: Probabilities of all classes, by name.
      changes: Description of the changes that made the picture fit; empty if none were needed.
    """

    file: str
    label: str
    probability: float
    probabilities: dict[str, float]
    changes: str


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A file that cannot be predicted.

    Attributes:
      file: Path of the picture.
      reason: Message with the file's name and the reason.
    """

    file: str
    reason: str


def find_pictures(paths: Sequence[Path], config: Data | None = None) -> tuple[list[Path], tuple[str, ...]]:
    """Lists picture files.

    Args:
      paths: Picture files with any name, and folders, which are searched recursively in sorted order.
      config: Data section of the network's config; for NumPy arrays, .npy files count as pictures. None without a
        network.

    Returns:
      (the files, descriptions of the files skipped in folders).

    Raises:
      DataError: If a path is missing, or a folder has no pictures.
    """
    files: list[Path] = []
    warnings: list[str] = []
    suffixes = (*SUFFIXES, ".npy") if isinstance(config, Npz) else SUFFIXES
    for path in paths:
        if path.is_dir():
            listed = listing.list_files(path, "--images")
            found = pictures_of(listed, suffixes)
            if not found:
                left_out = "; " * bool(listed.left_out) + ", ".join(listed.left_out)
                raise DataError(f"--images: the folder {path} has no pictures ({', '.join(suffixes)}){left_out}")
            files += found
            warnings += passed_over(path, "--images", listed, suffixes=suffixes)
        elif path.is_file():
            files.append(path)
        else:
            what = "is not a regular file" if path.exists() else ""
            raise DataError(f"--images: {path} {what}" if what else f"--images: there is no file or folder {path}")
    return files, tuple(warnings)


def predict(
    network: Network, files: Sequence[Path], view: CentreCrop | None = None
) -> Iterator[Prediction | Unreadable]:
    """Classifies pictures in batches of the network's evaluation batch size.

    Args:
      network: Network, as `restore.load`, `load.load` or `restore.with_published` opens it.
      files: Paths of the pictures.
      view: Resizing and centre crop of the pictures; None reads pictures as the network's data source does.

    Yields:
      A prediction or an unreadable file for each picture, in order.
    """
    size = min(network.experiment.train.eval_batch_size, len(files))
    batch: list[Prediction | Unreadable] = []
    images = np.zeros((size, *network.image_shape), network.dtype)
    count = 0
    for file in files:
        try:
            if view is not None:
                images[count], changes = read_middle(file, view)
            else:
                images[count], changes = read_picture(file, network.experiment.data, network.image_shape, network.dtype)
        except UnreadablePictureError as error:
            batch.append(Unreadable(listing.as_text(file), listing.as_text(str(error))))
        else:
            batch.append(Prediction(listing.as_text(file), "", 0.0, {}, changes))
            count += 1
        if count == size or len(batch) == 2 * size:
            yield from _classify_batch(network, batch, images, count)
            batch, count = [], 0
    yield from _classify_batch(network, batch, images, count)


def _classify_batch(
    network: Network, batch: Sequence[Prediction | Unreadable], images: np.ndarray, count: int
) -> Iterator[Prediction | Unreadable]:
    """Classifies the first `count` images; the whole array is computed, to reuse the compiled shape."""
    probabilities = iter(network.probabilities(images)[:count] if count else ())
    for each in batch:
        if isinstance(each, Unreadable):
            yield each
            continue
        row = next(probabilities)
        best = int(row.argmax())
        by_name = {name: float(value) for name, value in zip(network.class_names, row, strict=True)}
        yield dataclasses.replace(
            each, label=network.class_names[best], probability=float(row[best]), probabilities=by_name
        )
