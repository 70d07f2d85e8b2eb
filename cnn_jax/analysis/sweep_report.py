"""The report of a sweep: a self-contained page and its pictures, at any time while the sweep runs."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from cnn_jax.analysis import report_folder, sweep_plots
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.metrics import PRIMARY
from cnn_jax.run.metrics_log import TEST, VALIDATION, read_records
from cnn_jax.sweep.points import key, name, short_names, value_text, values_at
from cnn_jax.sweep.rows import Row, SweepHeader, code_warnings, columns, read_rows
from cnn_jax.sweep.statistics import Difference, Group, averaged, differences, grouped, measured
from cnn_jax.sweep.status import STANDINGS

_VALUES_OF_HEAT_MAP = 12  # of either field; more are no longer legible
_HEAT_MAPS = 10
_DRAWN = ("id", "status", "fault", "message", "log_tail")  # columns of a trial that the template writes by itself


class _Picture(NamedTuple):
    name: str
    alt: str
    figure: Figure


def write_sweep_report(folder: Path) -> Path:
    """Writes report/index.html and its PNG files into a sweep's folder.

    Args:
      folder: of a sweep, finished or not.

    Returns:
      The path of index.html.

    Raises:
      SweepFolderError: where sweep.json is missing or damaged.
    """
    header, rows = read_rows(folder)
    points = grouped(rows, header.fields)
    compared = differences(rows, header.fields, header.baseline)
    sections = {
        "effects": _effects(header, rows),
        "pairs": _pairs(header, rows),
        "curves": _curves(folder, header, rows, points),
        "costs": _costs(header, rows),
        "forest": _forest(header, compared),
    }
    images = {each.name: report_folder.png(each.figure) for each in itertools.chain(*sections.values())}
    page = report_folder.page(
        "sweep_report.html.j2",
        images,
        header=header,
        folder=folder.resolve().name,
        written=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        counts=_counts(rows),
        warnings=code_warnings(rows),
        varied=[(field, [value_text(value) for value in _values(rows, field)]) for field in header.fields],
        seeds=sorted({row.seed for row in rows}),
        short=short_names(header.fields),
        primary=PRIMARY,
        columns=[each for each in columns() if "trials" in each.column.shown_in and each.column.name not in _DRAWN],
        averaged=averaged(),
        points=_point_lines(header, rows, points),
        best=_best(header, points),
        baseline=_baseline(header, rows),
        compared=compared,
        sections=sections,
        rows=rows,
        value_text=value_text,
        numeric={field: _is_numeric(_values(rows, field)) for field in header.fields},
        statuses=[status for status in STANDINGS if any(row.status == status for row in rows)],
    )
    files = {f"{image}.png": content for image, content in images.items()} | {"index.html": page.encode()}
    return report_folder.replace(folder / "report", files)


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    """Trials by status: the four usual ones always, others where there are any."""
    counts = Counter(row.status for row in rows)
    usual = ("done", "failed", "infeasible", "waiting")
    return {status: counts[status] for status in STANDINGS if status in usual or counts[status]}


def _values(rows: Sequence[Row], field: str) -> list[Any]:
    """The different values of a field, in the order of the rows."""
    return list({key([row.point[field]]): row.point[field] for row in rows}.values())


def _is_numeric(values: Sequence[Any]) -> bool:
    """Whether a column sorts by number: what is set is a number, and something is set."""
    present = [value for value in values if value is not None]
    return bool(present) and all(type(value) in (int, float) for value in present)


def _baseline(header: SweepHeader, rows: Sequence[Row]) -> dict[str, Any] | None:
    """The baseline's name and whether the sweep has it; None where none was declared."""
    if header.baseline is None:
        return None
    values = values_at(header.baseline, header.fields)
    known = any(key(values_at(row.point, header.fields)) == key(values) for row in rows)
    return {"name": name(header.fields, values), "known": known}


def _is_baseline(header: SweepHeader, values: Sequence[Any]) -> bool:
    return header.baseline is not None and key(values_at(header.baseline, header.fields)) == key(values)


def _best(header: SweepHeader, points: Sequence[Group]) -> dict[str, Any] | None:
    """The point of the best mean; None where none has finished, or there is nothing to choose from."""
    measured_points = [group for group in points if group.estimate.mean is not None]
    if len(measured_points) < 2:
        return None
    best = max(measured_points, key=_gain)
    return {"name": name(header.fields, best.values), "estimate": best.estimate}


def _gain(group: Group) -> float:
    """A number by which points are ranked, the best highest; unfinished points are last."""
    return -math.inf if group.estimate.mean is None else PRIMARY.gain(group.estimate.mean)


def _point_lines(header: SweepHeader, rows: Sequence[Row], points: Sequence[Group]) -> list[dict[str, Any]]:
    """The table of points: each with its means of other columns."""
    means = [[group.estimate.mean for group in grouped(rows, header.fields, each.column.name)] for each in averaged()]
    return [
        {
            "group": group,
            "baseline": _is_baseline(header, group.values),
            "means": [of_all[place] for of_all in means],
        }
        for place, group in enumerate(points)
    ]


def _effects(header: SweepHeader, rows: Sequence[Row]) -> list[_Picture]:
    """A main effect for each field with more than one value, where anything has finished."""
    pictures = []
    for field in header.fields:
        groups = grouped(rows, (field,))
        if len(groups) < 2 or not any(group.estimate.n for group in groups):
            continue
        singles: dict[str, list[float]] = {key(group.values): [] for group in groups}
        for row in rows:
            if (value := measured(row, PRIMARY.column)) is not None:
                singles[key([row.point[field]])].append(value)
        figure = sweep_plots.main_effect(field, groups, list(singles.values()))
        pictures.append(_Picture(f"effect_{field}", f"Test {PRIMARY.title} by {field}", figure))
    return pictures


def _pairs(header: SweepHeader, rows: Sequence[Row]) -> list[_Picture]:
    """Heat maps of the first pairs of fields with a legible number of values."""
    if not any(row.status == "done" for row in rows):
        return []
    counts = {field: len(_values(rows, field)) for field in header.fields}
    legible = [field for field in header.fields if 2 <= counts[field] <= _VALUES_OF_HEAT_MAP]
    pictures = []
    for pair in itertools.islice(itertools.combinations(legible, 2), _HEAT_MAPS):
        figure = sweep_plots.heat_map(*pair, grouped(rows, pair))
        alt = f"Mean test {PRIMARY.title} by {pair[0]} and {pair[1]}"
        pictures.append(_Picture(f"pair_{pair[0]}_{pair[1]}", alt, figure))
    return pictures


def _curves(folder: Path, header: SweepHeader, rows: Sequence[Row], points: Sequence[Group]) -> list[_Picture]:
    """Learning curves of all trials with records: on the validation images where all finished trials have them."""
    lines = {row.id: _curve(folder / "trials" / row.id / "metrics.jsonl") for row in rows}
    done = [row for row in rows if row.status == "done"]
    split = VALIDATION if done and all(lines[row.id][VALIDATION] for row in done) else TEST
    curves: dict[str, list[sweep_plots.Curve]] = {key(group.values): [] for group in points}
    for row in rows:
        if line := lines[row.id][split]:
            at = key(values_at(row.point, header.fields))
            curves[at].append(sweep_plots.Curve(line, row.status == "done"))
    ranked = sorted(points, key=_gain, reverse=True)
    drawn = [
        sweep_plots.PointCurves(
            name(header.fields, group.values), curves[key(group.values)], _is_baseline(header, group.values)
        )
        for group in ranked
        if curves[key(group.values)]
    ]
    if not drawn:
        return []
    alt = f"{PRIMARY.heading} on the {split} images by epoch"
    return [_Picture("learning_curves", alt, sweep_plots.learning_curves(drawn, split))]


def _curve(path: Path) -> dict[str, list[tuple[float, float]]]:
    """(epoch, value) of the primary metric by split; where metrics.jsonl is damaged, up to there."""
    found: dict[str, list[tuple[float, float]]] = {TEST: [], VALIDATION: []}
    with contextlib.suppress(RunFolderError):
        for record in read_records(path):
            if record.split in found and PRIMARY.name in record.values:
                found[record.split].append((record.epoch, record.values[PRIMARY.name]))
    return found


def _costs(header: SweepHeader, rows: Sequence[Row]) -> list[_Picture]:
    """The primary metric against every cost that is not the same for all points."""
    estimates = grouped(rows, header.fields)
    pictures = []
    for column in (each.column for each in columns() if each.column.axis):
        costs = [group.estimate.mean for group in grouped(rows, header.fields, column.name)]
        points = [
            sweep_plots.Cost(name(header.fields, group.values), cost, group.estimate)
            for group, cost in zip(estimates, costs, strict=True)
            if cost is not None and group.estimate.mean is not None
        ]
        if len({point.cost for point in points}) > 1:
            alt = f"Test {PRIMARY.title} against {column.axis}"
            pictures.append(_Picture(f"cost_{column.name}", alt, sweep_plots.trade_off(points, column.axis)))
    return pictures


def _forest(header: SweepHeader, compared: Sequence[Difference]) -> list[_Picture]:
    pairs = [(name(header.fields, each.values), each) for each in compared if each.estimate.n]
    if not pairs or header.baseline is None:
        return []
    baseline = name(header.fields, values_at(header.baseline, header.fields))
    return [_Picture("differences", f"Differences from {baseline}", sweep_plots.forest(pairs, baseline))]
