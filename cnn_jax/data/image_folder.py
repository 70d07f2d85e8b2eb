"""A folder of pictures, one subfolder for each class."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_jax.data.errors import DataError
from cnn_jax.data.picture import UnreadablePictureError, fit
from cnn_jax.data.split import Split

SUFFIXES = (".png", ".jpg", ".jpeg")


def class_names(folder: Path, field: str) -> tuple[str, ...]:
    """The subfolders' names, in order.

    Raises:
      DataError: where there is no folder, or no subfolder in it.
    """
    if not folder.is_dir():
        raise DataError(f"{field}: there is no folder {folder}")
    names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    if not names:
        raise DataError(f"{field}: {folder} has no subfolders, expected one for each class")
    return names


def files(folder: Path, field: str, names: Sequence[str]) -> tuple[dict[str, list[Path]], list[Path]]:
    """Lists the files of class folders.

    Args:
      folder: of class folders.
      field: the config's or flag's name for it, for errors.
      names: the classes that there are.

    Returns:
      (the pictures of each class that the folder has, in order; files that are no pictures).

    Raises:
      DataError: where a class is unknown or empty.
    """
    present = class_names(folder, field)
    unknown = sorted(set(present) - set(names))
    if unknown:
        raise DataError(f"{field}: {folder} has the classes {', '.join(unknown)}, which the training images lack")
    pictures: dict[str, list[Path]] = {}
    others = []
    for name in present:
        entries = sorted(entry for entry in (folder / name).rglob("*") if entry.is_file())
        pictures[name] = [entry for entry in entries if entry.suffix.lower() in SUFFIXES]
        others += [entry for entry in entries if entry.suffix.lower() not in SUFFIXES]
        if not pictures[name]:
            raise DataError(f"{field}: the class folder {folder / name} has no pictures ({', '.join(SUFFIXES)})")
    return pictures, others


def read_folder(folder: Path, field: str, names: Sequence[str], image_shape: tuple[int, int, int]) -> Split:
    """Reads all pictures of a folder.

    Args:
      folder: of class folders.
      field: the config's name for it, for errors.
      names: the classes that there are, in label order.
      image_shape: (height, width, channels) that pictures are resized and converted to.

    Returns:
      The split, by class and file name.

    Raises:
      DataError: where a class is unknown or empty, or a picture cannot be read; names the file.
    """
    by_class, others = files(folder, field, names)
    images, labels = [], []
    for name, pictures in by_class.items():
        for file in pictures:
            try:
                images.append(fit(file, image_shape)[0])
            except UnreadablePictureError as error:
                raise DataError(f"{field}: {error}") from error
            labels.append(names.index(name))
    if others:
        warnings.warn(
            f"{field}: {len(others)} files of {folder} are no pictures and were passed over, {others[0]} first",
            stacklevel=2,
        )
    return Split(np.stack(images), np.array(labels, np.int32))
