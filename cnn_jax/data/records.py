"""A folder of records: a TFDS data set in ArrayRecord files, and `records.json`, which says what is in it.

`launch.py prepare` makes both from pictures, or the second alone for a folder that TFDS has made. `records.json` is
written last: where it is, the rest is whole and has been looked through.

The pictures keep their files' bytes, JPEG or PNG, of any size and colour. What a network sees of them is decided when
they are read (`cnn_jax.data.stream`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import tensorflow_datasets as tfds
from grain.sources import ArrayRecordDataSource
from pydantic import BaseModel, ConfigDict, ValidationError
from tensorflow_datasets.proto import tf_example_pb2

from cnn_jax.data.errors import DataError

MANIFEST = "records.json"
# A split that is measured, never chosen by; TFDS's ImageNet has labels for its validation images alone.
TEST_SPLITS = ("validation", "test")


class Manifest(BaseModel):
    """What is in a folder of records.

    Attributes:
      format: of this file.
      class_names: in label order.
      examples: of each split.
      checksum: SHA-256 (hex) over the class names and every split's labels and pictures, in order.
      widths, heights: least and greatest, in pixels.
      mean: of the training pixels' red, green and blue, 0 to 255; every fourth pixel of every fourth row counts.
      covariance: of the same.
      warnings: what is legal and yet perhaps not meant, in words.
      training_copies: training pictures that are copies of others before them, byte by byte.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    @property
    def test_split(self) -> str:
        """The split that is measured."""
        return next(split for split in TEST_SPLITS if split in self.examples)


class Record(NamedTuple):
    """One example.

    Attributes:
      picture: an encoded picture.
      label: class number.
    """

    picture: bytes
    label: int


class Records:
    """The records of one split, read at random; may be sent to other processes.

    Attributes:
      name: the folder and the split, for errors.
    """

    def __init__(self, folder: Path, split: str):
        """Looks where the split's files are.

        Args:
          folder: of records.
          split: a key of its manifest's `examples`.
        """
        self.name = f"{folder}, split {split}"
        self._source = ArrayRecordDataSource(builder(folder).info.splits[split].file_instructions)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> Record:
        return _record(self._source[number])


def _record(serialized: bytes) -> Record:
    # TFDS's own reader does the same and takes six times as long, as it is ready for any feature.
    features = tf_example_pb2.Example.FromString(serialized).features.feature
    return Record(features["image"].bytes_list.value[0], features["label"].int64_list.value[0])


def builder(folder: Path) -> tfds.core.DatasetBuilder:
    """Opens a folder that TFDS can read.

    Raises:
      DataError: where there is none, or its records are not pictures with labels in ArrayRecord files.
    """
    if not (folder / "dataset_info.json").is_file():
        raise DataError(f"{folder} is no folder of records; `launch.py prepare` makes one")
    opened = tfds.builder_from_directory(folder)
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


def read_manifest(folder: Path, field: str) -> Manifest:
    """Reads `records.json`.

    Args:
      folder: of records.
      field: the config's or flag's name for it, for errors.

    Raises:
      DataError: where the folder is none, or not whole.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(
            f"{field}: there is no folder {folder}; `launch.py prepare --source=PICTURES --target={folder}` makes it"
        )
    if not path.is_file():
        how = f"`launch.py prepare --source={folder}` looks through what TFDS has made"
        if not (folder / "dataset_info.json").is_file():
            how = "`launch.py prepare --source=PICTURES --target=FOLDER` makes a folder of records from pictures"
        raise DataError(f"{field}: {folder} has no {MANIFEST}; {how}")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"{field}: {path} is damaged: {error.errors()[0]['msg']}") from error
    if "train" not in manifest.examples or not any(split in manifest.examples for split in TEST_SPLITS):
        raise DataError(
            f"{field}: {folder} has the splits {', '.join(manifest.examples)}, expected train, and validation or test"
        )
    return manifest
