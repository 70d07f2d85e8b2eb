"""Plots of a search: best so far, slices, parallel coordinates, importance, rungs, confirmed scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from cnn_jax import plot_text
from cnn_jax.plot_style import BLUE, FAINT, GREY, ORANGE, new_figure, titled_axes
from cnn_jax.report.importance import Importance
from cnn_jax.report.sweep_plots import BARS
from cnn_jax.report.sweep_scatter import bounds, spread
from cnn_jax.run.metrics import Metric
from cnn_jax.sweep.points import point_key, value_text
from cnn_jax.sweep.search.results import Axis, Confirmation, SearchPoint
from cnn_jax.sweep.statistics import estimate

_VALUE = 18  # maximum characters of a choice
_TICKS = 5  # tick labels of an axis of parallel coordinates
_LABELLED = 12  # maximum number of labelled choices of an axis


class Step(NamedTuple):
    """A score during a search.

    Attributes:
      at: Number of trials, or compute, when the score became known.
      score: The metric on the validation images.
      whole: Whether its trial has the full length.
    """

    at: float
    score: float
    whole: bool


def best_so_far(steps: Sequence[Step], x: str, metric: Metric) -> Figure:
    """Plots scores in the order of the search, and the best score at full length so far.

    Args:
      steps: Scores with increasing `at`.
      x: Label of the horizontal axis.
      metric: The metric.

    Returns:
      The figure; scores below the median may be cut off.
    """
    figure = new_figure(6.4, 4.2)
    axes = titled_axes(figure, f"Best validation {metric.title} so far", x, f"validation {metric.label}")
    size = _size(len(steps))
    for whole, colour, label in ((False, FAINT, "fewer epochs"), (True, BLUE, "full length")):
        chosen = [each for each in steps if each.whole == whole]
        if chosen:
            scores = metric.scale * np.array([each.score for each in chosen])
            axes.scatter([each.at for each in chosen], scores, s=size, color=colour, linewidths=0, label=label)
    whole_steps = [each for each in steps if each.whole]
    if whole_steps:
        gains = np.maximum.accumulate([metric.gain(each.score) for each in whole_steps])
        best = metric.scale * np.array([metric.gain(gain) for gain in gains])  # gain is its own inverse
        at = [*(each.at for each in whole_steps), steps[-1].at]
        axes.step(at, [*best, best[-1]], where="post", color=ORANGE, linewidth=2, label="best so far", zorder=3)
    median = float(np.median([each.score for each in steps]))
    better = [each.score for each in steps if each.whole or metric.gain(each.score) >= metric.gain(median)]
    _set_y_limits(axes, metric.scale * np.array(better), metric)
    axes.set_xlim(left=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    return figure


def slice_of(axis: Axis, values: Sequence[Any], points: Sequence[SearchPoint], metric: Metric, epochs: int) -> Figure:
    """Plots scores against one searched field.

    Args:
      axis: The field.
      values: Its value at each point.
      points: The points.
      metric: The metric.
      epochs: Epochs of the full length.

    Returns:
      The figure, with the last score of each point; crosses at the edge mark points without a score.
    """
    figure = new_figure(6.4, 4.2)
    axes = titled_axes(figure, "", axis.field, f"validation {metric.label}")
    at = _x_positions(axes, axis, values)
    scored = [index for index, point in enumerate(points) if point.scores]
    kinds = (
        (FAINT, "fewer epochs", [index for index in scored if epochs not in points[index].scores]),
        (BLUE, "full length", [index for index in scored if epochs in points[index].scores]),
    )
    last = {index: points[index].scores[max(points[index].scores)] for index in scored}
    for colour, label, chosen in kinds:
        if chosen:
            scores = metric.scale * np.array([last[index] for index in chosen])
            axes.scatter(at[chosen], scores, s=_size(len(points)), color=colour, alpha=0.8, linewidths=0, label=label)
    failed = [index for index, point in enumerate(points) if point.state == "failed"]
    if failed:
        edge = 0.02 if metric.higher_is_better else 0.98
        drawn: Any = {"marker": "x", "s": 30, "color": ORANGE, "transform": axes.get_xaxis_transform()}
        axes.scatter(at[failed], [edge] * len(failed), label="failed", **drawn)
    _set_y_limits(axes, metric.scale * np.array(list(last.values())), metric)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=10)
    return figure


def parallel_coordinates(
    axes_of: Sequence[Axis], values: Sequence[Sequence[Any]], scores: Sequence[float], metric: Metric, epochs: int
) -> Figure:
    """Plots a line for each point through its values and its score.

    Args:
      axes_of: The searched fields.
      values: Values of each point, one for each field.
      scores: Scores of the points after `epochs` epochs.
      metric: The metric.
      epochs: Epochs after which all points were scored.

    Returns:
      The figure; the best points are drawn on top.
    """
    figure = new_figure(max(8.0, 2.2 + 1.9 * (len(axes_of) + 1)), 5.2)
    axes = titled_axes(figure, f"Parallel coordinates of {len(scores):,} points after {_epochs(epochs)}", "", "")
    shown = metric.scale * np.asarray(scores, float)
    low, high = bounds(shown, metric)
    heights = []
    for index, axis in enumerate(axes_of):
        column = [each[index] for each in values]
        heights.append(_draw_parallel_axis(axes, index, axis, column))
    score_axis = Axis(f"validation {metric.label}", True, False)
    heights.append(_draw_parallel_axis(axes, len(axes_of), score_axis, np.clip(shown, low, high).tolist()))
    order = np.argsort([metric.gain(score) for score in scores], kind="stable")
    lines = np.stack([np.column_stack([np.arange(len(heights)), row]) for row in np.column_stack(heights)])
    drawn = LineCollection(list(lines[order]), cmap="viridis", linewidths=1.4 if len(scores) < 200 else 0.7, alpha=0.7)
    drawn.set_array(shown[order])
    drawn.set_clim(low, high)
    axes.add_collection(drawn)
    axes.set(xlim=(-0.35, len(heights) - 0.65), ylim=(-0.03, 1.03))
    names = [axis.field.rpartition(".")[2] for axis in axes_of]
    unique = [axis.field if names.count(name) > 1 else name for axis, name in zip(axes_of, names, strict=True)]
    axes.set_xticks(range(len(heights)), [*plot_text.labels(unique, 24), f"validation\n{metric.label}"])
    axes.yaxis.set_visible(False)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def importances(fields: Sequence[str], found: Importance, epochs: int) -> Figure:
    """Plots the importance of the searched fields, the largest at the top.

    Args:
      fields: Dotted names.
      found: Their importance; it must be known.
      epochs: Epochs after which the points were scored.

    Returns:
      The figure.
    """
    figure = new_figure(6.4, 1.7 + 0.42 * len(fields))
    title = f"Importance after {_epochs(epochs)} (n={found.n:,}, R²={found.explained:.2f})"
    axes = titled_axes(figure, title, "loss of R² when the field's values are shuffled", "")
    order = np.argsort([mean for mean, _ in found.fields], kind="stable")
    means, spreads = (np.array([each[side] for each in found.fields])[order] for side in (0, 1))
    axes.barh(range(len(fields)), means, xerr=spreads, color=BLUE, error_kw={"ecolor": GREY, "capsize": 3})
    axes.set_yticks(range(len(fields)), plot_text.labels([fields[index] for index in order], 40))
    axes.axvline(0, color="black", linewidth=1)
    axes.grid(visible=False, axis="y")
    return figure


def rungs(points: Sequence[SearchPoint], metric: Metric) -> Figure:
    """Plots the scores of the points from rung to rung.

    Args:
      points: Points, at least one with scores.
      metric: The metric.

    Returns:
      The figure: a line for each point, blue if it was trained to the full length.
    """
    epochs = sorted({rung for point in points for rung in point.scores})
    indices = {rung: index for index, rung in enumerate(epochs)}
    figure = new_figure(8.0, 4.6)
    axes = titled_axes(figure, "Scores at the rungs", "epochs (one rung each)", f"validation {metric.label}")
    kinds = (
        (("stopped early", "unfinished"), FAINT, "stopped early, or waiting", 1.0),
        (("failed",), ORANGE, "failed at the next rung", 2.0),
        (("finished",), BLUE, "full length", 3.0),
    )
    for states, colour, label, above in kinds:
        chosen = [point.scores for point in points if point.state in states and point.scores]
        if not chosen:
            continue
        lines = [[(indices[rung], metric.scale * score) for rung, score in sorted(each.items())] for each in chosen]
        width = 1.2 if len(points) < 200 else 0.6
        axes.add_collection(
            LineCollection([line for line in lines if len(line) > 1], colors=colour, linewidths=width, zorder=above)
        )
        x, y = np.array([dot for line in lines for dot in line]).T
        axes.scatter(x, y, s=_size(len(points)), color=colour, linewidths=0, label=label, zorder=above)
    axes.set_xticks(range(len(epochs)), [f"{rung:,}" for rung in epochs])
    axes.set_xlim(-0.3, len(epochs) - 0.7)
    every = np.array([score for point in points for score in point.scores.values()])
    _set_y_limits(axes, metric.scale * every, metric)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    return figure


def confirmed(confirmations: Sequence[Confirmation], metric: Metric) -> Figure:
    """Plots the search score beside the scores of fresh seeds, for each confirmed point.

    Args:
      confirmations: Confirmed points, the best in the search first.
      metric: The metric.

    Returns:
      The figure.
    """
    figure = new_figure(max(5.6, 2.6 + 1.1 * len(confirmations)), 4.4)
    axes = titled_axes(figure, "Search score and confirmed score", "point", f"validation {metric.label}")
    for index, each in enumerate(confirmations):
        first = index == 0
        search = metric.scale * each.search_score
        axes.plot([index - 0.15], [search], "D", color=ORANGE, markersize=8, label="in the search" * first)
        scores = metric.scale * np.array(each.scores)
        axes.scatter([index + 0.15] * len(scores), scores, s=22, color=GREY, alpha=0.6, label="fresh seed" * first)
        found = estimate(scores.tolist())
        if found.mean is not None:
            reach = np.nan if found.high is None else found.high - found.mean
            axes.errorbar(
                [index + 0.15], [found.mean], [reach], color=BLUE, label="mean, 95 % interval" * first, **BARS
            )
    axes.set_xticks(range(len(confirmations)), [str(each.point.number) for each in confirmations])
    axes.set_xlim(-0.6, len(confirmations) - 0.4)
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    return figure


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'' if count == 1 else 's'}"


def _size(count: int) -> float:
    """Returns the area of a dot, smaller for more dots."""
    return max(5, min(26, 8000 / max(count, 1)))


def _set_y_limits(axes: Axes, shown: np.ndarray, metric: Metric) -> None:
    if len(shown):
        low, high = bounds(shown, metric)
        if high > low:
            axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))


def _choices(values: Sequence[Any]) -> dict[str, Any]:
    """Returns the distinct values of a choice by key, sorted as numbers or by text."""
    found = {point_key([value]): value for value in values}
    if all(type(value) in (int, float) for value in found.values()):
        return dict(sorted(found.items(), key=lambda each: each[1]))
    return dict(sorted(found.items(), key=lambda each: value_text(each[1])))


def _x_positions(axes: Axes, axis: Axis, values: Sequence[Any]) -> np.ndarray:
    """Prepares the horizontal axis and returns the positions of a field's values."""
    if axis.ordered:
        if axis.log:
            axes.set_xscale("log")
            _plain_ticks(axes, values)
        elif all(type(value) is int for value in values):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return np.array(values, float)
    choices = _choices(values)
    numbers = {each: index for index, each in enumerate(choices)}
    texts = plot_text.labels([value_text(value) for value in choices.values()], _VALUE)
    slanted: Any = {"rotation": 35, "ha": "right"} if sum(map(len, texts)) > 55 else {}
    axes.set_xticks(range(len(texts)), texts, **slanted)
    axes.set_xlim(-0.5, len(texts) - 0.5)
    return np.array([numbers[point_key([value])] for value in values]) + spread(len(values))


def _plain_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Labels a logarithmic axis of about a decade or less, which has too few powers of ten."""
    if max(values) < 20 * min(values):
        ticks = _round_ticks(np.array(values, float), log=True)
        axes.xaxis.set_major_locator(NullLocator())
        axes.set_xticks(ticks)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _round_ticks(values: np.ndarray, log: bool) -> list[float]:
    """Returns round numbers spread evenly over the range of the values."""
    low, high = values.min(), values.max()
    if low == high:
        return [float(low)]
    marks = np.geomspace(low, high, _TICKS) if log else np.linspace(low, high, _TICKS)
    if all(value == int(value) for value in values):
        return [float(mark) for mark in dict.fromkeys(marks.round())]
    return [float(f"{mark:.3g}") for mark in marks]


def _draw_parallel_axis(axes: Axes, index: int, axis: Axis, values: Sequence[Any]) -> np.ndarray:
    """Draws an axis of parallel coordinates and returns the heights of the values, from 0 to 1."""
    axes.axvline(index, color=GREY, linewidth=1, zorder=2.5)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
    style: Any = {"ha": "left", "va": "center", "fontsize": 9, "zorder": 4, "bbox": box}
    if not axis.ordered:
        choices = _choices(values)
        texts = plot_text.labels([value_text(value) for value in choices.values()], _VALUE)
        heights = dict(zip(choices, np.linspace(0.04, 0.96, len(choices)) if len(choices) > 1 else [0.5], strict=True))
        for each in list(zip(heights.values(), texts, strict=True))[:: max(1, -(-len(texts) // _LABELLED))]:
            axes.text(index + 0.04, *each, **style)
        apart = spread(len(values)) * min(0.12, 0.8 / len(choices))
        return np.array([heights[point_key([value])] for value in values]) + apart
    numbers = np.array(values, float)
    low, high = numbers.min(), numbers.max()

    def height(at: Any) -> Any:
        if low == high:
            return 0 * np.asarray(at) + 0.5
        ends = np.log([low, high]) if axis.log else (low, high)
        return ((np.log(at) if axis.log else at) - ends[0]) / (ends[1] - ends[0])

    for mark in _round_ticks(numbers, axis.log):
        axes.text(index + 0.04, float(height(mark)), f"{mark:,.6g}", **style)
    found: np.ndarray = height(numbers)
    return found
