"""Examples in ArrayRecord files of TFDS, read without TensorFlow."""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from google.protobuf.message import DecodeError
from grain.sources import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from cnn_jax.data.errors import DataError, UnreadableRecordError
from cnn_jax.data.sources.examples import Examples, Labelled
from cnn_jax.run.errors import os_error, reason

INFO = "dataset_info.json"
_OPENED_AT_ONCE = 16  # shards
_FETCH = "fetch the folder or prepare it again"


class ArrayRecords(Examples):
    """Encoded pictures, or pixels, of one split with their labels.

    Attributes:
      name: The data set and the split, for errors.
      files: Files that have them.
      parts: For each part of the split, the name of its file, the number of its first example and how many it has.
    """

    def __init__(
        self,
        name: str,
        shards: Sequence[Any],
        features: tfds.features.FeaturesDict,
        image: str = "image",
        label: str = "label",
        check_labels: bool = True,
    ):
        """Opens the files once, to see that they are whole.

        Args:
          name: As the attribute.
          shards: TFDS's instructions.
          features: Features of the data set.
          image: Feature of the images.
          label: Feature of the labels.
          check_labels: Whether a label that is none of the classes is an error when its example is read.

        Raises:
          DataError: If one of the files is damaged, cut short, or missing, or there are no examples.
        """
        self.name, self._image, self._label = name, image, label
        self._classes = features[label].num_classes if check_labels else None
        is_encoded = isinstance(features[image], tfds.features.Image)
        self._tensor = None if is_encoded else tfds.features.FeaturesDict({image: features[image]})
        if not shards:
            raise DataError(f"{name} has no examples")
        with ThreadPoolExecutor(_OPENED_AT_ONCE) as threads:
            faults = [fault for fault in threads.map(_fault_of_shard, shards) if fault is not None]
        if faults:
            more = f" ({len(faults) - 1} more files are faulty)" if len(faults) > 1 else ""
            raise DataError(f"{name}: {faults[0]}{more}")
        self.files = tuple(dict.fromkeys(Path(shard.filename) for shard in shards))
        # What a part takes is -1 for all the rest.
        takes = [shard.examples_in_shard - shard.skip if shard.take < 0 else shard.take for shard in shards]
        self.parts = tuple(
            (Path(shard.filename).name, shard.skip, take) for shard, take in zip(shards, takes, strict=True)
        )
        self._source = ArrayRecordDataSource(shards)
        self._ends = list(itertools.accumulate(takes))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> Labelled:
        try:
            serialized = self._source[number]
        except (RuntimeError, OSError) as error:  # ArrayRecord's for damaged bytes, and for what the system cannot read
            raise UnreadableRecordError(f"{self.place(number)} cannot be read: {error}") from error
        try:
            # TFDS's own reader does the same and takes six times as long, as it is ready for any feature.
            features = tf_example_pb2.Example.FromString(serialized).features.feature
            label = features[self._label].int64_list.value[0]
            if self._tensor is None:
                picture = features[self._image].bytes_list.value[0]
            else:
                picture = np.asarray(self._tensor.deserialize_example_np(serialized)[self._image], np.uint8)
                picture = picture[..., None] if picture.ndim == 2 else picture
        except (DecodeError, IndexError, ValueError, KeyError) as error:
            raise UnreadableRecordError(f"{self.place(number)} is no picture with a label") from error
        if self._classes is not None and not 0 <= label < self._classes:
            without = "; it is a split without labels" if label == -1 else ""
            raise UnreadableRecordError(
                f"{self.place(number)} has the label {label}, expected 0 to {self._classes - 1}{without}"
            )
        return Labelled(picture, label)

    def place(self, number: int) -> str:
        file = self.parts[bisect.bisect_right(self._ends, number)][0]
        return f"record {number} of {self.name} (in {file})"


def _fault_of_shard(shard: Any) -> str | None:
    """Says what is wrong with a file of TFDS's instructions, without reading its records; None for nothing."""
    path = Path(shard.filename)
    try:
        reader = ArrayRecordReader(str(path))
        records, is_whole = reader.num_records(), reader.ok()
        reader.close()
    except RuntimeError as error:
        if (refused := os_error(error, path)) is not None and path.exists():
            return f"the file {path.name} cannot be read: {reason(refused)}"
        what = "is missing" if not path.exists() else f"is damaged or cut short ({error})"
        return f"the file {path.name} {what}; {_FETCH}"
    if records == shard.examples_in_shard and is_whole:
        return None
    return (
        f"the file {path.name} has {records} records, expected {shard.examples_in_shard}: it is damaged or cut short; "
        f"{_FETCH}"
    )


def open_builder(folder: Path, field: str = "") -> tfds.core.DatasetBuilder:
    """Opens a folder that TFDS has prepared.

    Args:
      folder: Folder with dataset_info.json.
      field: The config's name for it and a colon, for errors.

    Raises:
      DataError: If its description is damaged or cannot be read.
    """
    try:
        opened = tfds.builder_from_directory(folder)
        opened.info.splits, opened.info.file_format, opened.info.features  # noqa: B018  (reads the rest of it)
    except Exception as error:  # TFDS raises whatever its readers of JSON, protobuf and features do
        if (refused := os_error(error, folder)) is not None and not isinstance(refused, FileNotFoundError):
            raise DataError(f"{field}{os.fsdecode(refused.filename)} cannot be read: {reason(refused)}") from error
        first = str(error).strip().partition("\n")[0]
        raise DataError(f"{field}{folder}: {INFO} or features.json is damaged or missing: {first}") from error
    return opened
