"""A folder of records: a TFDS data set in ArrayRecord files, and `records.json`, which says what is in it.

`launch.py prepare` makes both from pictures, or the second alone for a folder that TFDS has made. `records.json` is
written last: where it is, the rest is whole and has been looked through.

The pictures keep their files' bytes, JPEG or PNG, of any size and colour. What a network sees of them is decided when
they are read (`cnn_jax.data.sources.stream`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds
from pydantic import BaseModel, ConfigDict, ValidationError

from cnn_jax import config as cfg
from cnn_jax import whole_file
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import file_checksum
from cnn_jax.data.sources.array_records import INFO, ArrayRecords, open_builder
from cnn_jax.data.sources.examples import PixelStatistics, Source

MANIFEST = "records.json"
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey, as Pillow converts (ITU-R BT.601)
# A split that is measured, never chosen by; TFDS's ImageNet has labels for its validation images alone.
TEST_SPLITS = ("validation", "test")


# More than ten fields: those of records.json.
class Manifest(BaseModel):
    """Content of a folder of records.

    Attributes:
      format: Format number of this file.
      class_names: In label order.
      examples: Number of examples in each split.
      checksum: SHA-256 (hex) over the class names and every split's labels and pictures, in order.
      widths, heights: Least and greatest, in pixels.
      mean: Mean of the training pixels' red, green and blue, 0 to 255; every fourth pixel of every fourth row counts.
      covariance: Covariance of the same.
      warnings: Sentences about data that are legal but look like a mistake.
      training_copies: Training pictures that are copies of others before them, byte by byte.
      digest: SHA-256 (hex) of all this, by which a change of the file is noticed; None in files of older versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    format: Literal[1] = 1
    class_names: tuple[str, ...]
    examples: dict[str, int]
    checksum: str
    widths: tuple[int, int]
    heights: tuple[int, int]
    mean: tuple[float, float, float]
    covariance: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    warnings: tuple[str, ...] = ()
    training_copies: int = 0
    digest: str | None = None

    @property
    def test_split(self) -> str:
        """The split that is measured."""
        return next(split for split in TEST_SPLITS if split in self.examples)


class Records(ArrayRecords):
    """The records of one split, read at random; may be sent to other processes."""

    def __init__(self, folder: Path, split: str):
        """Opens the split's files once, to see that they are whole.

        Args:
          folder: Folder of records.
          split: A key of its manifest's `examples`.

        Raises:
          DataError: where the folder or one of the files is damaged, cut short, or missing.
        """
        info = builder(folder).info
        splits = info.splits
        if split not in splits:
            raise DataError(f"{folder} has the splits {', '.join(splits)}, expected {split}")
        try:
            shards = splits[split].file_instructions
        # TFDS raises these for patterns of names, and numbers of shards, that it cannot use.
        except (AssertionError, IndexError, KeyError, ValueError) as error:
            raise DataError(f"{folder}: {INFO} is damaged: {error}") from error
        super().__init__(f"{folder}, split {split}", shards, info.features, check_labels=False)


def open_folder(config: cfg.Records) -> Source:
    """Opens a folder of records.

    Args:
      config: The folder, and the channels of what is seen of its pictures.

    Raises:
      DataError: If the folder is none, or has other classes than the config.
    """
    folder = Path(config.folder).expanduser()
    manifest = read_manifest(folder, "config.data.folder")
    if config.classes not in (None, len(manifest.class_names)):
        raise DataError(
            f"config.data.folder: {folder} has {len(manifest.class_names)} classes, and config.data.classes="
            f"{config.classes}; name another folder, or set config.data.classes=none"
        )
    train, test = (_opened(folder, split, manifest) for split in ("train", manifest.test_split))
    mean, covariance = np.array(manifest.mean), np.array(manifest.covariance)
    if config.channels == 1:
        luma = np.array(_LUMA)
        mean, covariance = luma[None] @ mean, (luma @ covariance @ luma)[None, None]
    return Source(
        train,
        None,
        test,
        manifest.class_names,
        manifest.checksum,
        manifest.warnings + _torn_copies(config, manifest.training_copies),
        PixelStatistics(mean, covariance),
        files_checksum(folder, ("train", manifest.test_split)),
    )


def _torn_copies(config: cfg.Records, training_copies: int) -> tuple[str, ...]:
    """Warns of copies that holding out validation images may tear apart."""
    if not training_copies or not config.validation_fraction:
        return ()
    are = "picture is a copy of another" if training_copies == 1 else "pictures are copies of others"
    return (
        f"{training_copies} training {are}, byte by byte: validation images, which config.data.validation_fraction "
        "holds out, may be among the training images",
    )


def _opened(folder: Path, split: str, manifest: Manifest) -> Records:
    try:
        records = Records(folder, split)
    except DataError as error:
        raise DataError(f"config.data.folder: {error}") from error
    if len(records) != manifest.examples[split]:
        raise DataError(
            f"config.data.folder: {records.name} has {len(records):,} records, and {MANIFEST} tells of "
            f"{manifest.examples[split]:,}; the folder has changed since it was prepared"
        )
    return records


def files_checksum(folder: Path, splits: Sequence[str]) -> str:
    """Computes a checksum by which replaced files of records are noticed without reading all of them.

    Args:
      folder: Folder of records.
      splits: Keys of its manifest's `examples`.

    Returns:
      SHA-256 (hex) of each file's name, size, and first and last 64 KiB, which hold the places of its records. What
      lies between has checksums of its own in the files, which are checked when it is read.

    Raises:
      DataError: If a file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    known = builder(folder).info.splits
    for name in splits:
        for path in map(Path, known[name].filepaths):
            file_checksum.add_ends(digest, path, f"{name} {path.name}", "config.data.folder")
    return digest.hexdigest()


def builder(folder: Path) -> tfds.core.DatasetBuilder:
    """Opens a folder that TFDS can read.

    Raises:
      DataError: where there is none, or its records are not pictures with labels in ArrayRecord files.
    """
    if not (folder / INFO).is_file():
        raise DataError(f"{folder} is no folder of records; `launch.py prepare` makes one")
    opened = open_builder(folder)
    features, file_format = opened.info.features, opened.info.file_format
    if file_format is None or file_format.value != "array_record":
        raise DataError(
            f"{folder} has records in the format {file_format and file_format.value}, expected array_record; "
            "`tfds build --file_format=array_record` writes it"
        )
    kinds = [("image", tfds.features.Image), ("label", tfds.features.ClassLabel)]
    if any(name not in features or not isinstance(features[name], kind) for name, kind in kinds):
        raise DataError(f"{folder} has the features {', '.join(features)}, expected an Image 'image' and a 'label'")
    return opened


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `records.json`, with its digest.

    Args:
      folder: Folder of records.
      manifest: Content of the file.
    """
    fields = manifest.model_dump(mode="json", exclude={"digest"})
    fields["digest"] = _digest(fields)
    whole_file.write(folder / MANIFEST, json.dumps(fields, indent=2).encode())


def _digest(fields: dict[str, Any]) -> str:
    others = {name: value for name, value in fields.items() if name != "digest"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path, field: str) -> Manifest:
    """Reads `records.json`.

    Args:
      folder: Folder of records.
      field: The config's or flag's name for it, for errors.

    Raises:
      DataError: where the folder is none, or not whole, or the file has been changed.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(
            f"{field}: there is no folder {folder}; `launch.py prepare --source=PICTURES --target={folder}` makes it"
        )
    if not path.is_file():
        how = f"`launch.py prepare --source={folder}` looks through what TFDS has made"
        if not (folder / INFO).is_file():
            how = "`launch.py prepare --source=PICTURES --target=FOLDER` makes a folder of records from pictures"
        raise DataError(f"{field}: {folder} has no {MANIFEST}; {how}")
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise DataError(f"{field}: {path} is damaged: {error.errors()[0]['msg']}") from error
    except OSError as error:
        raise DataError(f"{field}: {path} cannot be read: {error.strerror}") from error
    if manifest.digest not in (None, _digest(json.loads(content))):
        raise DataError(
            f"{field}: {path} has been changed since it was written; bring the old file back, or prepare the folder "
            "again"
        )
    if "train" not in manifest.examples or not any(split in manifest.examples for split in TEST_SPLITS):
        raise DataError(
            f"{field}: {folder} has the splits {', '.join(manifest.examples)}, expected train, and validation or test"
        )
    return manifest
