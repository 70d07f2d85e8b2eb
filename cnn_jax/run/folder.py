"""A run's folder: its paths and its files, each written completely or not at all, for one process at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import filelock

from cnn_jax import whole_file
from cnn_jax.config import Experiment
from cnn_jax.config_parse import ConfigError, changed_fields, parse
from cnn_jax.run import records
from cnn_jax.run.errors import RunFolderError, reason
from cnn_jax.run.metrics_log import read_records
from cnn_jax.run.records import DatasetInfo, MetricRecord, Provenance, Record, RecordError, Result

_SECTIONS = ("seed", "data", "model", "train")  # every version writes them; what is left out would get a default
_Record = TypeVar("_Record", bound=Record)


def lock(folder: Path, busy: str) -> filelock.BaseFileLock:
    """Locks a folder for this process, and makes it if it does not exist.

    Args:
      folder: Path that --workdir names.
      busy: Start of the message if another process holds the lock; the folder's name follows.

    Returns:
      The lock, which the caller releases.

    Raises:
      RunFolderError: If the folder cannot be written, or another process holds the lock.
    """
    held = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except filelock.Timeout:
        raise RunFolderError(f"--workdir: {busy} {folder}") from None
    except OSError as error:
        raise RunFolderError(f"--workdir: cannot write to {folder}: {reason(error)}") from error
    return held


def refuse_foreign(folder: Path, expected: str) -> None:
    """Refuses a folder that holds other files.

    Args:
      folder: Path that --workdir names; it lacks the file by which a run's or a sweep's folder is recognised.
      expected: Kind of folder that was expected, for the message.

    Raises:
      RunFolderError: If the folder is not empty.
    """
    foreign = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if foreign:
        raise RunFolderError(f"--workdir: {folder} is not {expected}; it holds {', '.join(foreign[:3])}")


class RunFolder:
    """Paths and files of one run."""

    def __init__(self, path: Path, writes: bool = True):
        """Names the files.

        Args:
          path: Path of the folder.
          writes: Whether this process writes the files; of several processes of a run only one does.
        """
        self.path = path
        self._writes = writes
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.report = path / "report"
        self._lock: filelock.BaseFileLock | None = None

    def claim(self, experiment: Experiment) -> None:
        """Locks the folder for a run of an experiment, new or resumed; `begin` then binds it to the run.

        Args:
          experiment: The resolved config.

        Raises:
          RunFolderError: If the folder cannot be written, another process trains in it, or it belongs to a run with
            another config; the message lists the changed fields.
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
        """Writes config.json, which binds the folder to this run."""
        self.write("config.json", experiment.model_dump(mode="json"))

    def release(self) -> None:
        """Lets other processes claim the folder."""
        if self._lock is not None:
            self._lock.release()

    def experiment(self) -> Experiment:
        """Reads config.json.

        Raises:
          RunFolderError: If the file is missing, or is not a config of this version.
        """
        content = self.read("config.json")
        if missing := [name for name in _SECTIONS if name not in content]:
            raise RunFolderError(f"--workdir: {self.path}/config.json is damaged: it has no {' and no '.join(missing)}")
        try:
            return parse(content)
        except ConfigError as error:
            raise RunFolderError(f"--workdir: {self.path}/config.json: {error}") from error

    def result(self) -> Result | None:
        """Reads result.json; None if the run is not finished.

        Raises:
          RunFolderError: If the file cannot be read, or does not hold a result; the message names the field.
        """
        if not (self.path / "result.json").exists():
            return None
        try:
            return self._record("result.json", Result)
        except RunFolderError as error:
            raise RunFolderError(f"{error}; delete the file, and the command that trained makes it anew") from error

    def provenance(self) -> Provenance:
        """Reads provenance.json.

        Raises:
          RunFolderError: If the file is missing or damaged; the message names the field.
        """
        return self._record("provenance.json", Provenance)

    def dataset_info(self) -> DatasetInfo:
        """Reads dataset.json.

        Raises:
          RunFolderError: If the file is missing or damaged; the message names the field.
        """
        return self._record("dataset.json", DatasetInfo)

    def metric_records(self) -> list[MetricRecord]:
        """Reads metrics.jsonl; an empty list if there is none.

        Raises:
          RunFolderError: If a line is not a record; the message names the line and the field.
        """
        return list(read_records(self.metrics))

    def write_result(self, result: Result) -> None:
        """Writes result.json atomically; it is the last file of a run, and tells that the run is finished."""
        self.write("result.json", result.to_json())

    def write_provenance(self, provenance: Provenance) -> None:
        """Writes provenance.json atomically."""
        self.write("provenance.json", provenance.to_json())

    def write_dataset_info(self, info: DatasetInfo) -> None:
        """Writes dataset.json atomically."""
        self.write("dataset.json", info.to_json())

    def read(self, name: str) -> dict[str, Any]:
        """Reads a JSON file that has no record.

        Raises:
          RunFolderError: If the file is missing or holds no JSON object.
        """
        path = self.path / name
        try:
            content = json.loads(self._text(name))
        except ValueError as error:
            raise RunFolderError(f"--workdir: {path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise RunFolderError(f"--workdir: {path} holds no JSON object")
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file atomically."""
        if not self._writes:
            return
        whole_file.write(self.path / name, (json.dumps(content, indent=2) + "\n").encode())

    def _record(self, name: str, kind: type[_Record]) -> _Record:
        try:
            return records.parse(kind, self._text(name))
        except RecordError as error:
            raise RunFolderError(f"--workdir: {self.path / name} is damaged: {error}") from error

    def _text(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            what = "is no folder" if not self.path.is_dir() else f"has no {name}: no finished run"
            raise RunFolderError(f"--workdir: {self.path} {what}; train there first") from None
        except OSError as error:
            raise RunFolderError(f"--workdir: {self.path / name} cannot be read: {reason(error)}") from error
