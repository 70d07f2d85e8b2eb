"""Reads runs for a comparison, groups them by configuration, and finds the config fields that differ."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.config import locations
from cnn_jax.config.parsing import ConfigError, leaves
from cnn_jax.plain_text import valid_unicode
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.folder import RunFolder, result_fault
from cnn_jax.run.metrics_log import read_records
from cnn_jax.run.records import DatasetInfo, MetricRecord, Provenance, Result
from cnn_jax.sweep.points import point_key, point_label, values_at
from cnn_jax.sweep.rows import Row, read_rows
from cnn_jax.sweep.search.results import read_file
from cnn_jax.sweep.status import DAMAGED, DONE, FAILED, RUNNING, STOPPED, Outcome
from cnn_jax.sweep.sweep_file import TrialEntry
from cnn_jax.sweep.trial_files import is_held

FIELD = "entry"  # the sweep field that identifies an entry
ABSENT, UNKNOWN = "(no such field)", "(not known)"
_RUN_FILES = ("config.json", "result.json", "metrics.jsonl")


@dataclasses.dataclass(frozen=True)
class Run:
    """The content of a run's folder, or of a sweep's trial.

    Attributes:
      path: The folder.
      row: The run as a trial of a sweep, for the sweep statistics.
      config: Resolved config by dotted field, without the seed and file locations; None if unknown.
      dataset: Content of dataset.json; None if unknown.
      records: Readable records of metrics.jsonl.
      notes: One sentence for each file that is missing, damaged or from another version.
    """

    path: Path
    row: Row
    config: Mapping[str, Any] | None
    dataset: DatasetInfo | None
    records: Sequence[MetricRecord]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """Runs whose configs differ only in the seed.

    Attributes:
      name: Unique name of the entry.
      runs: The runs.
      config: Their config; None if unknown.
    """

    name: str
    runs: tuple[Run, ...]
    config: Mapping[str, Any] | None

    @property
    def rows(self) -> list[Row]:
        """The runs as trials of a sweep with one point per entry."""
        made = []
        for run in self.runs:
            trial = run.row.trial.model_copy(update={"point": {FIELD: self.name}})
            made.append(dataclasses.replace(run.row, trial=trial))
        return made


def is_run(folder: Path) -> bool:
    """Returns whether a folder is a run's folder."""
    return any((folder / file).is_file() for file in _RUN_FILES)


def is_sweep(folder: Path) -> bool:
    """Returns whether a folder belongs to a sweep or a search."""
    return any((folder / file).exists() for file in ("sweep.json", "search.json")) or (folder / "trials").is_dir()


def holds_runs(folder: Path) -> bool:
    """Returns whether a folder contains folders of runs or sweeps and is not one itself."""
    return not is_run(folder) and not is_sweep(folder) and bool(_run_folders(folder))


def read_entries(folders: Sequence[Path]) -> list[Entry]:
    """Reads runs, sweeps, and folders that contain them.

    Args:
      folders: The folders, in the order of the comparison.

    Returns:
      One entry per configuration: runs whose configs differ only in the seed, or the trials of a sweep's point. For a
        search, only its confirmed points.

    Raises:
      ConfigError: If a folder holds no run, or there is nothing to compare; the message suggests a fix.
      RunFolderError: If a sweep cannot be read.
    """
    sources = _sources(folders)
    singles = [_read_run(path, -1 - index) for index, path in enumerate(sources) if not is_sweep(path)]
    grouped = _grouped(singles, alone=len(singles) == len(sources))
    entries: list[Entry] = []
    for path in sources:
        if is_sweep(path):
            entries += _read_points(path)
        else:
            entries += [each for each in grouped if each.runs[0].path == path]
    if len(entries) < 2:
        raise ConfigError([_too_few(sources, entries)])
    return _with_unique_names(entries)


def differing(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """Finds the config fields that differ between entries.

    Returns:
      For each field, its value in every entry, in order; ABSENT if the config lacks the field, UNKNOWN if the entry's
      config is unknown.
    """
    configs = [entry.config for entry in entries]
    known = [config for config in configs if config is not None]
    fields = dict.fromkeys(field for config in known for field in config)
    differ = [field for field in fields if len({point_key([config.get(field, ABSENT)]) for config in known}) > 1]
    return {field: [UNKNOWN if config is None else config.get(field, ABSENT) for config in configs] for field in differ}


def _run_folders(folder: Path) -> list[Path]:
    """Lists the folders of runs and sweeps in a folder, sorted by name."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and (is_run(path) or is_sweep(path))
    )


def _sources(folders: Sequence[Path]) -> list[Path]:
    """Lists the given folders of runs and sweeps, and those inside the other folders."""
    found: list[Path] = []
    faults = []
    for folder in folders:
        if is_run(folder) or is_sweep(folder):
            found.append(folder)
        elif inside := _run_folders(folder):
            found += inside
        else:
            faults.append(_no_run_fault(folder))
    seen: dict[Path, Path] = {}
    for path in found:
        if (first := seen.setdefault(path.resolve(), path)) is not path:
            faults.append(f"{path}: was given twice" + (f", also as {first}" if first != path else ""))
    if faults:
        raise ConfigError(faults)
    return found


def _no_run_fault(folder: Path) -> str:
    """Returns the error for a folder without runs, with a fix."""
    wanted = "the folder of a run (config.json, result.json), of a sweep (sweep.json), or a folder of such folders"
    if not folder.exists():
        near = ""
        if folder.parent.is_dir() and (inside := _run_folders(folder.parent)):
            near = f"; in {folder.parent}: {', '.join(path.name for path in inside[:5])}"
        return f"{folder}: there is no such folder{near}"
    if not folder.is_dir():
        return f"{folder}: is a file, expected {wanted}"
    if folder.parent != folder and is_run(folder.parent):
        return f"{folder}: is part of the run {folder.parent}; give that folder"
    if is_sweep(folder.parent):
        return f"{folder}: is part of the sweep {folder.parent}; give that folder"
    held = sorted(path.name for path in folder.iterdir())
    return f"{folder}: holds {', '.join(held[:3]) if held else 'nothing'}, expected {wanted}"


def _too_few(sources: Sequence[Path], entries: Sequence[Entry]) -> str:
    if len(sources) == 1 and is_sweep(sources[0]):
        return f"{sources[0]} is one sweep with one point to compare; `report --workdir={sources[0]}` has its trials"
    if len(sources) == 1:
        return f"{sources[0]} is one run; give another one to compare it with, or `report --workdir={sources[0]}`"
    empty = [str(path) for path in sources if is_sweep(path)]
    detail = f": {', '.join(empty)} has no trial, or is a search without confirmed points" if empty else ""
    return f"there is nothing to compare in {len(sources)} folders{detail if not entries or empty else ''}"


# --- single runs ---


def _read_run(path: Path, unknown: int) -> Run:
    """Reads a run's folder; unreadable files become notes, and an unknown seed becomes `unknown`."""
    folder, notes = RunFolder(path), []

    def attempt(file: str, read: Any) -> Any:
        if not (path / file).exists():
            return None
        try:
            return read()
        except RunFolderError as error:
            notes.append(f"{str(error).removeprefix('--workdir: ').splitlines()[0]}")
            return None

    config, seed = _config(path, notes)
    seed = unknown if seed is None else seed
    result: Result | None = attempt("result.json", folder.result)
    provenance: Provenance | None = attempt("provenance.json", folder.provenance)
    dataset: DatasetInfo | None = attempt("dataset.json", folder.dataset_info)
    records = _records(path, notes)
    if config is not None and dataset is not None and provenance is not None:
        attempt("provenance.json", folder.check_descriptions)
    if dataset is None:
        notes.append("its dataset.json is missing or cannot be read: its training images are not known")
    notes += _result_notes(result, records)
    outcome = Outcome(DONE)
    if result is None:
        outcome = _unfinished_note(path, config, records, is_damaged=(path / "result.json").exists())
        notes.append(outcome.message)
    trial = TrialEntry(id="run", point={}, seed=seed)
    return Run(path, Row(trial, outcome, None, provenance, result), config, dataset, records, tuple(notes))


def _config(path: Path, notes: list[str]) -> tuple[dict[str, Any] | None, int | None]:
    """Reads a run's config by dotted field, without the seed, and the seed; None if unknown."""
    if not (path / "config.json").exists():
        notes.append("it has no config.json: its config is not known and not compared, and its seed is not paired")
        return None, None
    try:
        tree = RunFolder(path).read("config.json")
    except RunFolderError as error:
        notes.append(str(error).removeprefix("--workdir: ").splitlines()[0])
        return None, None
    try:
        tree = RunFolder(path).experiment().model_dump(mode="json")
    except RunFolderError as error:
        first = str(error).removeprefix("--workdir: ").splitlines()[0]
        notes.append(f"its config is not valid in this version, and is compared as written ({first})")
    seed = tree.pop("seed", None)
    return dict(leaves(locations.without(tree))), seed if type(seed) is int else None


def _records(path: Path, notes: list[str]) -> list[MetricRecord]:
    records = []
    try:
        for each in read_records(path / "metrics.jsonl"):
            records.append(each)
    except RunFolderError as error:
        notes.append(f"{str(error).removeprefix('--workdir: ')}; the curves end there")
    return records


def _result_notes(result: Result | None, records: Sequence[MetricRecord]) -> list[str]:
    if result is None or not records:
        return []
    fault = result_fault(result, records)
    return [] if fault is None else [fault]


def _unfinished_note(
    path: Path, config: Mapping[str, Any] | None, records: Sequence[MetricRecord], is_damaged: bool
) -> Outcome:
    """Describes why a run has no result."""
    epoch = max((each.epoch for each in records if math.isfinite(each.epoch)), default=0)
    epochs = None if config is None else config.get("train.epochs")
    at = f"after epoch {epoch:g}" + (f" of {epochs}" if epochs is not None else "")
    if is_damaged:
        return Outcome(FAILED, DAMAGED, "its result.json cannot be read, so its metrics do not count")
    try:
        busy = is_held(path / ".lock")
    except (OSError, NotImplementedError):
        busy = False
    if busy:
        return Outcome(RUNNING, message=f"it is still training, {at}")
    return Outcome(STOPPED, message=f"it is not finished: it ended {at}; repeat the training command to continue it")


def _grouped(runs: Sequence[Run], alone: bool) -> list[Entry]:
    """Groups runs whose configs differ only in the seed, unless a seed occurs twice.

    Args:
      runs: The runs.
      alone: Whether nothing else is compared; the runs are then not grouped into a single entry.
    """
    alike: dict[str, list[Run]] = {}
    for run in runs:
        data = run.dataset and run.dataset.checksum
        known = str(run.path) if run.config is None else point_key([sorted(run.config.items()), data])
        alike.setdefault(known, []).append(run)
    if alone and len(alike) == 1:
        return [_single_entry(run) for run in runs]
    entries = []
    for group in alike.values():
        if len({run.row.seed for run in group}) < len(group):
            entries += [_single_entry(run) for run in group]
        else:
            more = f" and {len(group) - 1} more seed{'s' if len(group) > 2 else ''}" if len(group) > 1 else ""
            entries.append(Entry(f"{_single_entry(group[0]).name}{more}", tuple(group), group[0].config))
    return entries


def _single_entry(run: Run) -> Entry:
    return Entry(run.path.resolve().name or str(run.path), (run,), run.config)


def _with_unique_names(entries: Sequence[Entry]) -> list[Entry]:
    """Makes equal names unique by adding the path and, if necessary, a number."""
    taken: set[str] = set()
    named = []
    alike = [entry.name for entry in entries]
    for entry in entries:
        own = entry.name
        if alike.count(own) > 1:
            own = f"{entry.runs[0].path.resolve().parent.name}/{own}"
        own = unique = valid_unicode(own)
        for number in itertools.count(2):
            if unique not in taken:
                break
            unique = f"{own} ({number})"
        taken.add(unique)
        named.append(dataclasses.replace(entry, name=unique))
    return named


# --- sweeps and searches ---


def _read_points(folder: Path) -> Iterator[Entry]:
    """Reads the points of a sweep, the baseline first, or the confirmed points of a search with their fresh seeds."""
    header, rows = read_rows(folder)
    search = read_file(folder)
    searched = set() if search is None else {point.trial for point in search.points}
    points: dict[str, list[Row]] = {}
    for row in rows:
        if row.id not in searched:
            points.setdefault(point_key(values_at(row.point, header.fields)), []).append(row)
    baseline = None if header.baseline is None else point_key(values_at(header.baseline, header.fields))
    for at in sorted(points, key=lambda each: each != baseline):
        group = points[at]
        runs = [_read_trial(folder, row) for row in group]
        config = next((run.config for run in runs if run.config is not None), None)
        label = point_label(header.fields, values_at(group[0].point, header.fields))
        yield Entry(f"{folder.resolve().name}: {label}", tuple(runs), config)


def _read_trial(folder: Path, row: Row) -> Run:
    """Reads the config, data set and records of a trial."""
    path, notes = folder / "trials" / row.id, []
    config, dataset, records = None, None, []
    if row.status != DONE:
        reason = ": ".join(filter(None, (row.outcome.fault, row.outcome.message.partition("\n")[0])))
        notes.append(f"trial {row.id} (seed {row.seed}) is {row.status}" + (f" ({reason})" if reason else ""))
    if (path / "config.json").exists():
        config, _ = _config(path, notes)
    if (path / "dataset.json").exists():
        try:
            dataset = RunFolder(path).dataset_info()
        except RunFolderError as error:
            notes.append(str(error).removeprefix("--workdir: ").splitlines()[0])
    if path.is_dir():
        records = _records(path, notes)
    notes += _result_notes(row.result, records)
    return Run(path, row, config, dataset, records, tuple(notes))
