"""Report of a finished or running sweep: a self-contained page and its figures."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cnn_jax.report import report_folder, search_report, sweep_plots, sweep_scatter
from cnn_jax.report.report_folder import Picture
from cnn_jax.report.sweep_table import LEGIBLE_VALUES, FieldText, is_continuous, rounded, trial_rows
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.folder import result_fault
from cnn_jax.run.metrics import METRICS, PRIMARY
from cnn_jax.run.metrics_log import TEST, VALIDATION, read_records
from cnn_jax.run.records import MetricRecord
from cnn_jax.sweep.points import NOT_SET, point_key, point_label, short_names, value_text, values_at
from cnn_jax.sweep.rows import Row, SweepHeader, code_warnings, columns, read_rows
from cnn_jax.sweep.search.results import read_results
from cnn_jax.sweep.statistics import Difference, Group, averaged, differences, grouped, measured
from cnn_jax.sweep.status import STATUSES

_PAIRS = 10
_EFFECT_VALUES = 40  # values of a categorical field in its main effect; only the best are drawn if there are more
_LISTED_VALUES = 20  # values of a field that the page lists; it abbreviates longer lists
_CHOSEN_VALUES = 60  # choices of a field's filter; fields with more values have a search box
_POINT_LINES = 500  # points that the page lists; only the best if there are more
_SHOWN_TRIALS = 500  # trials that the page shows at first
_DRAWN = ("id", "status", "fault", "message", "log_tail")  # columns of a trial that the template handles separately


def write_sweep_report(folder: Path) -> Path:
    """Writes report/index.html and its PNG files into a sweep's folder.

    Args:
      folder: Folder of a sweep, finished or not.

    Returns:
      The path of index.html.

    Raises:
      SweepFolderError: If sweep.json is missing or damaged.
    """
    header, rows = read_rows(folder)
    recorded = _recorded(folder, rows)
    results = read_results(folder, rows, recorded)
    if results is None:
        search, sweep = None, _sweep_values(header, rows, recorded)
        sections = sweep["sections"]
    else:
        search, sweep = search_report.values(results), None
        sections = search["sections"]
        ranked = [(f"point {each.number}", each.values) for each in search_report.ranked(results)]
        sections["curves"] = _curves(recorded, header, rows, ranked, VALIDATION)
    hidden = _DRAWN if results is None else (*_DRAWN, *(metric.column for metric in METRICS))
    listed = [each for each in columns() if "trials" in each.column.shown_in and each.column.name not in hidden]
    values = {field: FieldText.of(field, _values(rows, field)) for field in header.fields}
    images = {each.name: report_folder.png(each.figure) for each in itertools.chain(*sections.values())}
    page = report_folder.page(
        "sweep_report.html.j2",
        images,
        header=header,
        search=search,
        sweep=sweep,
        sections=sections,
        folder=folder.resolve().name,
        written=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        counts=_counts(rows),
        warnings=[*code_warnings(rows), *_curve_warnings(rows, recorded)],
        varied=[_varied(rows, field) for field in header.fields],
        seeds=sorted({row.seed for row in rows}),
        short=short_names(header.fields),
        primary=PRIMARY,
        columns=listed,
        shown_trials=_SHOWN_TRIALS,
        rows=rows,
        trial_rows=trial_rows(rows, [values[field] for field in header.fields], listed),
        value_text=value_text,
        cell_text={field: values[field].text for field in header.fields},
        numeric={field: values[field].numeric for field in header.fields},
        statuses=[status for status in STATUSES if any(row.status == status for row in rows)],
    )
    files = {f"{image}.png": content for image, content in images.items()} | {"index.html": page.encode()}
    return report_folder.replace(folder / "report", files)


def _sweep_values(
    header: SweepHeader, rows: Sequence[Row], recorded: Mapping[str, list[MetricRecord]]
) -> dict[str, Any]:
    """Computes a sweep's template values; a search, which does not compare points on test images, has none."""
    points = grouped(rows, header.fields)
    compared = differences(rows, header.fields, header.baseline)
    ranked = [
        (point_label(header.fields, each.values), each.values) for each in sorted(points, key=_gain, reverse=True)
    ]
    return {
        "averaged": averaged(),
        "points": _point_lines(header, rows, points),
        "num_points": len(points),
        "best": _best(header, points),
        "baseline": _baseline(header, rows),
        "compared": _largest(compared),
        "num_compared": len(compared),
        "sections": {
            "effects": _effects(header, rows),
            "pairs": _pairs(header, rows),
            "curves": _curves(recorded, header, rows, ranked),
            "costs": _costs(header, rows),
            "forest": _forest(header, compared),
        },
    }


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    """Counts trials by status: always the four usual statuses, and others if any trial has them."""
    counts = Counter(row.status for row in rows)
    usual = ("done", "failed", "infeasible", "waiting")
    return {status: counts[status] for status in STATUSES if status in usual or counts[status]}


def _values(rows: Sequence[Row], field: str) -> list[Any]:
    """Returns the distinct values of a field, in the order of the rows."""
    return list({point_key([row.point[field]]): row.point[field] for row in rows}.values())


def _varied(rows: Sequence[Row], field: str) -> dict[str, Any]:
    """Summarizes a field's values for the page, with its kind of filter: "choice", "range" or "search"."""
    values = _values(rows, field)
    texts = [value_text(value) for value in values]
    summary, filtered = ", ".join(texts), "choice"
    if is_continuous(values):
        numbers = [value for value in values if value is not None]
        summary = f"{len(numbers):,} values from {rounded(min(numbers))} to {rounded(max(numbers))}"
        summary += f", {NOT_SET}" if len(numbers) < len(values) else ""
        filtered, texts = "range", [rounded(min(numbers)), rounded(max(numbers))]
    elif len(texts) > _CHOSEN_VALUES:
        filtered = "search"
    if filtered != "range" and len(texts) > _LISTED_VALUES:
        summary = f"{', '.join(texts[:_LISTED_VALUES])} and {len(texts) - _LISTED_VALUES:,} more"
    return {"field": field, "summary": summary, "filter": filtered, "texts": texts}


def _baseline(header: SweepHeader, rows: Sequence[Row]) -> dict[str, Any] | None:
    """Returns the baseline's label and whether the sweep contains it; None if none was declared."""
    if header.baseline is None:
        return None
    values = values_at(header.baseline, header.fields)
    known = any(point_key(values_at(row.point, header.fields)) == point_key(values) for row in rows)
    return {"name": point_label(header.fields, values), "known": known}


def _is_baseline(header: SweepHeader, values: Sequence[Any]) -> bool:
    return header.baseline is not None and point_key(values_at(header.baseline, header.fields)) == point_key(values)


def _best(header: SweepHeader, points: Sequence[Group]) -> dict[str, Any] | None:
    """Returns the point with the best mean; None if fewer than two points have one."""
    measured_points = [group for group in points if group.estimate.mean is not None]
    if len(measured_points) < 2:
        return None
    best = max(measured_points, key=_gain)
    return {"name": point_label(header.fields, best.values), "estimate": best.estimate}


def _gain(group: Group) -> float:
    """Returns the sort key of a point, highest for the best; unfinished points are last."""
    return -math.inf if group.estimate.mean is None else PRIMARY.gain(group.estimate.mean)


def _point_lines(header: SweepHeader, rows: Sequence[Row], points: Sequence[Group]) -> list[dict[str, Any]]:
    """Returns the lines of the table of points, with the means of other columns; only the best of very many."""
    means = [[group.estimate.mean for group in grouped(rows, header.fields, each.column.name)] for each in averaged()]
    shown: Sequence[int] = range(len(points))
    if len(points) > _POINT_LINES:
        best = sorted(shown, key=lambda index: -_gain(points[index]))[:_POINT_LINES]
        shown = sorted({*best, *(index for index, each in enumerate(points) if _is_baseline(header, each.values))})
    return [
        {
            "group": points[index],
            "baseline": _is_baseline(header, points[index].values),
            "means": [of_all[index] for of_all in means],
        }
        for index in shown
    ]


def _effects(header: SweepHeader, rows: Sequence[Row]) -> list[Picture]:
    """Plots a main effect for each field with more than one value, once a trial has finished."""
    pictures = []
    for field in header.fields:
        values = _values(rows, field)
        figure = _continuous_effect(rows, field) if is_continuous(values) else _effect(rows, field)
        if len(values) > 1 and figure is not None:
            pictures.append(Picture(f"effect_{field}", f"Test {PRIMARY.title} by {field}", figure))
    return pictures


def _effect(rows: Sequence[Row], field: str) -> Figure | None:
    groups = grouped(rows, (field,))
    if not any(group.estimate.n for group in groups):
        return None
    count = len(groups)
    if count > _EFFECT_VALUES:
        best = sorted(range(count), key=lambda index: -_gain(groups[index]))[:_EFFECT_VALUES]
        groups = [groups[index] for index in sorted(best)]
    singles: dict[str, list[float]] = {point_key(group.values): [] for group in groups}
    for row in rows:
        if (value := measured(row, PRIMARY.column)) is not None and (at := point_key([row.point[field]])) in singles:
            singles[at].append(value)
    return sweep_plots.main_effect(field, groups, list(singles.values()), count)


def _continuous_effect(rows: Sequence[Row], field: str) -> Figure | None:
    found = [(row.point[field], value) for row in rows if (value := measured(row, PRIMARY.column)) is not None]
    dots = [sweep_scatter.Dot((at,), value) for at, value in found if at is not None]
    unset = [value for at, value in found if at is None]
    return sweep_scatter.continuous_effect(field, dots, unset) if dots else None


def _pairs(header: SweepHeader, rows: Sequence[Row]) -> list[Picture]:
    """Plots the first pairs of fields: heat maps, or scatter plots of all trials if a field is continuous."""
    if not any(row.status == "done" for row in rows):
        return []
    values = {field: _values(rows, field) for field in header.fields}
    continuous = {field for field in header.fields if is_continuous(values[field])}
    legible = [field for field in header.fields if 2 <= len(values[field]) <= LEGIBLE_VALUES]
    drawn = [field for field in header.fields if field in continuous or field in legible]
    pictures = []
    for pair in itertools.islice(itertools.combinations(drawn, 2), _PAIRS):
        if continuous.isdisjoint(pair):
            figure = sweep_plots.heat_map(*pair, grouped(rows, pair))
            alt = f"Mean test {PRIMARY.title} by {pair[0]} and {pair[1]}"
        else:
            texts = {field: [] if field in continuous else values[field] for field in pair}
            dots = _dots(rows, texts)
            if not dots:
                continue
            words = [[value_text(value) for value in texts[field]] for field in pair]
            figure = sweep_scatter.pair(pair, dots, (words[0], words[1]))
            alt = f"Test {PRIMARY.title} of the trials by {pair[0]} and {pair[1]}"
        pictures.append(Picture(f"pair_{pair[0]}_{pair[1]}", alt, figure))
    return pictures


def _dots(rows: Sequence[Row], fields: Mapping[str, Sequence[Any]]) -> list[sweep_scatter.Dot]:
    """Returns one dot for each finished trial that sets all continuous fields.

    Args:
      rows: All trials.
      fields: The distinct values of each field; empty for a continuous field.

    Returns:
      Dots with the value of each continuous field, and the index of the value of every other field.
    """
    indices = {
        field: {point_key([value]): index for index, value in enumerate(values)} for field, values in fields.items()
    }
    dots = []
    for row in rows:
        at = [indices[field].get(point_key([row.point[field]]), row.point[field]) for field in fields]
        metric = measured(row, PRIMARY.column)
        if metric is not None and None not in at:
            dots.append(sweep_scatter.Dot(tuple(at), metric))
    return dots


def _recorded(folder: Path, rows: Sequence[Row]) -> dict[str, list[MetricRecord]]:
    """Reads the test and validation records of each trial; of a damaged metrics.jsonl, those before the damage."""
    found: dict[str, list[MetricRecord]] = {}
    for row in rows:
        found[row.id] = []
        with contextlib.suppress(RunFolderError):
            for record in read_records(folder / "trials" / row.id / "metrics.jsonl"):
                if record.split in (TEST, VALIDATION):
                    found[row.id].append(record)
    return found


def _curve_warnings(rows: Sequence[Row], recorded: Mapping[str, list[MetricRecord]]) -> list[str]:
    """Returns a warning if the records, and so the learning curves, of finished trials do not end in their results."""
    faults = {
        row.id: result_fault(row.result, recorded[row.id])
        for row in rows
        if row.result is not None and recorded[row.id]
    }
    faulty = [f"trials/{name}: {fault}" for name, fault in faults.items() if fault is not None]
    if not faulty:
        return []
    return [f"Learning curves of {len(faulty)} finished trials do not lead to their results ({faulty[0]})."]


def _curves(
    recorded: Mapping[str, list[MetricRecord]],
    header: SweepHeader,
    rows: Sequence[Row],
    ranked: Sequence[tuple[str, Sequence[Any]]],
    split: str | None = None,
) -> list[Picture]:
    """Plots the learning curves of all trials with records.

    Args:
      recorded: Records of each trial.
      header: The sweep.
      rows: All trials.
      ranked: Labels and values of all points, the best first.
      split: Split to plot. Defaults to validation if all finished trials have it, else to test.

    Returns:
      The picture; an empty list without records.
    """
    lines = {row.id: _curve(recorded[row.id]) for row in rows}
    if split is None:
        done = [row for row in rows if row.status == "done"]
        split = VALIDATION if done and all(lines[row.id][VALIDATION] for row in done) else TEST
    curves: dict[str, list[sweep_plots.Curve]] = {}
    for row in rows:
        if line := lines[row.id][split]:
            at = point_key(values_at(row.point, header.fields))
            curves.setdefault(at, []).append(sweep_plots.Curve(line, row.status == "done"))
    # pop: each curve is drawn once, even if another point has the same values
    drawn = [
        sweep_plots.PointCurves(point, curves.pop(at), _is_baseline(header, values))
        for point, values in ranked
        if (at := point_key(values)) in curves
    ]
    if not drawn:
        return []
    alt = f"{PRIMARY.heading} on the {split} images by epoch"
    return [Picture("learning_curves", alt, sweep_plots.learning_curves(drawn, split))]


def _curve(recorded: Sequence[MetricRecord]) -> dict[str, list[tuple[float, float]]]:
    """Returns (epoch, value) pairs of the primary metric by split."""
    found: dict[str, list[tuple[float, float]]] = {TEST: [], VALIDATION: []}
    for record in recorded:
        value = record.values.get(PRIMARY.name, math.nan)
        if math.isfinite(value) and math.isfinite(record.epoch):
            found[record.split].append((record.epoch, value))
    return found


def _costs(header: SweepHeader, rows: Sequence[Row]) -> list[Picture]:
    """Plots the primary metric against every cost that differs between points."""
    estimates = grouped(rows, header.fields)
    pictures = []
    for column in (each.column for each in columns() if each.column.axis):
        costs = [group.estimate.mean for group in grouped(rows, header.fields, column.name)]
        points = [
            sweep_plots.Cost(point_label(header.fields, group.values), cost, group.estimate)
            for group, cost in zip(estimates, costs, strict=True)
            if cost is not None and group.estimate.mean is not None
        ]
        if len({point.cost for point in points}) > 1:
            alt = f"Test {PRIMARY.title} against {column.axis}"
            pictures.append(Picture(f"cost_{column.name}", alt, sweep_plots.trade_off(points, column.axis)))
    return pictures


def _largest(compared: Sequence[Difference]) -> Sequence[Difference]:
    """Returns the differences that the page lists, in order; only the largest of very many."""
    if len(compared) <= _POINT_LINES:
        return compared
    ranked = sorted(range(len(compared)), key=lambda index: -abs(compared[index].estimate.mean or 0))
    return [compared[index] for index in sorted(ranked[:_POINT_LINES])]


def _forest(header: SweepHeader, compared: Sequence[Difference]) -> list[Picture]:
    pairs = [(point_label(header.fields, each.values), each) for each in compared if each.estimate.n]
    if not pairs or header.baseline is None:
        return []
    baseline = point_label(header.fields, values_at(header.baseline, header.fields))
    return [Picture("differences", f"Differences from {baseline}", sweep_plots.forest(pairs, baseline))]
