"""Self-contained HTML page of a comparison of runs."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

from cnn_jax.config.parsing import ConfigError
from cnn_jax.report import report_folder, sweep_plots
from cnn_jax.report.compared_runs import is_run, is_sweep
from cnn_jax.report.comparison import Comparison, Line
from cnn_jax.report.comparison_texts import field_text
from cnn_jax.report.report_folder import Picture
from cnn_jax.run.metrics import ACCURACY, LOSS, PRIMARY, Metric
from cnn_jax.run.metrics_log import TEST, TRAIN, VALIDATION
from cnn_jax.run.records import MetricRecord
from cnn_jax.sweep.status import DONE

MARK = '<meta name="generator" content="cnn_jax compare">'  # marks a page that may be overwritten
_CURVES = ((VALIDATION, ACCURACY), (TEST, ACCURACY), (TEST, LOSS), (TRAIN, LOSS))
_NOTES = 100  # maximum number that the page lists


def check_output(path: Path, flag: str) -> None:
    """Refuses a path that cannot be written, or that holds another file.

    Raises:
      ConfigError: If the path cannot be used; the message says why.
    """
    if path.is_dir():
        raise ConfigError([f"{flag}: {path} is a folder"])
    if not path.parent.is_dir():
        raise ConfigError([f"{flag}: got {str(path)!r}, and there is no folder {str(path.parent)!r}"])
    if is_run(path.parent) or is_sweep(path.parent):
        raise ConfigError([f"{flag}: {path} lies in the folder of a run or a sweep; name a file elsewhere"])
    if path.suffix == ".html" and path.exists():
        with path.open("rb") as file:
            if MARK.encode() not in file.read(2000):
                raise ConfigError([f"{flag}: {path} is not a page of this command; move it away, or name another file"])


def page(comparison: Comparison) -> str:
    """Renders the page of a comparison, with its figures."""
    sections = {"curves": _curves(comparison), "forest": _forest(comparison)}
    images = {each.name: report_folder.png(each.figure) for group in sections.values() for each in group}
    return report_folder.page(
        "comparison.html.j2",
        images,
        comparison=comparison,
        sections=sections,
        primary=PRIMARY,
        field_text=field_text,
        listed=comparison.notes[:_NOTES],
        written=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def _curves(comparison: Comparison) -> list[Picture]:
    """Plots the learning curves of all entries, the best first, for every recorded split and metric."""
    ranked = sorted(comparison.lines, key=_rank)
    pictures = []
    for split, metric in _CURVES:
        curves = {line.number: _curves_of(line, split, metric) for line in ranked}
        if not any(curves.values()):
            continue
        drawn = []
        for line in ranked:  # entries without measurements too, so that an entry has the same colour in all plots
            lacking = "" if curves[line.number] else " (not measured)"
            name = f"{line.number} {line.entry.name}{lacking}"
            drawn.append(sweep_plots.PointCurves(name, curves[line.number], line.number == 1))
        alt = f"{metric.heading} on the {'training' if split == TRAIN else split} images by epoch"
        figure = sweep_plots.learning_curves(drawn, split, metric)
        pictures.append(Picture(f"curves_{split}_{metric.name}", alt, figure))
    return pictures


def _curves_of(line: Line, split: str, metric: Metric) -> list[sweep_plots.Curve]:
    """Returns the learning curves of an entry's runs that have measurements."""
    curves = []
    for run in line.entry.runs:
        points = [(each.epoch, each.values[metric.name]) for each in run.records if _is_measured(each, split, metric)]
        if points:
            curves.append(sweep_plots.Curve(points, run.row.status == DONE))
    return curves


def _is_measured(record: MetricRecord, split: str, metric: Metric) -> bool:
    value = record.values.get(metric.name, math.nan)
    return record.split == split and math.isfinite(value) and math.isfinite(record.epoch)


def _rank(line: Line) -> tuple[bool, float]:
    mean = line.metrics[PRIMARY.name].mean
    return (mean is None, 0.0 if mean is None else -PRIMARY.gain(mean))


def _forest(comparison: Comparison) -> list[Picture]:
    pairs = [
        (f"{line.number} {line.entry.name}", line.difference)
        for line in comparison.lines
        if line.difference is not None and line.difference.estimate.n
    ]
    if not pairs:
        return []
    first = comparison.entries[0].name
    return [Picture("differences", f"Differences from {first}", sweep_plots.forest(pairs, first))]
