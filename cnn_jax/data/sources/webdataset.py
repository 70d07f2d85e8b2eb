"""Tar files of pictures with their labels beside them, as the webdataset package reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from cnn_jax import config as cfg
from cnn_jax.data.errors import DataError, UnreadableRecordError
from cnn_jax.data.host.picture import SUFFIXES
from cnn_jax.data.sources import split_files, tar_members
from cnn_jax.data.sources.examples import Examples, Labelled, Source
from cnn_jax.data.sources.listing import as_text
from cnn_jax.data.sources.split_files import FIELD
from cnn_jax.data.sources.tar_members import Member

_PICTURES = frozenset(suffix.removeprefix(".") for suffix in SUFFIXES)
_LONGEST_LABEL = 2**20  # bytes of a member that holds a label


class _Found(NamedTuple):
    """A picture of a tar file, and its label as it came."""

    file: int
    member: Member
    label: int | str


class TarExamples(Examples):
    """Pictures of the tar files of one split, read at random; may be sent to other processes."""

    def __init__(self, name: str, files: Sequence[Path], found: Sequence[_Found], labels: Int32[np.ndarray, " n"]):
        """Takes pictures that were listed.

        Args:
          name: The folder and the split, for errors.
          files: The tar files.
          found: The pictures.
          labels: Their class numbers.
        """
        self.name, self._files, self._labels = name, list(files), labels
        self._members = [(each.file, each.member) for each in found]

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, number: int) -> Labelled:
        file, member = self._members[number]
        try:
            with self._files[file].open("rb") as content:
                content.seek(member.offset)
                return Labelled(content.read(member.size), int(self._labels[number]))
        except OSError as error:
            raise UnreadableRecordError(f"{self.place(number)} cannot be read: {error.strerror or error}") from error

    def place(self, number: int) -> str:
        file, member = self._members[number]
        return f"{as_text(member.name)} of {self.name} (in {as_text(self._files[file].name)})"


def open_shards(config: cfg.WebDataset) -> Source:
    """Lists the pictures of a folder's tar files, and reads their labels.

    Args:
      config: The folder, its splits, and where the labels are.

    Raises:
      DataError: If a file is missing or damaged, or a picture has no label.
    """
    splits, passed_over = split_files.find(config, ".tar")
    folder = Path(config.folder).expanduser()
    kind, _, key = config.label.partition(".")
    if kind not in ("cls", "json") or (kind == "json") != bool(key):
        raise DataError(f"config.data.label: got {config.label!r}, expected cls, or json.KEY such as json.label")
    found: dict[str, list[_Found]] = {}
    for split, files in splits.items():
        found[split] = [each for number, file in enumerate(files) for each in _pictures(number, file, kind, key)]
        if not found[split]:
            raise DataError(f"config.data.{split}_split: the tar files of {folder} have no pictures")
    values = {split: [each.label for each in some] for split, some in found.items()}
    labels, class_names = split_files.numbered(values, config.class_names, f"{FIELD}: {folder}")
    examples = {
        split: TarExamples(f"{as_text(folder)}, split {split}", files, found[split], labels[split])
        for split, files in splits.items()
    }
    # Large files count by their ends; names, places and labels of all their pictures count too.
    content = {split: repr([(each.member, each.label) for each in some]) for split, some in found.items()}
    return split_files.picture_set(splits, examples, class_names, {"": config.label, **content}, passed_over)


def _pictures(number: int, file: Path, kind: str, key: str) -> list[_Found]:
    """Lists the pictures of a tar file with their labels, which have the same name up to the first dot."""
    samples: dict[str, dict[str, Member]] = {}
    for member in tar_members.members(file, FIELD):
        folder, name = os.path.split(member.name)
        stem, _, extension = name.partition(".")
        parts = samples.setdefault(os.path.join(folder, stem), {})
        if extension.lower() in parts:
            raise DataError(f"{FIELD}: {as_text(file)} has {as_text(member.name)} twice")
        parts[extension.lower()] = member
    found = []
    try:
        with file.open("rb") as content:
            for name, parts in samples.items():
                pictures = [extension for extension in parts if extension in _PICTURES]
                if not pictures:
                    continue
                if len(pictures) > 1:
                    raise DataError(
                        f"{FIELD}: {as_text(file)}: {as_text(name)} has {' and '.join(pictures)} pictures, expected one"
                    )
                if kind not in parts:
                    raise DataError(
                        f"{FIELD}: {as_text(file)}: {as_text(name)} has the members {', '.join(map(as_text, parts))}, "
                        f"and no {kind}, which holds the label; config.data.label may be cls or json.KEY"
                    )
                content.seek(parts[kind].offset)
                text = content.read(min(parts[kind].size, _LONGEST_LABEL))
                label = _label(text, key, f"{FIELD}: {as_text(file)}: {as_text(parts[kind].name)}")
                found.append(_Found(number, parts[pictures[0]], label))
    except OSError as error:
        raise DataError(f"{FIELD}: {as_text(file)} cannot be read: {error.strerror or error}") from error
    return found


def _label(content: bytes, key: str, where: str) -> int | str:
    """Reads a label: a whole number, or a class's name."""
    try:
        value: Any = content.decode().strip()
        if key:
            described = json.loads(value)
            if not isinstance(described, dict) or key not in described:
                has = f"the keys {', '.join(described)}" if isinstance(described, dict) else "no keys"
                raise DataError(f"{where} has {has[:300]}, and no {key}")
            value = described[key]
    except ValueError as error:
        raise DataError(f"{where} holds no label: {error}") from error
    if isinstance(value, str) and len(value) < 20 and value.removeprefix("-").isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise DataError(f"{where} holds the label {str(value)[:60]!r}, expected a whole number or a name")
    return value
