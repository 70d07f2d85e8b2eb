"""Rows of a sweep's table: its trials, read from the files in the sweep's folder."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.run.columns import FieldColumn, columns_of
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.records import Provenance, Result
from cnn_jax.sweep import sweep_file
from cnn_jax.sweep.points import point_key
from cnn_jax.sweep.status import ENDED, INFEASIBLE, RUNNING, STOPPED, Outcome, Status, StatusName
from cnn_jax.sweep.sweep_file import DamagedError, TrialEntry
from cnn_jax.sweep.trial_files import is_held, read_trial


class SweepFolderError(RunFolderError):
    """A folder that holds no readable sweep; the message names the file and what helps."""


@dataclasses.dataclass(frozen=True)
class SweepHeader:
    """Description of a sweep, apart from its trials.

    Attributes:
      experiment: Stem of the experiment's file.
      description: In the experimenter's words; may be empty.
      fields: Dotted names of what varies, in declared order, without the seed.
      baseline: The point that others are compared with; None where none was declared.
    """

    experiment: str
    description: str
    fields: tuple[str, ...]
    baseline: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Row:
    """One trial of a sweep: its entry in sweep.json and the records that its run has written so far.

    Attributes:
      trial: Entry in sweep.json.
      outcome: End of the trial; "done" if there is a result, whatever the other files say.
      attempt: Content of status.json; None if no engine has started the trial.
      provenance: Content of provenance.json; None if the run has not begun.
      result: Content of result.json; None if the run is not finished.
    """

    trial: TrialEntry
    outcome: Outcome
    attempt: Status | None = None
    provenance: Provenance | None = None
    result: Result | None = None

    @property
    def id(self) -> str:
        """Name of the trial's folder."""
        return self.trial.id

    @property
    def status(self) -> StatusName:
        """Status of the trial."""
        return self.outcome.status

    @property
    def point(self) -> Mapping[str, Any]:
        """Value of every varied field."""
        return self.trial.point

    @property
    def seed(self) -> int:
        """Seed of the experiment."""
        return self.trial.seed

    @functools.cached_property
    def values(self) -> Mapping[str, Any]:
        """Value of every column of the sweep's table, by the column's name; None if it is not known."""
        values: dict[str, Any] = dict.fromkeys(each.column.name for each in columns())
        # A later record is nearer to what was measured: a result's parameters and seconds count.
        for record in (self.trial, self.attempt, self.provenance, self.result, self.outcome):
            if record is not None:
                values |= {each.column.name: each.value(record) for each in columns_of(type(record))}
        return values


LEADING = ("id", "status", "fault", "message")  # columns before those of the varied fields
# Columns that do not stand with the others of their record, each with the column that it follows.
_FOLLOWS = {"multiply_adds": "parameters", "host": "device", "log_tail": "trained_together"}


def columns() -> tuple[FieldColumn, ...]:
    """Lists the columns of a sweep's table, without those of the varied fields.

    Returns:
      The columns that the records of a row declare, in the table's order.
    """
    declared: dict[str, FieldColumn] = {}
    for record in (Result, Status, Provenance, TrialEntry):
        for each in columns_of(record):
            declared.setdefault(each.column.name, each)
    first = (*LEADING, "seed")
    ordered = [*first, *(name for name in declared if name not in first and name not in _FOLLOWS)]
    for name, before in _FOLLOWS.items():
        ordered.insert(ordered.index(before) + 1, name)
    return tuple(declared[name] for name in ordered)


def read_rows(folder: Path) -> tuple[SweepHeader, list[Row]]:
    """Reads a sweep's folder, at any time while the sweep runs.

    Args:
      folder: Folder that holds sweep.json and trials/.

    Returns:
      The header, and a row per trial in the order of sweep.json. Spoilt files of a trial show in its row alone.

    Raises:
      SweepFolderError: where sweep.json is missing or damaged.
    """
    try:
        sweep = sweep_file.read(folder)
    except DamagedError as error:
        raise SweepFolderError(f"{folder}: {error}; start the sweep again, which writes it anew") from error
    except RunFolderError as error:
        raise SweepFolderError(f"{folder}: {error}") from error
    if sweep is None:
        what = "has no sweep.json" if folder.is_dir() else "is no folder"
        near = " (it is the folder of a single run)" if (folder / "config.json").exists() else ""
        if (folder / "trials").is_dir():
            raise SweepFolderError(f"{folder} has no sweep.json; start the sweep again, which writes it anew")
        raise SweepFolderError(f"{folder} {what}{near}: expected the folder that a sweep wrote")
    header = SweepHeader(sweep.experiment, sweep.description, sweep.fields, sweep.baseline)
    # A trial that two parts of a sweep ask for is one measurement, and counts as one.
    trials = {(trial.id, point_key(trial.point.values())): trial for trial in sweep.trials}
    of_sweep = functools.cache(lambda: is_held(folder / ".lock"))

    def is_running(name: str) -> bool:
        try:
            return of_sweep() or is_held(folder / "trials" / name / ".lock")
        except (OSError, NotImplementedError):  # a folder of another user, or without locks: nothing else is known
            return True

    return header, [_row(folder, sweep.fields, trial, is_running) for trial in trials.values()]


def code_warnings(rows: Sequence[Row], noun: str = "trial") -> list[str]:
    """Describes where finished trials do not come from the same code, packages and devices.

    Args:
      rows: All trials.
      noun: Word for one of them.

    Returns:
      A sentence for each difference, with the variants and the number of trials of each; none if all are alike.
    """
    finished, count = f"Finished {noun}s", functools.partial(_variants, noun=noun)
    made_by = [row.provenance for row in rows if row.status == "done"]
    warnings = []
    if listed := count(str(each.git) if each and each.git else "an unknown commit" for each in made_by):
        warnings.append(f"{finished} come from different code: {listed}.")
    versions = [each.packages if each else {} for each in made_by]
    for package in sorted({package for known in versions for package in known}):
        if listed := count(known.get(package, "unknown") for known in versions):
            warnings.append(f"{finished} ran with different versions of {package}: {listed}.")
    if listed := count(str(each.devices) if each else "unknown" for each in made_by):
        warnings.append(f"{finished} ran on different devices: {listed}.")
    if resumed := sum(each is not None and bool(each.changes) for each in made_by):
        warnings.append(
            f"{finished} that were resumed under other conditions than they began: {resumed}; changes in their "
            "provenance.json says which."
        )
    if listed := count(_mode(each) for each in made_by):
        warnings.append(f"{finished} were trained in different ways, which round differently: {listed}.")
    return warnings


def _row(folder: Path, fields: Sequence[str], trial: TrialEntry, is_running: Callable[[str], bool]) -> Row:
    trial = trial.model_copy(update={"point": {field: trial.point.get(field) for field in fields}})
    if trial.infeasible is not None:
        return Row(trial, Outcome(INFEASIBLE, message=trial.infeasible))
    files = read_trial(folder, trial.id)
    outcome = files.outcome
    if outcome.status == RUNNING and not is_running(trial.id):
        outcome = dataclasses.replace(outcome, status=STOPPED, message=ENDED)
    return Row(trial, outcome, files.attempt, files.provenance, files.result)


def _mode(provenance: Provenance | None) -> str:
    together = 1 if provenance is None else provenance.trained_together
    return "each alone" if together == 1 else f"{together} together"


def _variants(values: Iterable[str], noun: str) -> str:
    """Lists different values and how many trials have each; empty where there is one value."""
    counts = Counter(values)
    if len(counts) < 2:
        return ""
    return "; ".join(f"{value} ({n} {noun}{'' if n == 1 else 's'})" for value, n in counts.most_common())
