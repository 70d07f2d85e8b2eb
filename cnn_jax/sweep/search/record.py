"""Content of search.json: the search, and its points as far as they are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from cnn_jax import whole_file
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.records import Record
from cnn_jax.sweep import sweep_file
from cnn_jax.sweep.sweep_file import DamagedError

NAME = "search.json"

State = Literal["finished", "stopped early", "failed", "infeasible", "unfinished"]


class PointRecord(Record):
    """A point of a search."""

    number: int
    """Place in the search, from 1."""
    batch: int
    """Number of its batch, from 0."""
    point: Mapping[str, Any]
    """Value of every searched field, as tables show it."""
    trial: str
    """Id of its trial."""
    state: State
    """Outcome of the point."""
    scores: Mapping[str, float]
    """The metric on the validation images by epoch of the rung."""


class Confirmed(Record):
    """A point that was trained anew on fresh seeds."""

    number: int
    """Number of the point."""
    search_score: float
    """Its score in the search, by which it was chosen."""
    scores: tuple[float, ...]
    """Scores of the fresh seeds on the validation images, as far as they are known."""
    test: tuple[float, ...]
    """The same metric of the fresh seeds on the test images."""


class SearchFile(Record):
    """Content of search.json."""

    search: Mapping[str, Any]
    """All that the points depend on, as the experiment file declares it."""
    versions: Mapping[str, str]
    """Versions of the packages that the points depend on."""
    epochs: int
    """Epochs of a trial of the full length."""
    budget: int
    """Epochs that all trials may train together, without the confirmation."""
    spent: int
    """Epochs of rungs that have been reached, counted once a trial."""
    points: tuple[PointRecord, ...]
    """All points drawn so far, in their order."""
    confirmed: tuple[Confirmed, ...]
    """The best points on fresh seeds; empty while the search goes on."""


def read(folder: Path) -> SearchFile | None:
    """Reads the search.json of a folder; None if there is none.

    Raises:
      DamagedError: If it does not hold a search.
      RunFolderError: If it cannot be read.
    """
    content = sweep_file.read_bytes(folder / NAME, folder)
    return None if content is None else sweep_file.parse(content, SearchFile, NAME)


def write(folder: Path, content: SearchFile) -> None:
    """Writes the search.json of a folder, whole or not at all."""
    whole_file.write(folder / NAME, (json.dumps(content.to_json(), indent=1) + "\n").encode())


def check_same(
    folder: Path, search: Mapping[str, Any], versions: Mapping[str, str], warnings: list[str]
) -> SearchFile | None:
    """Checks that a folder holds this search, or none yet.

    A damaged search.json is no obstacle: it is kept under another name, and the points are drawn and read again.

    Args:
      folder: Folder of the search.
      search: Fields of the search that its points depend on.
      versions: Versions of the packages that they depend on.
      warnings: List that gets a message about a damaged file.

    Returns:
      What the folder holds; None if it holds no search.

    Raises:
      RunFolderError: If it holds another one; the message lists what differs.
    """
    try:
        held = read(folder)
    except DamagedError as error:
        kept = f"{NAME}.damaged"
        whole_file.write(folder / kept, (folder / NAME).read_bytes())
        warnings.append(f"{folder}: {error}; it is written anew from the trials, and kept as {kept}")
        return None
    except RunFolderError as error:
        raise RunFolderError(f"--workdir: {folder}: {error}") from error
    if held is None:
        if (folder / sweep_file.NAME).exists():
            raise RunFolderError(
                f"--workdir: {folder} holds a sweep, expected a search or an empty folder; if it is a search that has "
                f"lost its {NAME}, remove {sweep_file.NAME}: both are written anew from the trials"
            )
        return None
    wanted = json.loads(json.dumps(search))
    changed = [
        f"{name}: {held.search.get(name)!r} -> {wanted.get(name)!r}"
        for name in dict.fromkeys([*held.search, *wanted])
        if held.search.get(name) != wanted.get(name)
    ]
    if changed:
        raise RunFolderError(
            f"--workdir: {folder} holds another search ({'; '.join(changed)}); give another folder, or the old values"
        )
    others = [f"{name} {held.versions[name]}" for name in held.versions if versions.get(name) != held.versions[name]]
    if others:
        raise RunFolderError(
            f"--workdir: {folder}: the search was begun with {', '.join(others)}, which may draw other points than the "
            f"versions here; pip install {' '.join(each.replace(' ', '==') for each in others)}, or give another folder"
        )
    return held
