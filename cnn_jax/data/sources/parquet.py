"""Parquet files of pictures and labels as the Hugging Face Hub keeps them."""

from __future__ import annotations

import bisect
import collections
import contextlib
import itertools
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int32

from cnn_jax import config as cfg
from cnn_jax.data.errors import DataError, UnreadableRecordError
from cnn_jax.data.sources import split_files
from cnn_jax.data.sources.data_file import foreign
from cnn_jax.data.sources.epoch_order import MIXED
from cnn_jax.data.sources.examples import Examples, Labelled, Source
from cnn_jax.data.sources.listing import as_text
from cnn_jax.data.sources.split_files import FIELD
from cnn_jax.plain_text import plain

_LABELS = ("label", "labels", "fine_label")
_KEPT = 2**29  # bytes of row groups that a process keeps, so that examples near each other are read together
_FAULTS = (pa.lib.ArrowException, OSError, UnicodeDecodeError)


class ParquetExamples(Examples):
    """Rows of the files of one split, read by row groups; may be sent to other processes."""

    def __init__(self, name: str, files: Sequence[Path], image: str, labels: Int32[np.ndarray, " n"]):
        """Takes files whose labels were read.

        Args:
          name: The folder and the split, for errors.
          files: The files.
          image: Column of the images.
          labels: Labels of all rows.
        """
        self.name, self._files, self._image, self._labels = name, list(files), image, labels
        self._places = [
            (number, group, metadata.row_group(group).num_rows)
            for number, metadata in enumerate(pq.read_metadata(file) for file in files)
            for group in range(metadata.num_row_groups)
        ]
        sizes = [rows for _, _, rows in self._places]
        self._ends = list(itertools.accumulate(sizes))
        self._group_numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        self._prepare()

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[int, pa.ChunkedArray] = collections.OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_kept")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, number: int) -> Labelled:
        place = bisect.bisect_right(self._ends, number)
        row = number - (self._ends[place - 1] if place else 0)
        try:
            picture = self._group(place)[row].as_py()
        except (*_FAULTS, IndexError) as error:
            first = plain(str(error).partition("\n")[0])
            raise UnreadableRecordError(f"{self.place(number)} cannot be read: {first}") from error
        if isinstance(picture, dict):
            picture = picture.get("bytes")
        if not picture:
            raise UnreadableRecordError(
                f"{self.place(number)} has no picture's bytes, perhaps a path alone: store the pictures in the files"
            )
        return Labelled(picture, int(self._labels[number]))

    def _group(self, place: int) -> pa.ChunkedArray:
        """Reads the pictures of a row group, or takes those that were read not long ago."""
        with self._lock:
            if (found := self._kept.get(place)) is not None:
                self._kept.move_to_end(place)
                return found
            number, group, _ = self._places[place]
            with pq.ParquetFile(self._files[number]) as file:
                found = file.read_row_group(group, columns=[self._image])[self._image]
            if len(found) != self._places[place][2]:
                raise pa.ArrowInvalid(f"row group {group} has {len(found)} pictures and {self._places[place][2]} rows")
            self._kept[place] = found
            while len(self._kept) > 1 and (
                len(self._kept) > MIXED + 1 or sum(each.nbytes for each in self._kept.values()) > _KEPT
            ):
                self._kept.popitem(last=False)
            return found

    def place(self, number: int) -> str:
        place = bisect.bisect_right(self._ends, number)
        file, group, _ = self._places[place]
        return f"example {number} of {self.name} (in {as_text(self._files[file].name)}, row group {group})"

    def groups(self) -> Int32[np.ndarray, " n"]:
        return self._group_numbers


def open_files(config: cfg.Parquet) -> Source:
    """Opens the files of a folder, and reads their labels.

    Args:
      config: The folder, its splits and columns.

    Raises:
      DataError: If a file is missing or damaged, or has no pictures with labels.
    """
    splits, passed_over = split_files.find(config, ".parquet")
    folder = Path(config.folder).expanduser()
    schema = _schema(splits["train"][0])
    known = _features(schema)
    image, label = _image_column(schema, config.image), _label_column(schema, known, config.label)
    names = config.class_names
    if names is None and (declared := known.get(label, {}).get("names")):
        names = tuple(map(str, declared))
    values = {split: [v for file in files for v in _labels(file, image, label)] for split, files in splits.items()}
    for split, each in values.items():
        if not each:
            raise DataError(f"config.data.{split}_split: the files of {folder} have no rows")
    labels, class_names = split_files.numbered(values, names, f"{FIELD}: {folder}, column {label},")
    examples = {
        split: ParquetExamples(f"{as_text(folder)}, split {split}", files, image, labels[split])
        for split, files in splits.items()
    }
    content = {"": f"{image}\0{label}"}
    return split_files.picture_set(splits, examples, class_names, content, passed_over)


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except _FAULTS as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> DataError:
    first = plain(str(error).partition("\n")[0])
    with contextlib.suppress(OSError), file.open("rb") as content:
        if (kind := foreign(content.read(64))) is not None and not kind.startswith("a Parquet file"):
            first = f"{first}; it is {kind}"
    return DataError(f"{FIELD}: {as_text(file)} is no Parquet file, or a damaged one: {first}")


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Reads the features that Hugging Face's datasets describes in a schema's metadata; empty for none."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return {name: each for name, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}


def _image_column(schema: pa.Schema, named: str | None) -> str:
    usable = [field.name for field in schema if _holds_pictures(field.type)]
    return _chosen("image", usable, named, schema, "of pictures, {bytes, path} or bytes")


def _holds_pictures(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(n).name == "bytes" and _is_bytes(kind.field(n).type) for n in range(kind.num_fields))
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _label_column(schema: pa.Schema, known: dict[str, Any], named: str | None) -> str:
    usable = [
        field.name
        for field in schema
        if pa.types.is_integer(field.type) or pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    if named is None:
        classes = [name for name in usable if known.get(name, {}).get("_type") == "ClassLabel"]
        usual = [name for name in _LABELS if name in usable]
        if len(classes) == 1 or usual:
            return classes[0] if len(classes) == 1 else usual[0]
        usable = classes or usable
    return _chosen("label", usable, named, schema, "of labels, numbers or names")


def _chosen(kind: str, usable: list[str], named: str | None, schema: pa.Schema, what: str) -> str:
    if (named in usable) if named is not None else len(usable) == 1:
        return named or usable[0]
    columns = ", ".join(f"{as_text(field.name)} ({field.type})" for field in schema)[:600]
    got = f"={named}" if named is not None else ""
    raise DataError(f"config.data.{kind}{got}: the files have the columns {columns}; name one {what}")


def _labels(file: Path, image: str, label: str) -> list[int | str]:
    """Reads the labels of a file."""
    try:
        schema = pq.read_schema(file)
        if missing := [name for name in (image, label) if name not in schema.names]:
            raise DataError(f"{FIELD}: {as_text(file)} has no column {missing[0]}, which the first file has")
        column = pq.read_table(file, columns=[label])[label]
    except _FAULTS as error:
        raise _damaged(file, error) from error
    if len(column) != (rows := pq.read_metadata(file).num_rows):
        raise DataError(f"{FIELD}: {as_text(file)} has {len(column)} labels and {rows} rows: it is damaged")
    if column.null_count:
        raise DataError(f"{FIELD}: {as_text(file)} has {column.null_count} rows without a label in the column {label}")
    return list(column.to_pylist())
