"""A sweep's folder: sweep.json, and for each trial a run's folder with its log and how it stands."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.plan import Plan
from cnn_jax.sweep.trial import Trial, trial_id
from cnn_jax.train.run_folder import RunFolder, RunFolderError

DONE, FAILED, RUNNING, STOPPED, WAITING, INFEASIBLE = "done", "failed", "running", "stopped", "waiting", "infeasible"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A trial with its name, and what is known of it before it runs."""

    id: str
    trial: Trial
    examined: Examined


@dataclasses.dataclass(frozen=True)
class Status:
    """How a trial stands: the content of its status.json.

    Attributes:
      status: done, failed, running, stopped or waiting.
      fault: of a failed one: refused, crash, killed, hang, memory or diverged.
      message: what went wrong, in a line or two.
      log_tail: last lines of its log.
      exit_code, signal: how its process ended by itself.
      attempts: how often it was begun.
      seconds: of all attempts together.
      engine, host, cores: what ran it, where, on how many processor cores.
    """

    status: str = WAITING
    fault: str | None = None
    message: str = ""
    log_tail: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    engine: str = ""
    host: str = ""
    cores: int | None = None


class SweepFolder:
    """Paths and files of one sweep."""

    def __init__(self, path: Path):
        self.path = path
        self._lock: filelock.BaseFileLock | None = None

    def claim(self, plan: Plan) -> None:
        """Locks the folder for this process and this sweep.

        Args:
          plan: the sweep.

        Raises:
          RunFolderError: where it cannot be written, another process runs a sweep in it, or it holds another
            sweep or something else.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(self.path / ".lock", timeout=0)
            self._lock.acquire()
        except filelock.Timeout:
            raise RunFolderError(f"--workdir: another process runs a sweep in {self.path}; it goes on") from None
        except OSError as error:
            raise RunFolderError(f"--workdir: cannot write to {self.path}: {error.strerror}") from error
        if (self.path / "sweep.json").exists():
            held = RunFolder(self.path).read("sweep.json").get("base")
            if held != plan.digest:
                raise RunFolderError(
                    f"--workdir: {self.path} holds a sweep whose trials share other values (get_config() or flags have "
                    "changed); give another folder"
                )
        elif foreign := sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")):
            raise RunFolderError(f"--workdir: {self.path} is not a sweep's folder; it holds {', '.join(foreign[:3])}")

    def release(self) -> None:
        """Lets other processes claim the folder."""
        if self._lock is not None:
            self._lock.release()

    def declare(self, plan: Plan, entries: Sequence[Entry]) -> None:
        """Writes sweep.json: all trials, whether they are to run now or not."""
        content = {
            "experiment": plan.experiment,
            "description": plan.sweep.description,
            "base": plan.digest,
            "fields": plan.fields,
            "baseline": plan.sweep.baseline,
            "trials": [_declared(plan, entry) for entry in entries],
        }
        RunFolder(self.path).write("sweep.json", content)

    def trial(self, name: str) -> RunFolder:
        """The folder of one trial."""
        return RunFolder(self.path / "trials" / name)

    def prepare(self, entry: Entry) -> None:
        """Makes a trial's folder with its config, so that a worker finds all it needs there."""
        folder = self.trial(entry.id)
        folder.path.mkdir(parents=True, exist_ok=True)
        if not (folder.path / "config.json").exists():
            folder.begin(entry.trial.experiment)

    def status(self, name: str) -> Status:
        """How a trial stands; a damaged status.json counts as none."""
        folder = self.trial(name)
        try:
            known = folder.read("status.json")
            fields = {field.name: known[field.name] for field in dataclasses.fields(Status) if field.name in known}
            status = Status(**{**fields, "log_tail": tuple(fields.get("log_tail", ()))})
        except RunFolderError:
            status = Status()
        if (folder.path / "result.json").exists():
            return dataclasses.replace(status, status=DONE, fault=None, message="")
        return dataclasses.replace(status, status=WAITING) if status.status == DONE else status

    def write_status(self, name: str, status: Status) -> None:
        """Writes a trial's status.json."""
        self.trial(name).write("status.json", dataclasses.asdict(status))

    def is_busy(self, name: str) -> bool:
        """Whether a process trains in a trial's folder, such as one whose sweep was killed and that still saves."""
        try:
            with filelock.FileLock(self.trial(name).path / ".lock", timeout=0):
                return False
        except filelock.Timeout:
            return True

    def link_events(self, entries: Sequence[Entry]) -> None:
        """Lists every trial's TensorBoard events by its overrides: `tensorboard --logdir=FOLDER/tensorboard`."""
        views = self.path / "tensorboard"
        views.mkdir(exist_ok=True)
        for entry in entries:
            link = views / str(entry.trial).replace("/", "_")[:200]
            if not link.is_symlink():
                link.symlink_to(os.path.relpath(self.trial(entry.id).path / "tensorboard", views))


def entries_of(plan: Plan, examined: Sequence[Examined]) -> tuple[Entry, ...]:
    """Names a plan's trials.

    Args:
      plan: the sweep.
      examined: what is known of each of its trials, in their order.

    Returns:
      The trials with their names.
    """
    pairs = zip(plan.trials, examined, strict=True)
    return tuple(Entry(trial_id(trial.experiment, known.checksum), trial, known) for trial, known in pairs)


def _declared(plan: Plan, entry: Entry) -> Mapping[str, Any]:
    trial, known = entry.trial, entry.examined
    return {
        "id": entry.id,
        "overrides": trial.overrides,
        "point": {field: trial.point.get(field) for field in plan.fields},
        "seed": trial.experiment.seed,
        "infeasible": known.infeasible,
        "parameters": known.parameters,
        "multiply_adds": known.multiply_adds,
    }
