"""A folder of records: a TFDS data set in ArrayRecord files, and `records.json`, which says what is in it.

`launch.py prepare` makes both from pictures, or the second alone for a folder that TFDS has made. `records.json` is
written last: where it is, the rest is whole and has been looked through.

The pictures keep their files' bytes, JPEG or PNG, of any size and colour. What a network sees of them is decided when
they are read (`cnn_jax.data.sources.stream`).
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from google.protobuf.message import DecodeError
from grain.sources import ArrayRecordDataSource
from pydantic import BaseModel, ConfigDict, ValidationError
from tensorflow_datasets.proto import tf_example_pb2

from cnn_jax import whole_file
from cnn_jax.data.errors import DataError, UnreadableRecordError
from cnn_jax.data.sources import file_checksum
from cnn_jax.run.errors import os_error, reason

MANIFEST = "records.json"
_FOLDER_INFO = "dataset_info.json"
_OPENED_AT_ONCE = 16  # shards
_FETCH = "fetch the folder or prepare it again"
# A split that is measured, never chosen by; TFDS's ImageNet has labels for its validation images alone.
TEST_SPLITS = ("validation", "test")


# More than ten fields: those of records.json.
class Manifest(BaseModel):
    """Content of a folder of records.

    Attributes:
      format: Format number of this file.
      class_names: in label order.
      examples: Number of examples in each split.
      checksum: SHA-256 (hex) over the class names and every split's labels and pictures, in order.
      widths, heights: least and greatest, in pixels.
      mean: Mean of the training pixels' red, green and blue, 0 to 255; every fourth pixel of every fourth row counts.
      covariance: Covariance of the same.
      warnings: what is legal and yet perhaps not meant, in words.
      training_copies: training pictures that are copies of others before them, byte by byte.
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
        """Opens the split's files once, to see that they are whole.

        Args:
          folder: Folder of records.
          split: a key of its manifest's `examples`.

        Raises:
          DataError: where the folder or one of the files is damaged, cut short, or missing.
        """
        self.name = f"{folder}, split {split}"
        splits = builder(folder).info.splits
        if split not in splits:
            raise DataError(f"{folder} has the splits {', '.join(splits)}, expected {split}")
        try:
            shards = splits[split].file_instructions
        # TFDS raises these for patterns of names, and numbers of shards, that it cannot use.
        except (AssertionError, IndexError, KeyError, ValueError) as error:
            raise DataError(f"{folder}: {_FOLDER_INFO} is damaged: {error}") from error
        if faults := faults_of_shards(shards):
            more = f" ({len(faults) - 1} more files are faulty)" if len(faults) > 1 else ""
            raise DataError(f"{self.name}: {faults[0]}{more}")
        self._source = ArrayRecordDataSource(shards)
        self._files = [Path(shard.filename).name for shard in shards]
        self._ends = list(itertools.accumulate(shard.take for shard in shards))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> Record:
        """Reads one record.

        Raises:
          UnreadableRecordError: where its bytes are damaged, cannot be read, or are no picture with a label.
        """
        try:
            serialized = self._source[number]
        except (RuntimeError, OSError) as error:  # ArrayRecord's for damaged bytes, and for what the system cannot read
            raise UnreadableRecordError(f"{self.place(number)} cannot be read: {error}") from error
        try:
            return _record(serialized)
        except (DecodeError, IndexError) as error:
            raise UnreadableRecordError(f"{self.place(number)} is no picture with a label") from error

    def groups(self) -> None:
        """Each is read by itself."""

    def place(self, number: int) -> str:
        """Names a record and its file, for errors."""
        file = self._files[bisect.bisect_right(self._ends, number)]
        return f"record {number} of {self.name} (in {file})"


def faults_of_shards(shards: Sequence[Any]) -> list[str]:
    """Says what is wrong with files of TFDS's instructions, without reading their records; empty for nothing."""
    with ThreadPoolExecutor(_OPENED_AT_ONCE) as threads:
        return [fault for fault in threads.map(_fault_of_shard, shards) if fault is not None]


def _fault_of_shard(shard: Any) -> str | None:
    """Says what is wrong with a file of TFDS's instructions, without reading its records; None for nothing."""
    path = Path(shard.filename)
    try:
        reader = ArrayRecordReader(str(path))
        if reader.num_records() == shard.examples_in_shard and reader.ok():
            reader.close()
            return None
        records = reader.num_records()
        reader.close()
    except RuntimeError as error:
        if (refused := os_error(error, path)) is not None and path.exists():
            return f"the file {path.name} cannot be read: {reason(refused)}"
        what = "is missing" if not path.exists() else f"is damaged or cut short ({error})"
        return f"the file {path.name} {what}; {_FETCH}"
    return (
        f"the file {path.name} has {records} records, expected {shard.examples_in_shard}: it is damaged or cut short; "
        f"{_FETCH}"
    )


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


def _record(serialized: bytes) -> Record:
    # TFDS's own reader does the same and takes six times as long, as it is ready for any feature.
    features = tf_example_pb2.Example.FromString(serialized).features.feature
    return Record(features["image"].bytes_list.value[0], features["label"].int64_list.value[0])


def builder(folder: Path) -> tfds.core.DatasetBuilder:
    """Opens a folder that TFDS can read.

    Raises:
      DataError: where there is none, or its records are not pictures with labels in ArrayRecord files.
    """
    if not (folder / _FOLDER_INFO).is_file():
        raise DataError(f"{folder} is no folder of records; `launch.py prepare` makes one")
    try:
        opened = tfds.builder_from_directory(folder)
        opened.info.splits  # noqa: B018  (reads the rest of the description)
    except Exception as error:  # TFDS raises whatever its readers of JSON, protobuf and features do
        if (refused := os_error(error, folder)) is not None and not isinstance(refused, FileNotFoundError):
            raise DataError(f"{os.fsdecode(refused.filename)} cannot be read: {reason(refused)}") from error
        first = str(error).strip().partition("\n")[0]
        raise DataError(f"{folder}: {_FOLDER_INFO} or features.json is damaged or missing: {first}") from error
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
      manifest: what it tells.
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
      field: the config's or flag's name for it, for errors.

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
        if not (folder / _FOLDER_INFO).is_file():
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
