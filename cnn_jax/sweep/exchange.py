"""A sweep as one file, with all that another laboratory needs to repeat it and to compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from cnn_jax import __version__, config_parse, whole_file
from cnn_jax.config_parse import ConfigError
from cnn_jax.run import records
from cnn_jax.run.records import Provenance, RecordError
from cnn_jax.sweep import comparison
from cnn_jax.sweep.comparison import Evidence
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.plan import Plan
from cnn_jax.sweep.repetition import evidence
from cnn_jax.sweep.space import Sweep
from cnn_jax.sweep.status import DONE
from cnn_jax.sweep.trial import Trial
from cnn_jax.terminal import print_line

_FORMAT = 1


def export(plan: Plan, folder: SweepFolder, entries: tuple[Entry, ...], file: Path) -> int:
    """Writes a sweep with its configs, checksums, provenance and figures.

    Args:
      plan: the sweep.
      folder: where its trials lie.
      entries: the trials.
      file: to be written, atomically.

    Returns:
      How many of the trials are done.
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


def read(file: Path) -> tuple[Plan, dict[int, tuple[str, Evidence]]]:
    """Reads an exported sweep.

    Args:
      file: that `export` wrote.

    Returns:
      The plan, and for each finished trial's number the data's checksum and what it left.

    Raises:
      ConfigError: where the file cannot be read, is none of these, or has configs that this version does not know.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError([f"--from: {file} cannot be read: {error}"]) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ConfigError([f"--from: {file} is no sweep that `sweep --export=FILE` wrote"])
    faults, trials, known = [], [], {}
    for each in content["trials"]:
        try:
            experiment = config_parse.parse(each["config"])
        except ConfigError as error:
            faults += [f"--from: trial {each['number']}: {fault}" for fault in error.faults]
            continue
        trials.append(Trial(each["number"], each["overrides"], each["point"], experiment))
        if each["records"] is not None:
            try:
                known[each["number"]] = each["checksum"], _evidence(each)
            except RecordError as error:
                faults.append(f"--from: {file} is damaged in trial {each['number']}: {error}")
    if faults:
        raise ConfigError(faults)
    sweep = Sweep(
        [trial.overrides for trial in trials], content["description"], content["baseline"], content["skip_infeasible"]
    )
    base = config_parse.parse(content["base"])
    return Plan(content["experiment"], sweep, base, tuple(content["fields"]), tuple(trials), 0), known


def compare(
    folder: SweepFolder, entries: tuple[Entry, ...], known: Mapping[int, tuple[str, Evidence]], console: Console
) -> bool:
    """Compares a repeated sweep with the figures of the file that it came from.

    Args:
      folder: of the repetition.
      entries: its trials.
      known: as `read` gives it.
      console: where to tell, trial by trial.

    Returns:
      Whether every trial that is done in both matches.
    """
    matches = True
    for entry in entries:
        if entry.trial.number not in known or folder.status(entry.id).status != DONE:
            continue
        checksum, theirs = known[entry.trial.number]
        if checksum != entry.examined.checksum:
            told, same = "its data has another content", False
        else:
            verdict = comparison.compare(theirs, evidence(folder, entry))
            told, same = str(verdict), verdict.difference is None
        matches &= same
        print_line(console, f"{entry.trial}: {told}")
    return matches


def _exported(folder: SweepFolder, entry: Entry) -> dict[str, Any]:
    status = folder.status(entry.id)
    left = evidence(folder, entry) if status.status == DONE else None
    result = folder.trial(entry.id).result()
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


def _evidence(trial: Mapping[str, Any]) -> Evidence:
    """Reads what a finished trial left from its entry in the file."""
    provenance = records.parse(Provenance, json.dumps(trial["provenance"]))
    return Evidence(tuple(map(records.metric_record, trial["records"])), provenance, trial["cores"])
