"""A run's folder: its paths and its files, each written completely or not at all, for one process at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import filelock

from cnn_jax import whole_file
from cnn_jax.config import Experiment, locations
from cnn_jax.config.parsing import ConfigError, changed_fields, parse
from cnn_jax.run import records
from cnn_jax.run.errors import RunFolderError, reason
from cnn_jax.run.metrics_log import TEST, read_records
from cnn_jax.run.records import DatasetInfo, MetricRecord, Provenance, Record, RecordError, Result

PACKED = "checkpoints.zip"  # all checkpoints of a trial that rests
_RAY_COPY = "_ray_pkg_"  # start of the name of the folder in which a Ray job with a working_dir runs

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
      RunFolderError: If the folder cannot be written, is lost with a Ray job, or another process holds the lock.
    """
    if any(part.startswith(_RAY_COPY) for part in folder.absolute().parts):
        raise RunFolderError(
            f"--workdir: {folder} lies in the copy of your files that Ray makes for this job alone; "
            "give a path outside of it, on a disk that all nodes share"
        )
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


def result_fault(result: Result, recorded: Iterable[MetricRecord]) -> str | None:
    """Says in what a result differs from the records of its run; None where it has their figures.

    Args:
      result: Content of result.json.
      recorded: Content of metrics.jsonl.
    """
    tests = {record.step: record.values for record in recorded if record.split == TEST}
    measured = tests.get(result.step, {})
    for name, value in result.test.items():
        if value is not None and (name in measured or not measured) and measured.get(name) != value:
            return (
                f"result.json has test_{name} {value} at step {result.step}, and metrics.jsonl has "
                f"{measured.get(name, 'none')}: one of them was changed after the training"
            )
    return None


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
            held = self.experiment()
            # Data that were moved are the same data, which is checked before training; a finished run is of its config.
            is_finished = (self.path / "result.json").exists()
            changes = changed_fields(held, experiment if is_finished else locations.located_as(experiment, held))
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
        return self._record(
            "result.json", Result, "move the file aside, and the command that trained makes it anew from its checkpoint"
        )

    def check_result(self, result: Result) -> None:
        """Checks that a result has the figures of the test images that metrics.jsonl has at its step.

        Args:
          result: Content of result.json.

        Raises:
          RunFolderError: If one of the two files was changed, or metrics.jsonl cannot be read.
        """
        if fault := result_fault(result, self.metric_records()):
            raise RunFolderError(
                f"--workdir: {self.path}/{fault}; bring it back (if it is result.json, moving it aside will "
                "do: the command that trained makes it anew)"
            )

    def provenance(self) -> Provenance:
        """Reads provenance.json.

        Raises:
          RunFolderError: If the file is missing or damaged; the message names the field.
        """
        return self._record(
            "provenance.json",
            Provenance,
            "bring the file back, or move it aside: the run goes on, and what changed is not known",
        )

    def dataset_info(self) -> DatasetInfo:
        """Reads dataset.json.

        Raises:
          RunFolderError: If the file is missing or damaged; the message names the field.
        """
        return self._record("dataset.json", DatasetInfo, "bring the file back, or train anew in another folder")

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

    def data_paths(self) -> dict[str, str]:
        """Gives absolute paths where the data lay and something still lies, by the field of config.data."""
        if not (self.path / "provenance.json").exists():
            return {}
        data = self.provenance().data
        return {} if data is None else {name: path for name, path in data.paths.items() if Path(path).exists()}

    def has_checkpoints(self) -> bool:
        """Whether a checkpoint was saved."""
        if (self.path / PACKED).exists():
            return True
        return self.checkpoints.is_dir() and any(entry.name.isdigit() for entry in self.checkpoints.iterdir())

    def digests(self) -> dict[str, str]:
        """Computes the SHA-256 of the content of the files that describe the run, by their names.

        Raises:
          RunFolderError: If a file is missing or holds no JSON object.
        """
        contents = {
            "config.json": locations.without(self.read("config.json")),
            "dataset.json": self.read("dataset.json"),
        }
        return {
            name: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
            for name, content in contents.items()
        }

    def check_descriptions(self) -> None:
        """Checks that config.json and dataset.json are what the run wrote.

        Raises:
          RunFolderError: If one was changed since, which would change what the network computes.
        """
        if not (self.path / "provenance.json").exists():
            return
        recorded, found = self.provenance().files or {}, self.digests()
        for name, digest in recorded.items():
            if found.get(name) not in (None, digest):
                raise RunFolderError(
                    f"--workdir: {self.path / name} was changed after the training: its SHA-256 is "
                    f"{found[name][:12]}, the run wrote {digest[:12]}; bring the file back, or train anew (for data "
                    "that lie elsewhere now, `--config.data.FIELD=PATH` says where)"
                )

    def read(self, name: str) -> dict[str, Any]:
        """Reads a JSON file that has no record.

        Raises:
          RunFolderError: If the file is missing or holds no JSON object.
        """
        path = self.path / name
        try:
            content = json.loads(self._text(name))
        except (ValueError, RecursionError) as error:
            raise RunFolderError(f"--workdir: {path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise RunFolderError(f"--workdir: {path} holds no JSON object")
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file atomically."""
        if not self._writes:
            return
        whole_file.write(self.path / name, (json.dumps(content, indent=2) + "\n").encode())

    def _record(self, name: str, kind: type[_Record], fix: str) -> _Record:
        try:
            return records.parse(kind, self._text(name))
        except RecordError as error:
            raise RunFolderError(f"--workdir: {self.path / name} is damaged: {error}; {fix}") from error

    def _text(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            what = "is no folder" if not self.path.is_dir() else f"has no {name}: no finished run"
            raise RunFolderError(f"--workdir: {self.path} {what}; train there first") from None
        except OSError as error:
            raise RunFolderError(f"--workdir: {self.path / name} cannot be read: {reason(error)}") from error
