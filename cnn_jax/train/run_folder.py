"""A run's folder: its files, written whole or not at all, and one process at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

from cnn_jax.config import Experiment
from cnn_jax.config_parse import ConfigError, changed_fields, parse


class RunFolderError(Exception):
    """A folder that cannot be used; the message names it and what helps."""


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
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(self.path / ".lock", timeout=0)
            self._lock.acquire()
        except filelock.Timeout:
            raise RunFolderError(f"--workdir: another process is training in {self.path}") from None
        except OSError as error:
            raise RunFolderError(f"--workdir: cannot write to {self.path}: {error.strerror}") from error
        if (self.path / "config.json").exists():
            changes = changed_fields(self.experiment(), experiment)
            if changes:
                raise RunFolderError(
                    f"--workdir: {self.path} holds a run with another config; give another folder, or these fields "
                    "their old values:\n  " + "\n  ".join(changes)
                )
            return
        foreign = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))
        if foreign:
            raise RunFolderError(f"--workdir: {self.path} is not a run's folder; it holds {', '.join(foreign[:3])}")

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
        path = self.path / name
        temporary = path.with_name(f".{name}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def result(self) -> dict[str, Any] | None:
        """The result of a finished run; None where it is not finished."""
        return self.read("result.json") if (self.path / "result.json").exists() else None
