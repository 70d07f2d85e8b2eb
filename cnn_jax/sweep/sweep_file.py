"""Content of sweep.json, declared as typed records; who reads it trusts no name in it to be a path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import StringConstraints

from cnn_jax import whole_file
from cnn_jax.run import records
from cnn_jax.run.columns import Column
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.records import PARAMETERS, Record, RecordError

NAME = "sweep.json"

_Content = TypeVar("_Content")


def _file_name(text: str) -> str:
    """Refuses a text that would be more than the name of a file."""
    if text in ("", ".", "..") or any(mark in "/\\" or ord(mark) < 32 or ord(mark) == 127 for mark in text):
        raise ValueError(f"got {text[:60]!r}, expected a name without slashes and control characters")
    return text


FileName = Annotated[str, pydantic.AfterValidator(_file_name)]
FieldName = Annotated[str, StringConstraints(pattern=r"^\w+(\.\w+)*$")]


class DamagedError(RunFolderError):
    """A file that can be read and does not hold what it should; the message names the file and the field."""


class TrialEntry(Record):
    """A trial as sweep.json lists it."""

    id: Annotated[FileName, Column("id", "trial")]
    """Hash of the trial's config and data; name of its folder."""
    overrides: Mapping[str, Any] = {}
    """Config fields that the trial sets; empty in files of older versions."""
    point: Mapping[str, Any]
    """Value of every varied field; None where the trial does not set it."""
    seed: Annotated[int, Column("seed", "seed", "{}")]
    """Seed of the experiment."""
    infeasible: str | None = None
    """Reason why the trial cannot run; None if it can."""
    parameters: Annotated[int | None, PARAMETERS] = None
    """Trainable numbers of the network, by the layer table."""
    multiply_adds: Annotated[
        int | None,
        Column(
            "multiply_adds",
            "multiply-adds",
            "{:,.0f}",
            shown_in=("trials", "points"),
            axis="multiply-adds (of one image, forward)",
        ),
    ] = None
    """Multiply-adds of one image's forward pass."""


class SweepFile(Record):
    """Content of sweep.json."""

    experiment: FileName
    """Stem of the experiment's file."""
    description: str = ""
    """Question of the sweep in the experimenter's words."""
    base: str | None = None
    """Digest of the config that all trials share; None if it is not known."""
    fields: tuple[FieldName, ...]
    """Dotted names of the varied fields, in declared order, without the seed."""
    baseline: Mapping[str, Any] | None = None
    """Point that the others are compared with."""
    trials: tuple[TrialEntry, ...]
    """All trials."""
    checksum: str | None = None
    """SHA-256 of all else in the file; None in files of older versions."""


def read(folder: Path) -> SweepFile | None:
    """Reads the sweep.json of a folder; None if there is none.

    Raises:
      DamagedError: If the file does not hold a sweep, or is not as it was written.
      RunFolderError: If it cannot be read.
    """
    content = read_bytes(folder / NAME, folder)
    if content is None:
        return None
    sweep = parse(content, SweepFile, NAME)
    if sweep.checksum is not None and sweep.checksum != _checksum(json.loads(content)):
        raise DamagedError(f"{NAME} is damaged: it was changed after it had been written")
    return sweep


def write(folder: Path, sweep: SweepFile) -> None:
    """Writes the sweep.json of a folder with its checksum, atomically.

    Raises:
      OSError: If it cannot be written; an older file then stays.
    """
    content = sweep.to_json()
    content["checksum"] = _checksum(content)
    whole_file.write(folder / NAME, (json.dumps(content, indent=2) + "\n").encode())


def read_bytes(path: Path, folder: Path) -> bytes | None:
    """Reads a file of a sweep's folder; None if there is none.

    Raises:
      RunFolderError: If the file cannot be read, which does not mean that it is damaged.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        raise RunFolderError(f"{path.relative_to(folder)} is a folder, expected a file") from None
    except OSError as error:
        raise RunFolderError(f"{path.relative_to(folder)} cannot be read: {error.strerror or error}") from error


def parse(content: bytes, kind: type[_Content], name: str) -> _Content:
    """Reads a record from the content of a file.

    Raises:
      DamagedError: If the content is not such a record; the message names the file and the field.
    """
    try:
        return records.parse(kind, content)
    except RecordError as error:
        raise DamagedError(f"{name} is damaged: {error}") from error


def _checksum(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
