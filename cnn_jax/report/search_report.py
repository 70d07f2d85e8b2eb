"""The sections of a search's report: progress, best points, rungs, importance, confirmed points."""

from __future__ import annotations

import collections
import itertools
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from cnn_jax.report import search_plots
from cnn_jax.report.importance import FEWEST, importance
from cnn_jax.report.report_folder import Picture
from cnn_jax.report.search_plots import Step
from cnn_jax.sweep.points import point_label
from cnn_jax.sweep.search.results import Confirmation, SearchPoint, SearchResults
from cnn_jax.sweep.statistics import estimate

_LINES = 500  # maximum number of points or rungs that the page lists
_NAMED = 12  # maximum number of promoted points named in a line of the rungs


def values(results: SearchResults) -> dict[str, Any]:
    """Computes the template values of a search.

    Args:
      results: Results of the search, finished or not.

    Returns:
      Values by template variable; `sections` holds the figures.
    """
    epochs, comparable = common(results)
    found = importance(
        [point.values for point in comparable],
        [axis.ordered for axis in results.axes],
        [point.scores[epochs] for point in comparable],
    )
    fields = [axis.field for axis in results.axes]
    slices, parallel, matters = [], [], []
    if any(point.scores for point in results.points):
        slices = list(_slices(results))
    if len(comparable) > 1:
        picture = search_plots.parallel_coordinates(
            results.axes,
            [point.values for point in comparable],
            [point.scores[epochs] for point in comparable],
            results.metric,
            epochs,
        )
        parallel = [Picture("parallel_coordinates", "A line for each point through its values and its score", picture)]
    if found.fields:
        alt = "Importance of the searched fields"
        matters = [Picture("importance", alt, search_plots.importances(fields, found, epochs))]
    return {
        "results": results,
        "metric": results.metric,
        "ranked": ranked(results)[:_LINES],
        "rung_epochs": sorted({rung.epochs for rung in results.rungs}),
        "states": collections.Counter(point.state for point in results.points),
        "best_name": results.best and point_label(fields, results.best.values),
        "rung_lines": _rung_lines(results)[-_LINES:],
        "confirmed": [_confirmed(each) for each in results.confirmations],
        "common_epochs": epochs,
        "importance": found,
        "fewest": FEWEST,
        "untimed": sum(point.seconds is None for point in results.points if point.scores),
        "sections": {
            "best": list(_best(results)),
            "confirmed": list(_confirmations(results)),
            "rungs": list(_rungs(results)),
            "slices": slices,
            "parallel": parallel,
            "importance": matters,
        },
    }


def ranked(results: SearchResults) -> list[SearchPoint]:
    """Ranks the points by number of epochs, then by score."""

    def rank(point: SearchPoint) -> tuple[float, float]:
        reached = max(point.scores, default=0)
        return (-reached, -results.metric.gain(point.scores[reached]) if reached else 0.0)

    return sorted(results.points, key=rank)


def common(results: SearchResults) -> tuple[int, list[SearchPoint]]:
    """Finds the number of epochs after which most points were scored (the larger one in a tie), and these points."""
    counts = collections.Counter(rung for point in results.points for rung in point.scores)
    epochs = max(counts, key=lambda rung: (counts[rung], rung), default=results.epochs)
    return epochs, [point for point in results.points if epochs in point.scores]


def _best(results: SearchResults) -> Iterator[Picture]:
    """Plots the best score so far against trials, epochs and time; no plots without scores."""
    metric, full = results.metric, results.epochs
    scored = [point for point in results.points if point.scores]
    by_trial = [Step(each.number, each.scores[max(each.scores)], full in each.scores) for each in scored]
    measured = list(results.measurements())
    spent = itertools.accumulate(each.spent for each in measured)
    by_epoch = [Step(at, each.score, each.epochs == full) for at, each in zip(spent, measured, strict=True)]
    timed = [each for each in measured if each.seconds is not None]
    took = list(itertools.accumulate(each.seconds or 0.0 for each in timed))
    scale, unit = _unit(took[-1] if took else 0.0)
    by_time = [Step(at / scale, each.score, each.epochs == full) for at, each in zip(took, timed, strict=True)]
    for what, steps, x in (
        ("trials", by_trial, "points drawn"),
        ("epochs", by_epoch, "epochs of all trials together"),
        ("time", by_time, f"{unit} of all trials together"),
    ):
        if steps:
            alt = f"Best validation {metric.title} so far against {x}"
            yield Picture(f"best_by_{what}", alt, search_plots.best_so_far(steps, x, metric))


def _unit(seconds: float) -> tuple[float, str]:
    """Chooses a unit of time: its length in seconds, and its name."""
    return (3600.0, "hours") if seconds > 7200 else (60.0, "minutes") if seconds > 180 else (1.0, "seconds")


def _slices(results: SearchResults) -> Iterator[Picture]:
    for side, axis in enumerate(results.axes):
        column = [point.values[side] for point in results.points]
        figure = search_plots.slice_of(axis, column, results.points, results.metric, results.epochs)
        yield Picture(f"slice_{axis.field}", f"Validation {results.metric.title} by {axis.field}", figure)


def _rungs(results: SearchResults) -> Iterator[Picture]:
    if len({rung for point in results.points for rung in point.scores}) > 1:
        alt = f"Validation {results.metric.title} of the points from rung to rung"
        yield Picture("rungs", alt, search_plots.rungs(results.points, results.metric))


def _confirmations(results: SearchResults) -> Iterator[Picture]:
    if any(each.scores for each in results.confirmations):
        figure = search_plots.confirmed(results.confirmations, results.metric)
        yield Picture("confirmed", "Score in the search and on fresh seeds of the confirmed points", figure)


def _rung_lines(results: SearchResults) -> list[dict[str, Any]]:
    """Returns the lines of the table of rungs: points trained, scores, points promoted."""
    lines = []
    for rung in results.rungs:
        points = [results.points[number - 1] for number in rung.trained]
        scores = sorted((p.scores[rung.epochs] for p in points if rung.epochs in p.scores), key=results.metric.gain)
        promoted = None if rung.promoted is None else list(map(str, rung.promoted[:_NAMED]))
        if promoted is not None and rung.promoted is not None and len(rung.promoted) > _NAMED:
            promoted.append(f"and {len(rung.promoted) - _NAMED} more")
        lines.append(
            {
                "rung": rung,
                "failed": sum(p.state == "failed" and rung.epochs not in p.scores for p in points),
                "scored": len(scores),
                "best": scores[-1] if scores else None,
                "median": statistics.median(scores) if scores else None,
                "worst": scores[0] if scores else None,
                "promoted": promoted,
                "last": rung.epochs == results.epochs,
            }
        )
    return lines


def _confirmed(each: Confirmation) -> Mapping[str, Any]:
    """Returns a line of the table of confirmed points."""
    found = estimate(each.scores)
    return {
        "confirmation": each,
        "estimate": found,
        "shift": None if found.mean is None else found.mean - each.search_score,
        "test": estimate(each.test),
    }
