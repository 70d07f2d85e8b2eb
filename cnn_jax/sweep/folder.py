"""A sweep's folder: sweep.json, and for each trial a run's folder with its log and how it stands."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import filelock

from cnn_jax import whole_file
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.folder import RunFolder, RunFolderError, lock, refuse_foreign
from cnn_jax.sweep import sweep_file
from cnn_jax.sweep.event_links import link_names
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.plan import Plan
from cnn_jax.sweep.status import DAMAGED, DONE, ENDED, RUNNING, STOPPED, Status
from cnn_jax.sweep.sweep_file import DamagedError, SweepFile, TrialEntry
from cnn_jax.sweep.trial import Trial, trial_id
from cnn_jax.sweep.trial_files import is_held, read_trial

# What a sweep writes, by which its folder is recognised where sweep.json is missing.
_OWN = {
    *(
        "trials",
        "tensorboard",
        "report",
        "verified",
        "search.json",
        "search.json.damaged",
        "table.csv",
        "table.parquet",
        "points.csv",
        "report.log",
    ),
    f"{sweep_file.NAME}.damaged",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A trial with its name, and what is known of it before it runs.

    Attributes:
      id: Name of the trial.
      trial: The trial.
      examined: Findings about it.
      until_epoch: Epoch after which it pauses; None trains it to the end.
    """

    id: str
    trial: Trial
    examined: Examined
    until_epoch: int | None = None


class SweepFolder:
    """Paths and files of one sweep.

    Attributes:
      path: Path of the folder.
      warnings: Damaged files that `claim` found and `declare` writes anew.
    """

    def __init__(self, path: Path):
        self.path = path
        self.warnings: list[str] = []
        self._lock: filelock.BaseFileLock | None = None

    def claim(self, plan: Plan, is_search: bool = False) -> None:
        """Locks the folder for this process and this sweep.

        A damaged or missing sweep.json is no obstacle: a trial's folder is named for its config and its data, so that
        none can be taken for another's.

        Args:
          plan: The sweep.
          is_search: Whether a search draws its trials.

        Raises:
          RunFolderError: where it cannot be read or written, another process runs a sweep in it, or it holds another
            sweep or something else.
        """
        self._lock = lock(self.path, "another process runs a sweep in")
        if not is_search and (self.path / "search.json").exists():
            raise RunFolderError(f"--workdir: {self.path} holds a search, expected a sweep or an empty folder")
        try:
            held = sweep_file.read(self.path)
        except DamagedError as error:
            kept = f"{sweep_file.NAME}.damaged"
            whole_file.write(self.path / kept, (self.path / sweep_file.NAME).read_bytes())
            self.warnings.append(f"{self.path}: {error}; it is written anew, and kept as {kept}")
            return
        except RunFolderError as error:
            raise RunFolderError(f"--workdir: {self.path}: {error}") from error
        if held is None:
            visible = {entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")}
            if not ((self.path / "trials").is_dir() and visible <= _OWN):
                refuse_foreign(self.path, "a sweep's folder")
        elif held.base not in (None, plan.digest):
            raise RunFolderError(
                f"--workdir: {self.path} holds a sweep whose trials share other values (get_config() or flags have "
                "changed); give another folder"
            )

    def release(self) -> None:
        """Lets other processes claim the folder."""
        if self._lock is not None:
            self._lock.release()

    def declare(self, plan: Plan, entries: Sequence[Entry]) -> None:
        """Writes sweep.json: all trials, whether they are to run now or not."""
        content = SweepFile(
            experiment=plan.experiment,
            description=plan.sweep.description,
            base=plan.digest,
            fields=plan.fields,
            baseline=plan.sweep.baseline,
            trials=tuple(_declared(plan, entry) for entry in entries),
        )
        sweep_file.write(self.path, content)

    def trial(self, name: str) -> RunFolder:
        """The folder of one trial."""
        return RunFolder(self.path / "trials" / name)

    def prepare(self, entry: Entry) -> None:
        """Makes a trial's folder with its config, so that a worker finds all it needs there.

        A result.json that holds no result is set aside, and the trial goes on from its last checkpoint.
        """
        folder = self.trial(entry.id)
        folder.path.mkdir(parents=True, exist_ok=True)
        if not _holds(folder, entry.trial):
            folder.begin(entry.trial.experiment)
        if read_trial(self.path, entry.id).outcome.fault == DAMAGED:
            with contextlib.suppress(FileNotFoundError):
                (folder.path / "result.json").replace(folder.path / "result.json.damaged")

    def status(self, name: str) -> Status:
        """Status of a trial by its files, as the tables show it."""
        files = read_trial(self.path, name)
        outcome = {field.name: getattr(files.outcome, field.name) for field in dataclasses.fields(files.outcome)}
        return dataclasses.replace(files.attempt or Status(), **outcome)

    def result_sha256(self, name: str) -> str | None:
        """Computes the SHA-256 of a trial's result.json; None if it cannot be read."""
        try:
            return hashlib.sha256((self.trial(name).path / "result.json").read_bytes()).hexdigest()
        except OSError:
            return None

    def has_checkpoints(self, name: str) -> bool:
        """Whether a trial goes on from a checkpoint when it runs."""
        return self.trial(name).has_checkpoints()

    def write_status(self, name: str, status: Status) -> None:
        """Writes a trial's status.json; the trial need not have begun.

        That of a trial that is done becomes a part of its provenance.json: it says how the result was made.
        """
        folder, content = self.trial(name), dataclasses.asdict(status)
        folder.path.mkdir(parents=True, exist_ok=True)
        if status.status == DONE:
            with contextlib.suppress(RunFolderError):  # a trial without provenance keeps its status.json
                folder.write_provenance(folder.provenance().model_copy(update={"attempt": content}))
                (folder.path / "status.json").unlink(missing_ok=True)
                return
        folder.write("status.json", content)

    @contextlib.contextmanager
    def marking_stopped(self, statuses: Mapping[str, Status]) -> Iterator[None]:
        """Marks the trials that an exception leaves as running as stopped, for nothing runs any more.

        Args:
          statuses: Statuses of the trials by id, read at the end.
        """
        try:
            yield
        finally:
            for name, status in statuses.items():
                if status.status == RUNNING:
                    with contextlib.suppress(OSError, RunFolderError):
                        self.write_status(name, dataclasses.replace(status, status=STOPPED, message=ENDED))

    def is_busy(self, name: str) -> bool:
        """Whether a process trains in a trial's folder, such as one whose sweep was killed and that still saves."""
        return is_held(self.trial(name).path / ".lock")

    def link_events(self, entries: Sequence[Entry]) -> str | None:
        """Lists every trial's TensorBoard events by its overrides: `tensorboard --logdir=FOLDER/tensorboard`.

        Links to what is no trial of the sweep any more are removed: to fewer points, or to other data.

        Args:
          entries: All trials that can run.

        Returns:
          Why that is not possible, on a file system without links for one; None where it is.
        """
        views = self.path / "tensorboard"
        named = link_names([(entry.id, str(entry.trial)) for entry in entries])
        try:
            views.mkdir(exist_ok=True)
            wanted = {
                name: os.path.relpath(self.trial(trial).path / "tensorboard", views) for trial, name in named.items()
            }
            held = {entry.name: os.readlink(entry) for entry in os.scandir(views) if entry.is_symlink()}
            for name in held.keys() - wanted.keys():
                (views / name).unlink()
            for name, target in wanted.items():
                if name not in held:
                    (views / name).symlink_to(target)
                elif held[name] != target:
                    fresh = views / ".new"
                    fresh.unlink(missing_ok=True)
                    fresh.symlink_to(target)
                    fresh.replace(views / name)
        except OSError as error:
            return f"{views} does not list the trials' events: {error.strerror or error}"
        return None


def entries_of(plan: Plan, examined: Sequence[Examined]) -> tuple[Entry, ...]:
    """Names a plan's trials.

    Args:
      plan: The sweep.
      examined: Validity and cost of each of its trials, in their order.

    Returns:
      The trials with their names.
    """
    pairs = zip(plan.trials, examined, strict=True)
    return tuple(Entry(trial_id(trial.experiment, known.checksum), trial, known) for trial, known in pairs)


def _holds(folder: RunFolder, trial: Trial) -> bool:
    """Whether a trial's folder has its config; a file that cannot be read, or is another trial's, is written anew."""
    try:
        return folder.experiment() == trial.experiment
    except (RunFolderError, ConfigError, RecursionError):
        return False


def _declared(plan: Plan, entry: Entry) -> TrialEntry:
    trial, known = entry.trial, entry.examined
    return TrialEntry(
        id=entry.id,
        overrides=trial.overrides,
        point={field: trial.point.get(field) for field in plan.fields},
        seed=trial.experiment.seed,
        infeasible=known.infeasible,
        parameters=known.parameters,
        multiply_adds=known.multiply_adds,
    )
