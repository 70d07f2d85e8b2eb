"""A sweep's folder: sweep.json, and for each trial a run's folder with its log and how it stands."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import pydantic

from cnn_jax.run.folder import RunFolder, RunFolderError, lock, refuse_foreign
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.plan import Plan
from cnn_jax.sweep.status import DONE, WAITING, Status
from cnn_jax.sweep.trial import Trial, trial_id

_STATUS = pydantic.TypeAdapter(Status)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A trial with its name, and what is known of it before it runs."""

    id: str
    trial: Trial
    examined: Examined


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
        self._lock = lock(self.path, "another process runs a sweep in")
        if (self.path / "sweep.json").exists():
            held = RunFolder(self.path).read("sweep.json").get("base")
            if held != plan.digest:
                raise RunFolderError(
                    f"--workdir: {self.path} holds a sweep whose trials share other values (get_config() or flags have "
                    "changed); give another folder"
                )
        else:
            refuse_foreign(self.path, "a sweep's folder")

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
            status = _STATUS.validate_python(folder.read("status.json"))
        except (RunFolderError, pydantic.ValidationError):
            status = Status()
        if (folder.path / "result.json").exists():
            return dataclasses.replace(status, status=DONE, fault=None, message="")
        return dataclasses.replace(status, status=WAITING) if status.status == DONE else status

    def has_checkpoints(self, name: str) -> bool:
        """Whether a trial goes on from a checkpoint when it runs."""
        return self.trial(name).has_checkpoints()

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
