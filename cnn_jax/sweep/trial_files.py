"""The files of a sweep's trials: what they say of each trial, for the engines and the tables alike."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import filelock

from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.records import Provenance, Result
from cnn_jax.sweep.status import CHANGED, DAMAGED, DONE, FAILED, UNREADABLE, Outcome, Status
from cnn_jax.sweep.sweep_file import DamagedError, parse, read_bytes
from cnn_jax.sweep.trial import digest

_Content = TypeVar("_Content")


@dataclasses.dataclass(frozen=True)
class TrialFiles:
    """Content of a trial's files.

    Attributes:
      outcome: End of the trial; "done" if its result can be read and belongs to the trial.
      attempt: Content of status.json, which moves to provenance.json when a trial is done; None if no engine has begun
        the trial.
      provenance: Content of provenance.json; None if the run has not begun.
      result: Content of result.json; None if the run is not finished.
    """

    outcome: Outcome
    attempt: Status | None
    provenance: Provenance | None
    result: Result | None


def read_trial(sweep: Path, name: str) -> TrialFiles:
    """Reads the files of a trial, at any time while it runs.

    Args:
      sweep: Folder of the sweep.
      name: Name of the trial's folder.

    Returns:
      What they say. Files that are damaged, or cannot be read, are told in the outcome.
    """
    at = sweep / "trials" / name
    faults: list[tuple[str, str]] = []
    digests: dict[str, str] = {}
    if at.exists() and not at.is_dir():
        faults.append((UNREADABLE, f"trials/{name} is a file, expected a folder"))

    def read(file: str, kind: type[_Content]) -> _Content | None:
        path = at / file
        try:
            content = read_bytes(path, sweep)
            if content is None:
                return None
            digests[file] = hashlib.sha256(content).hexdigest()
            return parse(content, kind, str(path.relative_to(sweep)))
        except DamagedError as error:
            faults.append((DAMAGED, str(error)))
        except RunFolderError as error:
            faults.append((UNREADABLE, str(error)))
        return None

    provenance = read("provenance.json", Provenance)
    written = "status.json"
    attempt = read(written, Status)
    if attempt is None and provenance is not None and provenance.attempt is not None and not faults:
        written = "provenance.json"
        try:
            attempt = parse(json.dumps(dict(provenance.attempt)).encode(), Status, f"trials/{name}/{written}")
        except DamagedError as error:
            faults.append((DAMAGED, str(error)))
    result = read("result.json", Result)
    config = read("config.json", dict)
    if config is not None and (change := _change(name, config, provenance)) is not None:
        return TrialFiles(Outcome(FAILED, CHANGED, change), attempt, provenance, None)
    if result is not None and attempt is not None and attempt.result_sha256 not in (None, digests["result.json"]):
        faults.append((DAMAGED, f"trials/{name}/result.json is damaged: it was changed after the trial had ended"))
        result = None
    messages = [message for _, message in faults]
    if result is not None:
        return TrialFiles(Outcome(DONE, message="; ".join(messages)), attempt, provenance, result)
    if attempt is not None and attempt.status == DONE and not faults:
        messages.append(f"trials/{name}/{written} says done, but there is no result.json")
    known = attempt or Status()
    status, fault = known.status, known.fault
    if messages and fault is None:
        status, fault = FAILED, faults[0][0] if faults else DAMAGED
    message = "; ".join(filter(None, (known.message, *messages)))
    return TrialFiles(Outcome(status, fault, message, known.log_tail), attempt, provenance, None)


def _change(name: str, config: Mapping[str, Any], provenance: Provenance | None) -> str | None:
    """Says that the config or data which a trial was trained with are not those that it is named for; else None."""
    data = None if provenance is None else provenance.data
    if data is None or digest(config, data.checksum) == name:
        return None
    return (
        f"trials/{name}/config.json, or the data that were trained on, are not those that this trial is named for; "
        f"bring the file back, or move the folder trials/{name} away, and the sweep trains it anew"
    )


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock, such as one that trains in a folder; makes no file.

    Raises:
      OSError: If that cannot be told.
    """
    if not lock.exists():
        return False
    try:
        with filelock.FileLock(lock, timeout=0):
            return False
    except filelock.Timeout:
        return True
