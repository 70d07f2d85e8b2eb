"""Everything that is known of the trials of a sweep, read from the files in the sweep's folder."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cnn_jax.run import records
from cnn_jax.run.columns import Column, FieldColumn, columns_of
from cnn_jax.run.records import PARAMETERS, Provenance, Record, RecordError, Result
from cnn_jax.sweep.points import key
from cnn_jax.sweep.status import Outcome, Standing, Status

DAMAGED = "damaged"  # the fault of a trial whose files cannot be read


class SweepFolderError(Exception):
    """A folder that holds no readable sweep; the message names the file and what helps."""


@dataclasses.dataclass(frozen=True)
class SweepHeader:
    """What a sweep is, apart from its trials.

    Attributes:
      experiment: stem of the experiment's file.
      description: in the experimenter's words; may be empty.
      fields: dotted names of what varies, in declared order, without the seed.
      baseline: the point that others are compared with; None where none was declared.
    """

    experiment: str
    description: str
    fields: tuple[str, ...]
    baseline: Mapping[str, Any] | None


class TrialEntry(Record):
    """A trial as sweep.json lists it."""

    id: Annotated[str, Column("id", "trial")]
    """Hash of the trial's config and data; name of its folder."""
    point: Mapping[str, Any]
    """Value of every varied field; None where the trial does not set it."""
    seed: Annotated[int, Column("seed", "seed", "{}")]
    """Seed of the experiment."""
    infeasible: str | None = None
    """Reason why the trial cannot run; None if it can."""
    parameters: Annotated[int | None, PARAMETERS] = None
    """Trainable numbers of the network, by the layer table."""
    multiply_adds: Annotated[
        int | None,
        Column(
            "multiply_adds",
            "multiply-adds",
            "{:,.0f}",
            shown_in=("trials", "points"),
            axis="multiply-adds (of one image, forward)",
        ),
    ] = None
    """Multiply-adds of one image's forward pass."""


class SweepFile(Record):
    """Content of sweep.json."""

    experiment: str
    """Stem of the experiment's file."""
    description: str = ""
    """Question of the sweep in the experimenter's words."""
    fields: tuple[str, ...]
    """Dotted names of the varied fields, in declared order, without the seed."""
    baseline: Mapping[str, Any] | None = None
    """Point that the others are compared with."""
    trials: tuple[TrialEntry, ...]
    """All trials."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One trial of a sweep: its entry in sweep.json and the records that its run has written so far.

    Attributes:
      trial: Entry in sweep.json.
      outcome: What became of the trial; "done" if there is a result, whatever the other files say.
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
    def status(self) -> Standing:
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


_Content = TypeVar("_Content")


class _DamagedError(Exception):
    """A file that is there and cannot be read; the message names it."""


def read_rows(folder: Path) -> tuple[SweepHeader, list[Row]]:
    """Reads a sweep's folder, at any time while the sweep runs.

    Args:
      folder: that holds sweep.json and trials/.

    Returns:
      The header, and a row per trial in the order of sweep.json. Spoilt files of a trial show in its row alone.

    Raises:
      SweepFolderError: where sweep.json is missing or damaged.
    """
    try:
        sweep = _read(folder / "sweep.json", folder, SweepFile)
    except _DamagedError as error:
        raise SweepFolderError(f"{folder}: {error}; start the sweep again, which writes it anew") from error
    if sweep is None:
        what = "has no sweep.json" if folder.is_dir() else "is no folder"
        near = " (it is the folder of a single run)" if (folder / "config.json").exists() else ""
        raise SweepFolderError(f"{folder} {what}{near}: expected the folder that a sweep wrote")
    header = SweepHeader(sweep.experiment, sweep.description, sweep.fields, sweep.baseline)
    # A trial that two parts of a sweep ask for is one measurement, and counts as one.
    trials = {(trial.id, key(trial.point.values())): trial for trial in sweep.trials}
    return header, [_row(folder, sweep.fields, trial) for trial in trials.values()]


def code_warnings(rows: Sequence[Row]) -> list[str]:
    """Describes where finished trials do not come from the same code, packages and devices.

    Args:
      rows: All trials.

    Returns:
      A sentence for each difference, with the variants and the number of trials of each; none if all are alike.
    """
    made_by = [row.provenance for row in rows if row.status == "done"]
    warnings = []
    if listed := _variants(str(each.git) if each and each.git else "an unknown commit" for each in made_by):
        warnings.append(f"Finished trials come from different code: {listed}.")
    versions = [each.packages if each else {} for each in made_by]
    for package in sorted({package for known in versions for package in known}):
        if listed := _variants(known.get(package, "unknown") for known in versions):
            warnings.append(f"Finished trials ran with different versions of {package}: {listed}.")
    if listed := _variants(str(each.devices) if each else "unknown" for each in made_by):
        warnings.append(f"Finished trials ran on different devices: {listed}.")
    if resumed := sum(each is not None and bool(each.changes) for each in made_by):
        warnings.append(
            f"Finished trials that were resumed under other conditions than they began: {resumed}; changes in their "
            "provenance.json says which."
        )
    if listed := _variants(_mode(each) for each in made_by):
        warnings.append(f"Finished trials were trained in different ways, which round differently: {listed}.")
    return warnings


def _row(folder: Path, fields: Sequence[str], trial: TrialEntry) -> Row:
    trial = trial.model_copy(update={"point": {field: trial.point.get(field) for field in fields}})
    if trial.infeasible is not None:
        return Row(trial, Outcome("infeasible", message=trial.infeasible))
    at = folder / "trials" / trial.id
    faults: list[str] = []

    def read(name: str, kind: type[_Content]) -> _Content | None:
        try:
            return _read(at / name, folder, kind)
        except _DamagedError as error:
            faults.append(str(error))
            return None

    provenance = read("provenance.json", Provenance)
    attempt = read("status.json", Status)
    result = read("result.json", Result)
    if result is not None:
        return Row(trial, Outcome("done", message="; ".join(faults)), attempt, provenance, result)
    if attempt is not None and attempt.status == "done" and not faults:
        faults.append(f"trials/{trial.id}/status.json says done, but there is no result.json")
    known = attempt or Status()
    status, fault = known.status, known.fault
    if faults and fault is None:
        status, fault = "failed", DAMAGED
    message = "; ".join(filter(None, (known.message, *faults)))
    return Row(trial, Outcome(status, fault, message, known.log_tail), attempt, provenance)


def _read(path: Path, folder: Path, kind: type[_Content]) -> _Content | None:
    """Reads a file; None if it does not exist."""
    try:
        return records.parse(kind, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except RecordError as error:
        what = str(error)
    except OSError as error:
        what = error.strerror or str(error)
    raise _DamagedError(f"{path.relative_to(folder)} is damaged: {what}")


def _mode(provenance: Provenance | None) -> str:
    together = 1 if provenance is None else provenance.trained_together
    return "each alone" if together == 1 else f"{together} together"


def _variants(values: Iterable[str]) -> str:
    """Lists different values and how many trials have each; empty where there is one value."""
    counts = Counter(values)
    if len(counts) < 2:
        return ""
    return "; ".join(f"{value} ({n} trial{'' if n == 1 else 's'})" for value, n in counts.most_common())
