"""Plots of a sweep: effects, pairs of fields, learning curves, costs, differences from the baseline."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from cnn_jax import plot_text
from cnn_jax.plot_style import BLUE, FAINT, GREEN, GREY, ORANGE, new_figure, titled_axes
from cnn_jax.report.plots import Points
from cnn_jax.run.metrics import PRIMARY, Metric
from cnn_jax.sweep.points import point_key, value_text
from cnn_jax.sweep.statistics import Difference, Estimate, Group, pareto_front

# The rest of Okabe and Ito's palette, without yellow, which is too faint on white.
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))
COLOURED_CURVES = 20  # with more points, only the best and the baseline are coloured
_BEST = 5
_VALUE = 18  # maximum characters of a value's label
_LISTED = 12  # maximum number of named points of a front
_MANY = 200  # with more points, curves are thin
COMPARED = 40  # maximum number of points in a plot of differences
_ENDS = 4  # height of the learning curves' plot, in multiples of the range of their last values
_LOGARITHMIC_FROM = 8  # costs that differ by more than this factor get a logarithmic axis
TEST_LABEL = f"test {PRIMARY.label}"
BARS: Any = {"fmt": "o", "capsize": 4, "linewidth": 2, "markersize": 7, "zorder": 3}


class Curve(NamedTuple):
    """Learning curve of one trial.

    Attributes:
      points: Pairs (epoch, value).
      finished: Whether the trial counts in its point's mean.
    """

    points: Points
    finished: bool


class PointCurves(NamedTuple):
    """Learning curves of one point's trials.

    Attributes:
      name: Name of the point.
      curves: Learning curves of its trials.
      baseline: Whether it is the baseline.
    """

    name: str
    curves: Sequence[Curve]
    baseline: bool


class Cost(NamedTuple):
    """Cost and primary metric of a point.

    Attributes:
      name: Name of the point.
      cost: Mean cost of its trials.
      estimate: Primary metric of its trials.
    """

    name: str
    cost: float
    estimate: Estimate


def main_effect(field: str, groups: Sequence[Group], singles: Sequence[Sequence[float]], values: int) -> Figure:
    """Plots the primary metric by the values of one field, over all values of the others.

    Args:
      field: Dotted name of the field.
      groups: Group of trials for each value shown.
      singles: Primary metric of the trials of each group.
      values: Number of values of the field.

    Returns:
      The figure.
    """
    figure = new_figure(min(14, max(5.6, 2.2 + 0.62 * len(groups))), 4.4)
    left_out = f" ({len(groups)} best of {values:,} values)" if len(groups) < values else ""
    axes = titled_axes(figure, f"Main effect of {field}{left_out}", field, TEST_LABEL)
    for place, (group, single) in enumerate(zip(groups, singles, strict=True)):
        # An even spread separates equal values, and is deterministic.
        spread = np.linspace(-0.16, 0.16, len(single)) if len(single) > 1 else np.zeros(len(single))
        alpha = 0.45 if len(single) < _MANY else 0.15
        axes.scatter(place + spread, shown(single), s=20, color=GREY, alpha=alpha, linewidths=0)
        if group.estimate.mean is None:
            axes.text(
                place, 0.02, _missing_reason(group), transform=axes.get_xaxis_transform(), ha="center", color=GREY
            )
    drawn = [(place, group.estimate) for place, group in enumerate(groups) if group.estimate.mean is not None]
    if drawn:
        places = [place for place, _ in drawn]
        means = shown([estimate.mean for _, estimate in drawn if estimate.mean is not None])
        axes.errorbar(places, means, reaches([estimate for _, estimate in drawn]), color=BLUE, **BARS)
    values_shown = plot_text.labels([value_text(group.values[0]) for group in groups], _VALUE)
    _label_ticks(axes, [f"{text}\nn={group.estimate.n}" for text, group in zip(values_shown, groups, strict=True)])
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.grid(visible=False, axis="x")
    return figure


def heat_map(rows: str, columns: str, groups: Sequence[Group]) -> Figure:
    """Plots the mean of the primary metric for each pair of values of two fields.

    Args:
      rows, columns: Dotted names of the fields.
      groups: Group of trials for each pair of values in the sweep, the row's value first.

    Returns:
      The figure; pairs without a finished trial show the reason.
    """
    first, second = (_distinct_values([group.values[side] for group in groups]) for side in (0, 1))
    means = np.full((len(first), len(second)), np.nan)
    cells = {(first[point_key([g.values[0]])][0], second[point_key([g.values[1]])][0]): g for g in groups}
    for place, group in cells.items():
        if group.estimate.mean is not None:
            means[place] = PRIMARY.scale * group.estimate.mean
    figure = new_figure(3.2 + 0.95 * len(second), 1.8 + 0.75 * len(first))
    axes = titled_axes(figure, f"Mean {TEST_LABEL}", columns, rows)
    axes.grid(visible=False)
    if np.isnan(means).all():
        axes.set(xlim=(-0.5, len(second) - 0.5), ylim=(len(first) - 0.5, -0.5))
    else:
        image = axes.imshow(np.ma.masked_invalid(means), cmap="viridis", aspect="auto")
        figure.colorbar(image, ax=axes, shrink=0.9).set_label(TEST_LABEL)
    axes.set_xticks(range(len(second)), plot_text.labels([text for _, text in second.values()], _VALUE))
    axes.set_yticks(range(len(first)), plot_text.labels([text for _, text in first.values()], _VALUE))
    for place in np.ndindex(means.shape):
        _draw_cell(axes, place, means, cells.get((place[0], place[1])))
    return figure


def learning_curves(points: Sequence[PointCurves], split: str, metric: Metric = PRIMARY) -> Figure:
    """Plots a metric over the epochs: thin lines for trials, a thick line for the mean of a point's finished trials.

    Args:
      points: Points, the best first.
      split: "train", "validation" or "test".
      metric: The metric.

    Returns:
      The figure; with more than COLOURED_CURVES points, only the five best and the baseline are coloured.
    """
    everyone = len(points) <= COLOURED_CURVES
    figure = new_figure(10.5, max(5.2, 1.2 + 0.27 * (len(points) if everyone else _BEST + 1)))
    images = "training" if split == "train" else split
    axes = titled_axes(figure, f"Learning curves on the {images} images", "epoch", f"{images} {metric.label}")
    coloured = [point for place, point in enumerate(points) if everyone or place < _BEST or point.baseline]
    others = [point for place, point in enumerate(points) if not (everyone or place < _BEST or point.baseline)]
    means = _draw_faint(axes, others, metric)
    # All colours are used with one dash pattern before the next.
    for (dash, colour), point in zip(itertools.product(_DASHES, _COLOURS), coloured, strict=False):
        label = plot_text.drawable(point.name, 48) + (" (baseline)" if point.baseline else "")
        means.append(_draw_curves(axes, point, colour, dash, label, metric))
    if others:
        axes.plot([], [], color=FAINT, linewidth=2.2, label=f"{len(others)} other points")
    _set_y_limits(axes, means, metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(loc="outside right upper", frameon=False, fontsize=10, title="best first", alignment="left")
    return figure


def trade_off(points: Sequence[Cost], x: str) -> Figure:
    """Plots the primary metric against a cost, with the Pareto front.

    Args:
      points: Points with finished trials.
      x: Name of the cost, with its unit.

    Returns:
      The figure; the points of the front are numbered and named.
    """
    figure = new_figure(10, 4.8)
    axes = titled_axes(figure, f"{PRIMARY.heading} against {x.partition(' (')[0]}", x, TEST_LABEL)
    costs = np.array([point.cost for point in points])
    means = [point.estimate.mean or 0.0 for point in points]
    front = pareto_front(costs.tolist(), [PRIMARY.gain(mean) for mean in means])
    if costs.min() > 0 and costs.max() / costs.min() > _LOGARITHMIC_FROM:
        axes.set_xscale("log")
    estimates = [point.estimate for point in points]
    axes.errorbar(costs, shown(means), reaches(estimates), color=GREY, alpha=0.6, **BARS)
    chosen = shown([means[index] for index in front])
    axes.step(costs[front], chosen, where="post", color=ORANGE, linewidth=1.5, zorder=2.8)
    axes.plot(costs[front[_LISTED:]], chosen[_LISTED:], "o", color=ORANGE, markersize=8, zorder=3)
    for number, (index, gained) in enumerate(zip(front[:_LISTED], chosen, strict=False), 1):
        named = f"{number}  {plot_text.drawable(points[index].name, 48)}"
        axes.plot(costs[index], gained, "o", color=ORANGE, markersize=8, zorder=3, label=named)
        axes.annotate(
            str(number), (costs[index], gained), (-5, 6), textcoords="offset points", ha="right", color=ORANGE
        )
    legend = figure.legend(
        loc="outside right upper",
        frameon=False,
        fontsize=10,
        title="Pareto front:\nnone is cheaper and better",
        alignment="left",
        handlelength=0.8,
    )
    legend.get_title().set_multialignment("left")
    return figure


def forest(named: Sequence[tuple[str, Difference]], baseline: str) -> Figure:
    """Plots the differences from the baseline with their intervals.

    Args:
      named: Pairs of a point's name and its difference, which has at least one pair of trials.
      baseline: Name of the baseline.

    Returns:
      The figure, with the best at the top; only the COMPARED largest differences are shown.
    """
    largest = sorted(named, key=lambda each: -abs(each[1].estimate.mean or 0))[:COMPARED]
    ordered = sorted(largest, key=lambda each: PRIMARY.gain(each[1].estimate.mean or 0))
    figure = new_figure(9.5, 1.8 + 0.34 * len(ordered))
    left_out = f" ({len(ordered)} largest of {len(named)})" if len(ordered) < len(named) else ""
    unit = "percentage points" if PRIMARY.is_share else PRIMARY.unit
    x = f"difference in test {PRIMARY.title}, same seeds" + (f" ({unit})" if unit else "")
    axes = titled_axes(figure, f"Differences from\n{plot_text.drawable(baseline, 60)}{left_out}", x, "")
    axes.axvline(0, color="black", linewidth=1)
    for place, (_, difference) in enumerate(ordered):
        estimate = difference.estimate
        colour = GREY if not difference.significant else BLUE if PRIMARY.gain(estimate.mean or 0) > 0 else ORANGE
        axes.errorbar(shown([estimate.mean or 0.0]), [place], xerr=reaches([estimate]), color=colour, **BARS)
        judged = "no p" if difference.p_holm is None else f"p={difference.p_holm:.2g}"
        axes.annotate(
            f"n={estimate.n}  {judged}",
            (1.01, place),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=colour,
        )
    axes.set_yticks(range(len(ordered)), plot_text.labels([name for name, _ in ordered], 44))
    axes.set_ylim(-0.7, len(ordered) - 0.3)
    axes.grid(visible=False, axis="y")
    return figure


def shown(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Converts values of the primary metric to the displayed unit."""
    return PRIMARY.scale * np.asarray(values, float)


def reaches(estimates: Sequence[Estimate]) -> np.ndarray:
    """Returns half the width of each interval in the displayed unit, [2, n]; NaN, which draws no bar, without one."""
    half = [
        (each.high - each.low) / 2 if each.high is not None and each.low is not None else np.nan for each in estimates
    ]
    return np.stack([shown(half)] * 2)


def _distinct_values(values: Sequence[object]) -> dict[str, tuple[int, str]]:
    """Returns the index and text of each distinct value, in order of appearance."""
    found: dict[str, tuple[int, str]] = {}
    for value in values:
        found.setdefault(point_key([value]), (len(found), value_text(value)))
    return found


def _missing_reason(group: Group) -> str:
    """Returns the reason why a group has no mean."""
    if group.n_infeasible and not group.n_failed and not group.n_unfinished:
        return "infeasible"
    if group.n_failed and not group.n_unfinished:
        return "failed"
    return "not done"


def _draw_cell(axes: Axes, place: tuple[int, ...], means: np.ndarray, group: Group | None) -> None:
    """Writes the text of a cell of a heat map, and hatches a cell without a mean."""
    row, column = place[0], place[1]
    if group is None:
        axes.text(column, row, "not in\nthe sweep", ha="center", va="center", color=GREY, fontsize=9)
        return
    mean = means[row, column]
    if np.isnan(mean):
        hatch = (
            "///" if _missing_reason(group) == "infeasible" else "..." if _missing_reason(group) == "failed" else None
        )
        patch = Rectangle(
            (column - 0.5, row - 0.5), 1, 1, facecolor="#EEEEEE", edgecolor=FAINT, hatch=hatch, linewidth=0
        )
        axes.add_patch(patch)
        box = {"facecolor": "#EEEEEE", "edgecolor": "none", "pad": 2}
        axes.text(column, row, _missing_reason(group), ha="center", va="center", fontsize=10, bbox=box)
        return
    lowest, highest = np.nanmin(means), np.nanmax(means)
    bright = highest > lowest and (mean - lowest) / (highest - lowest) > 0.55
    text = f"{PRIMARY.form.format(mean)}\nn={group.estimate.n}" + (
        f"\n{group.n_failed} failed" if group.n_failed else ""
    )
    axes.text(column, row, text, ha="center", va="center", color="black" if bright else "white", fontsize=10)


def _draw_curves(axes: Axes, point: PointCurves, colour: str, dash: Any, label: str, metric: Metric) -> np.ndarray:
    """Draws a point's trials and their mean; returns the mean at each epoch in the displayed unit."""
    for points in _trial_curves(point):
        epochs, values = zip(*points, strict=True)
        dot = "." if len(epochs) == 1 else None
        scaled = metric.scale * np.array(values)
        axes.plot(epochs, scaled, color=colour, linewidth=0.8, alpha=0.35, marker=dot, zorder=2.5)
    shared, means = _mean_curve(point, metric)
    marker = "o" if len(shared) == 1 else None
    axes.plot(shared, means, linewidth=2.2, linestyle=dash, marker=marker, color=colour, label=label, zorder=3.5)
    return means


def _draw_faint(axes: Axes, points: Sequence[PointCurves], metric: Metric) -> list[np.ndarray]:
    """Draws the trials and means of many points in grey; returns the means."""
    curves = [_mean_curve(point, metric) for point in points]
    means = [np.column_stack(curve) for curve in curves]
    singles = [
        np.column_stack([[epoch for epoch, _ in line], metric.scale * np.array([value for _, value in line])])
        for point in points
        for line in _trial_curves(point)
    ]
    for lines, width in ((singles, 0.8), (means, 2.2 if len(points) < _MANY else 0.8)):
        collection = LineCollection([line for line in lines if len(line) > 1])
        collection.set(color=FAINT, linewidth=width, alpha=0.35 if lines is singles else 1, zorder=1.2)
        axes.add_collection(collection)
        if dots := [line[0] for line in lines if len(line) == 1]:
            x, y = np.transpose(dots)
            axes.scatter(x, y, s=12, color=FAINT, zorder=1.2)
    axes.autoscale_view()
    return [values for _, values in curves]


def _trial_curves(point: PointCurves) -> list[Points]:
    """Returns the curves of a point's trials that are drawn in addition to its mean."""
    finished = [curve.points for curve in point.curves if curve.finished and curve.points]
    others = [curve.points for curve in point.curves if not curve.finished and curve.points]
    return (finished if len(finished) > 1 else []) + others


def _mean_curve(point: PointCurves, metric: Metric) -> tuple[list[float], np.ndarray]:
    """Returns the epochs common to all finished trials of a point, and their mean in the displayed unit."""
    finished = [curve.points for curve in point.curves if curve.finished and curve.points]
    by_epoch: dict[float, list[float]] = {}
    for epoch, value in itertools.chain(*finished):
        by_epoch.setdefault(epoch, []).append(value)
    # A mean over fewer trials would jump where one ends.
    shared = [epoch for epoch in sorted(by_epoch) if len(by_epoch[epoch]) == len(finished)]
    return shared, metric.scale * np.array([np.mean(by_epoch[epoch]) for epoch in shared])


def _set_y_limits(axes: Axes, means: Sequence[np.ndarray], metric: Metric) -> None:
    """Cuts off the steep first part of curves if their ends would otherwise look identical."""
    drawn = [each for each in means if len(each) > 1]
    if not drawn or not metric.higher_is_better:
        return
    ends, highest = [each[-1] for each in drawn], max(each.max() for each in drawn)
    reach = max(_ENDS * (max(ends) - min(ends)), 0.02 * metric.scale)
    lowest = min(each.min() for each in drawn)
    if highest - reach > lowest:
        drawn_values = [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]
        top = max(highest, *(float(values.max()) for values in drawn_values if values.size))
        axes.set_ylim(highest - reach, top + 0.06 * reach)


def _label_ticks(axes: Axes, texts: Sequence[str]) -> None:
    """Labels the positions 0, 1, ...; slanted if there are many or long labels, and only some of very many."""
    every = -(-len(texts) // 40)
    chosen = range(0, len(texts), every)
    shown = [texts[place] for place in chosen]
    slanted = len(texts) > 8 or max((len(text) for text in shown), default=0) * len(shown) > 70
    if slanted:
        axes.set_xticks(list(chosen), [text.replace("\n", "  ") for text in shown], rotation=40, ha="right")
    else:
        axes.set_xticks(list(chosen), shown)
