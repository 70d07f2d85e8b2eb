"""Comparison of runs: means, intervals, paired differences, and warnings about comparability."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.report import comparability
from cnn_jax.report.classification import wilson_interval
from cnn_jax.report.compared_runs import FIELD, Entry, differing, read_entries
from cnn_jax.run.columns import FieldColumn
from cnn_jax.run.metrics import METRICS, PRIMARY, Metric
from cnn_jax.sweep.rows import Row, code_warnings
from cnn_jax.sweep.statistics import Difference, Estimate, averaged, differences, estimate, measured, sign_test
from cnn_jax.sweep.status import DONE


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the comparison.

    Attributes:
      number: Number of the line, from 1.
      entry: The entry.
      metrics: Estimate of every metric on the test images over the finished runs.
      over: What a metric's interval is over: "seeds", "test images" for a single run, or "" without an interval.
      means: Mean of each additional column; None if unknown.
      test_images: Number of test images; None if unknown or different.
      difference: Difference of the primary metric from the first entry's; None for the first entry itself.
      sign: P-value of the sign test on the same pairs; None if there are none.
    """

    number: int
    entry: Entry
    metrics: Mapping[str, Estimate]
    over: str
    means: Sequence[float | None]
    test_images: int | None
    difference: Difference | None
    sign: float | None

    @property
    def finished(self) -> int:
        """Number of finished runs."""
        return sum(run.row.status == DONE for run in self.entry.runs)

    @property
    def seeds(self) -> str:
        """Seeds of the runs; a question mark stands for an unknown seed."""
        seeds = [run.row.seed for run in self.entry.runs]
        names = ["?" if seed < 0 else str(seed) for seed in seeds]
        return ", ".join(names) if len(names) <= 8 else f"{len(names)} seeds"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A comparison of runs.

    Attributes:
      entries: The entries; all others are compared with the first.
      lines: One line for each entry.
      metrics: Metrics to show in tables.
      columns: Additional columns that have a value.
      fields: Config fields that differ, with the value in every entry.
      warnings: Reasons why metrics are not comparable.
      conditions: Differences in code, packages and devices.
      notes: Missing or damaged files, as (name of the entry, folder, sentence).
    """

    entries: tuple[Entry, ...]
    lines: tuple[Line, ...]
    metrics: tuple[Metric, ...]
    columns: tuple[FieldColumn, ...]
    fields: Mapping[str, Sequence[Any]]
    warnings: Sequence[str]
    conditions: Sequence[str]
    notes: Sequence[tuple[str, str, str]]


def compare(folders: Sequence[Path]) -> Comparison:
    """Compares runs and sweeps.

    Args:
      folders: Folders of runs and sweeps, or folders that contain them.

    Returns:
      The comparison.

    Raises:
      ConfigError: If a folder holds no run, or there is nothing to compare.
      RunFolderError: If a sweep cannot be read.
    """
    entries = read_entries(folders)
    rows = [row for entry in entries for row in entry.rows]
    known: dict[str, list[Row]] = {entry.name: [] for entry in entries}
    for row in rows:
        known[row.point[FIELD]].append(row)
    compared = {each.values[0]: each for each in differences(rows, (FIELD,), {FIELD: entries[0].name})}
    columns = tuple(
        each
        for each in averaged()
        if each.column.name not in {metric.column for metric in METRICS}
        and any(measured(row, each.column.name) is not None for row in rows)
    )
    first = _by_seed(known[entries[0].name])
    lines = tuple(
        _line(number, entry, known[entry.name], columns, compared.get(entry.name), first)
        for number, entry in enumerate(entries, 1)
    )
    return Comparison(
        entries=tuple(entries),
        lines=lines,
        metrics=tuple(
            metric
            for metric in METRICS
            if "trials" in metric.shown_in and any(line.metrics[metric.name].n for line in lines)
        ),
        columns=columns,
        fields=differing(entries),
        warnings=comparability.warnings(entries),
        conditions=code_warnings(rows, "run"),
        notes=[(entry.name, str(run.path), note) for entry in entries for run in entry.runs for note in run.notes],
    )


def _line(
    number: int,
    entry: Entry,
    rows: Sequence[Row],
    columns: Sequence[FieldColumn],
    difference: Difference | None,
    first: Mapping[int, float],
) -> Line:
    results = [row.result for row in rows if row.status == DONE and row.result is not None]
    tests = {run.dataset.images.test for run in entry.runs if run.dataset is not None}
    test_images = tests.pop() if len(tests) == 1 else None
    found, over = {}, "seeds" if len(results) > 1 else ""
    for metric in METRICS:
        values = [value for each in results if (value := each.test[metric.name]) is not None]
        made = estimate(values)
        if len(values) == 1 and metric.is_share and test_images:
            low, high = wilson_interval(round(values[0] * test_images), test_images)
            made, over = dataclasses.replace(made, low=low, high=high), "test images"
        found[metric.name] = made
    own = _by_seed(rows)
    return Line(
        number=number,
        entry=entry,
        metrics=found,
        over=over,
        means=[
            estimate([v for row in rows if (v := measured(row, each.column.name)) is not None]).mean for each in columns
        ],
        test_images=test_images,
        difference=difference,
        sign=None if difference is None else sign_test([own[seed] - first[seed] for seed in own.keys() & first.keys()]),
    )


def _by_seed(rows: Sequence[Row]) -> dict[int, float]:
    return {row.seed: value for row in rows if (value := measured(row, PRIMARY.column)) is not None}
