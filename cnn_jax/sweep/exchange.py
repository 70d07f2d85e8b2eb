"""A sweep as one file, with all that another laboratory needs to repeat it and to compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from cnn_jax import __version__, whole_file
from cnn_jax.config import parsing
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run import records
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.records import Provenance, Record, RecordError
from cnn_jax.sweep import reproduction_check
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.plan import Plan, same_names
from cnn_jax.sweep.repetition import evidence
from cnn_jax.sweep.reproduction_check import Evidence
from cnn_jax.sweep.space import Sweep
from cnn_jax.sweep.status import DONE
from cnn_jax.sweep.sweep_file import FieldName, FileName
from cnn_jax.sweep.trial import Trial
from cnn_jax.terminal import print_line

_FORMAT = 1


class _ExportedTrial(Record):
    """Content of an exported file about a trial; the file may hold more, for people."""

    number: int
    """Place of the trial in the sweep, from 1."""
    overrides: Mapping[str, Any]
    """Config fields that the trial sets."""
    point: Mapping[str, Any]
    """The same as tables and plots show it."""
    config: Mapping[str, Any]
    """The resolved config."""
    checksum: str
    """SHA-256 of its data; empty if these could not be had."""
    cores: int | None
    """Number of processor cores that it ran on."""
    provenance: Mapping[str, Any] | None
    """Content of provenance.json; None if the trial is not done."""
    records: tuple[Mapping[str, Any], ...] | None
    """Content of metrics.jsonl; None if the trial is not done."""


class _ExportedSweep(Record):
    """Content of an exported file about a sweep."""

    format: Literal[1]
    """Version of the format."""
    experiment: FileName
    """Stem of the experiment's file."""
    description: str
    """Question of the sweep in the experimenter's words."""
    baseline: Mapping[str, Any] | None
    """Point that the others are compared with."""
    skip_infeasible: bool
    """Whether points without a network stay in the table."""
    fields: tuple[FieldName, ...]
    """Dotted names of the varied fields, in declared order, without the seed."""
    base: Mapping[str, Any]
    """The config that the trials change, resolved."""
    trials: tuple[_ExportedTrial, ...]
    """All trials."""


def export(plan: Plan, folder: SweepFolder, entries: tuple[Entry, ...], file: Path) -> int:
    """Writes a sweep with its configs, checksums, provenance and figures.

    Args:
      plan: The sweep.
      folder: Folder of the sweep.
      entries: The trials.
      file: Path of the file, which is written atomically.

    Returns:
      How many of the trials are done.

    Raises:
      OSError: where the file cannot be written.
      RunFolderError: where what a finished trial left cannot be read.
    """
    trials = [_exported(folder, entry) for entry in entries]
    content = {
        "format": _FORMAT,
        "cnn_jax": __version__,
        "experiment": plan.experiment,
        "description": plan.sweep.description,
        "baseline": plan.sweep.baseline,
        "skip_infeasible": plan.sweep.skip_infeasible,
        "fields": plan.fields,
        "base": plan.base.model_dump(mode="json"),
        "trials": trials,
    }
    whole_file.write(file, (json.dumps(content, indent=1) + "\n").encode())
    return sum(trial["records"] is not None for trial in trials)


def unwritable(file: Path) -> str | None:
    """Says why no sweep can be written to a file; None where one can."""
    if file.is_dir():
        return f"got {str(file)!r}, which is a folder; expected a file, such as {str(file / 'sweep.json')!r}"
    if not file.parent.is_dir():
        return f"got {str(file)!r}, and there is no folder {str(file.parent)!r}"
    return None


def read(file: Path) -> tuple[Plan, dict[int, tuple[str, Evidence]]]:
    """Reads an exported sweep. Names in it are names, never paths.

    Args:
      file: File that `export` wrote.

    Returns:
      The plan, and for each finished trial's number the data's checksum and what it left.

    Raises:
      ConfigError: where the file cannot be read, is none of these, or has configs that this version does not know.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigError([f"--from: {file} cannot be read: {error.strerror or error}"]) from error
    try:
        content = records.parse(_ExportedSweep, text)
    except RecordError as error:
        raise ConfigError(
            [f"--from: {file} is no sweep that `sweep --export=FILE` wrote, or damaged: {error}"]
        ) from error
    faults: list[str] = []
    trials: dict[str, Trial] = {}
    known = {}
    numbers: set[int] = set()
    if not content.trials:
        faults.append(f"--from: {file} holds no trials")
    for each in content.trials:
        if each.number in numbers or each.number < 1:
            faults.append(f"--from: {file} is damaged: trial {each.number} is there twice, or is no number from 1")
        numbers.add(each.number)
        try:
            experiment = parsing.parse(each.config)
        except ConfigError as error:
            faults += [f"--from: trial {each.number}: {fault}" for fault in error.faults]
            continue
        trial = Trial(each.number, each.overrides, each.point, experiment)
        if trials.setdefault(experiment.model_dump_json(), trial) is trial and each.records is not None:
            try:
                known[each.number] = each.checksum, _evidence(each)
            except RecordError as error:
                faults.append(f"--from: {file} is damaged in trial {each.number}: {error}")
    faults += [f"--from: {fault}" for fault in same_names(trials.values())]
    try:
        base = parsing.parse(content.base)
    except ConfigError as error:
        faults += [f"--from: base: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(faults)
    overrides = [trial.overrides for trial in trials.values()]
    sweep = Sweep(overrides, content.description, content.baseline, content.skip_infeasible)
    repeated = len(content.trials) - len(trials)
    return Plan(content.experiment, sweep, base, content.fields, tuple(trials.values()), repeated), known


def compare(
    folder: SweepFolder, entries: tuple[Entry, ...], known: Mapping[int, tuple[str, Evidence]], console: Console
) -> bool:
    """Compares a repeated sweep with the figures of the file that it came from.

    Args:
      folder: Folder of the repetition.
      entries: Its trials.
      known: As `read` gives it.
      console: Console for a message about each trial.

    Returns:
      Whether every trial that is done in both matches.
    """
    matches = True
    for entry in entries:
        if entry.trial.number not in known or folder.status(entry.id).status != DONE:
            continue
        checksum, theirs = known[entry.trial.number]
        if checksum != entry.examined.checksum:
            message, same = "its data has another content", False
        else:
            try:
                verdict = reproduction_check.compare(theirs, evidence(folder, entry))
                message, same = str(verdict), verdict.difference is None
            except RunFolderError as error:
                message, same = f"cannot be compared: {error}", False
        matches &= same
        print_line(console, f"{entry.trial}: {message}")
    return matches


def _exported(folder: SweepFolder, entry: Entry) -> dict[str, Any]:
    status = folder.status(entry.id)
    done = status.status == DONE
    left = evidence(folder, entry) if done else None
    result = folder.trial(entry.id).result() if done else None
    return {
        "id": entry.id,
        "number": entry.trial.number,
        "overrides": entry.trial.overrides,
        "point": entry.trial.point,
        "config": entry.trial.experiment.model_dump(mode="json"),
        "checksum": entry.examined.checksum,
        "infeasible": entry.examined.infeasible,
        "status": status.status,
        "fault": status.fault,
        "cores": status.cores,
        "result": result and result.to_json(),
        "provenance": left and left.provenance.to_json(),
        "records": left and [record._asdict() for record in left.records],
    }


def _evidence(trial: _ExportedTrial) -> Evidence:
    """Reads what a finished trial left from its entry in the file."""
    if trial.provenance is None:
        raise RecordError("provenance: got null, expected an object beside its records")
    provenance = records.parse(Provenance, json.dumps(dict(trial.provenance)))
    return Evidence(tuple(map(records.metric_record, map(dict, trial.records or ()))), provenance, trial.cores)
