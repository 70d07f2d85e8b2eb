"""A run's folder: its files, written whole or not at all, and one process at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

from cnn_jax import whole_file
from cnn_jax.config import Experiment
from cnn_jax.config_parse import ConfigError, changed_fields, parse


class RunFolderError(Exception):
    """A folder that cannot be used; the message names it and what helps."""


def lock(folder: Path, busy: str) -> filelock.BaseFileLock:
    """Takes a folder for this process alone, and makes it where it is missing.

    Args:
      folder: that --workdir names.
      busy: what another process that holds it is doing, up to the folder's name.

    Returns:
      The lock, to be released.

    Raises:
      RunFolderError: where it cannot be written, or another process holds it.
    """
    held = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except filelock.Timeout:
        raise RunFolderError(f"--workdir: {busy} {folder}") from None
    except OSError as error:
        raise RunFolderError(f"--workdir: cannot write to {folder}: {error.strerror}") from error
    return held


def refuse_foreign(folder: Path, expected: str) -> None:
    """Keeps from mixing with somebody's files.

    Args:
      folder: that --workdir names, without the file that would make it ours.
      expected: what it would be.

    Raises:
      RunFolderError: where it is not empty.
    """
    foreign = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if foreign:
        raise RunFolderError(f"--workdir: {folder} is not {expected}; it holds {', '.join(foreign[:3])}")


class RunFolder:
    """Paths and JSON files of one run."""

    def __init__(self, path: Path, writes: bool = True):
        """Names the files; of several processes of a run, only one writes.

        Args:
          path: of the folder.
          writes: whether this process is that one.
        """
        self.path = path
        self._writes = writes
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.report = path / "report"
        self._lock: filelock.BaseFileLock | None = None

    def claim(self, experiment: Experiment) -> None:
        """Locks the folder for this experiment's run, new or to be resumed; `begin` makes it this run's for good.

        Args:
          experiment: the resolved config.

        Raises:
          RunFolderError: where it cannot be written, another process trains in it, or it belongs to a run
            with another config; the message lists the changed fields.
        """
        self._lock = lock(self.path, "another process is training in")
        if (self.path / "config.json").exists():
            changes = changed_fields(self.experiment(), experiment)
            if changes:
                raise RunFolderError(
                    f"--workdir: {self.path} holds a run with another config; give another folder, or these fields "
                    "their old values:\n  " + "\n  ".join(changes)
                )
            return
        refuse_foreign(self.path, "a run's folder")

    def begin(self, experiment: Experiment) -> None:
        """Writes the config: from here on the folder holds this run and no other."""
        self.write("config.json", experiment.model_dump(mode="json"))

    def release(self) -> None:
        """Lets other processes claim the folder."""
        if self._lock is not None:
            self._lock.release()

    def experiment(self) -> Experiment:
        """Reads config.json.

        Raises:
          RunFolderError: where it is missing or not a config of this version.
        """
        try:
            return parse(self.read("config.json"))
        except ConfigError as error:
            raise RunFolderError(f"--workdir: {self.path}/config.json: {error}") from error

    def read(self, name: str) -> dict[str, Any]:
        """Reads a JSON file.

        Raises:
          RunFolderError: where it is missing or no JSON object.
        """
        path = self.path / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            what = "is no folder" if not self.path.is_dir() else f"has no {name}: no finished run"
            raise RunFolderError(f"--workdir: {self.path} {what}; train there first") from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"--workdir: {path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise RunFolderError(f"--workdir: {path} holds no JSON object")
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file atomically."""
        if not self._writes:
            return
        whole_file.write(self.path / name, (json.dumps(content, indent=2) + "\n").encode())

    def result(self) -> dict[str, Any] | None:
        """The result of a finished run; None where it is not finished."""
        return self.read("result.json") if (self.path / "result.json").exists() else None
