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

# The rest of Okabe and Ito's palette, its yellow left out, which is too faint on white.
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))
COLOURED_CURVES = 20  # of more points, only the best and the baseline have a colour
_BEST = 5
_VALUE = 18  # characters of a value's label
_LISTED = 12  # points of a front that are named
_MANY = 200  # curves of more points are thin
COMPARED = 40  # points of a plot of differences
_ENDS = 4  # height of the learning curves' plot, in distances between the best and the worst end
_LOGARITHMIC_FROM = 8  # costs that differ by this factor stand on a logarithmic axis
TEST_LABEL = f"test {PRIMARY.label}"
BARS: Any = {"fmt": "o", "capsize": 4, "linewidth": 2, "markersize": 7, "zorder": 3}


class Curve(NamedTuple):
    """A metric of one trial over the epochs.

    Attributes:
      points: Pairs of epoch and value.
      finished: Whether the trial counts in its point's mean.
    """

    points: Points
    finished: bool


class PointCurves(NamedTuple):
    """The curves of one point's trials.

    Attributes:
      name: Name of the point.
      curves: Learning curves of its trials.
      baseline: Whether the others are compared with it.
    """

    name: str
    curves: Sequence[Curve]
    baseline: bool


class Cost(NamedTuple):
    """A point's price and worth.

    Attributes:
      name: Name of the point.
      cost: Mean over its trials.
      estimate: The primary metric over its trials.
    """

    name: str
    cost: float
    estimate: Estimate


def main_effect(field: str, groups: Sequence[Group], singles: Sequence[Sequence[float]], values: int) -> Figure:
    """Primary metric by the values of one field, over all values of the others.

    Args:
      field: Dotted name of the field.
      groups: Group of trials of each value that is shown.
      singles: Primary metric of the single trials of each group.
      values: Number of values that the field takes.

    Returns:
      The figure.
    """
    figure = new_figure(min(14, max(5.6, 2.2 + 0.62 * len(groups))), 4.4)
    left_out = f" ({len(groups)} best of {values:,} values)" if len(groups) < values else ""
    axes = titled_axes(figure, f"Main effect of {field}{left_out}", field, TEST_LABEL)
    for place, (group, single) in enumerate(zip(groups, singles, strict=True)):
        # Spread evenly, so that equal values stay apart; no chance, so that the same sweep gives the same picture.
        spread = np.linspace(-0.16, 0.16, len(single)) if len(single) > 1 else np.zeros(len(single))
        alpha = 0.45 if len(single) < _MANY else 0.15
        axes.scatter(place + spread, shown(single), s=20, color=GREY, alpha=alpha, linewidths=0)
        if group.estimate.mean is None:
            axes.text(place, 0.02, _lack(group), transform=axes.get_xaxis_transform(), ha="center", color=GREY)
    drawn = [(place, group.estimate) for place, group in enumerate(groups) if group.estimate.mean is not None]
    if drawn:
        places = [place for place, _ in drawn]
        means = shown([estimate.mean for _, estimate in drawn if estimate.mean is not None])
        axes.errorbar(places, means, reaches([estimate for _, estimate in drawn]), color=BLUE, **BARS)
    values_shown = plot_text.labels([value_text(group.values[0]) for group in groups], _VALUE)
    _ticks(axes, [f"{text}\nn={group.estimate.n}" for text, group in zip(values_shown, groups, strict=True)])
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.grid(visible=False, axis="x")
    return figure


def heat_map(rows: str, columns: str, groups: Sequence[Group]) -> Figure:
    """Mean of the primary metric for each pair of values of two fields.

    Args:
      rows, columns: Dotted names of the fields.
      groups: Group of trials of each pair of values that the sweep has, the row's value first.

    Returns:
      The figure; a pair with no finished trial says why there is none.
    """
    first, second = (_distinct([group.values[side] for group in groups]) for side in (0, 1))
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
        _cell(axes, place, means, cells.get((place[0], place[1])))
    return figure


def learning_curves(points: Sequence[PointCurves], split: str, metric: Metric = PRIMARY) -> Figure:
    """A metric over the epochs: a thin line for each trial, the mean of a point's finished trials thick.

    Args:
      points: Points, the best first.
      split: "train", "validation" or "test".
      metric: The metric.

    Returns:
      The figure; of more than COLOURED_CURVES points, only the five best and the baseline are told apart.
    """
    everyone = len(points) <= COLOURED_CURVES
    figure = new_figure(10.5, max(5.2, 1.2 + 0.27 * (len(points) if everyone else _BEST + 1)))
    images = "training" if split == "train" else split
    axes = titled_axes(figure, f"Learning curves on the {images} images", "epoch", f"{images} {metric.label}")
    coloured = [point for place, point in enumerate(points) if everyone or place < _BEST or point.baseline]
    others = [point for place, point in enumerate(points) if not (everyone or place < _BEST or point.baseline)]
    means = _draw_faint(axes, others, metric)
    # All colours with one dash come before the next dash.
    for (dash, colour), point in zip(itertools.product(_DASHES, _COLOURS), coloured, strict=False):
        label = plot_text.drawable(point.name, 48) + (" (baseline)" if point.baseline else "")
        means.append(_draw_curves(axes, point, colour, dash, label, metric))
    if others:
        axes.plot([], [], color=FAINT, linewidth=2.2, label=f"{len(others)} other points")
    _fit_height(axes, means, metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(loc="outside right upper", frameon=False, fontsize=10, title="best first", alignment="left")
    return figure


def trade_off(points: Sequence[Cost], x: str) -> Figure:
    """Primary metric against a cost, with the points that no other beats in both.

    Args:
      points: Points that have finished trials.
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
    """Differences from the baseline with their intervals.

    Args:
      named: Differences with at least one pair, and their points' names.
      baseline: Name of the baseline.

    Returns:
      The figure, the best at the top; of more than COMPARED points, those that differ most.
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
    """Values of the primary metric in the unit that they are shown in."""
    return PRIMARY.scale * np.asarray(values, float)


def reaches(estimates: Sequence[Estimate]) -> np.ndarray:
    """Half the width of each interval as shown, [2, n]; not a number where there is none, which draws no bar."""
    half = [
        (each.high - each.low) / 2 if each.high is not None and each.low is not None else np.nan for each in estimates
    ]
    return np.stack([shown(half)] * 2)


def _distinct(values: Sequence[object]) -> dict[str, tuple[int, str]]:
    """The place and the text of each different value, in the order in which they come."""
    found: dict[str, tuple[int, str]] = {}
    for value in values:
        found.setdefault(point_key([value]), (len(found), value_text(value)))
    return found


def _lack(group: Group) -> str:
    """Says why a group has no mean."""
    if group.n_infeasible and not group.n_failed and not group.n_unfinished:
        return "infeasible"
    if group.n_failed and not group.n_unfinished:
        return "failed"
    return "not done"


def _cell(axes: Axes, place: tuple[int, ...], means: np.ndarray, group: Group | None) -> None:
    """Writes what a cell of a heat map says, and hatches it where it has no mean."""
    row, column = place[0], place[1]
    if group is None:
        axes.text(column, row, "not in\nthe sweep", ha="center", va="center", color=GREY, fontsize=9)
        return
    mean = means[row, column]
    if np.isnan(mean):
        hatch = "///" if _lack(group) == "infeasible" else "..." if _lack(group) == "failed" else None
        patch = Rectangle(
            (column - 0.5, row - 0.5), 1, 1, facecolor="#EEEEEE", edgecolor=FAINT, hatch=hatch, linewidth=0
        )
        axes.add_patch(patch)
        box = {"facecolor": "#EEEEEE", "edgecolor": "none", "pad": 2}
        axes.text(column, row, _lack(group), ha="center", va="center", fontsize=10, bbox=box)
        return
    lowest, highest = np.nanmin(means), np.nanmax(means)
    bright = highest > lowest and (mean - lowest) / (highest - lowest) > 0.55
    text = f"{PRIMARY.form.format(mean)}\nn={group.estimate.n}" + (
        f"\n{group.n_failed} failed" if group.n_failed else ""
    )
    axes.text(column, row, text, ha="center", va="center", color="black" if bright else "white", fontsize=10)


def _draw_curves(axes: Axes, point: PointCurves, colour: str, dash: Any, label: str, metric: Metric) -> np.ndarray:
    """Draws a point's trials and their mean; gives the mean as shown, epoch by epoch."""
    for points in _single(point):
        epochs, values = zip(*points, strict=True)
        dot = "." if len(epochs) == 1 else None
        scaled = metric.scale * np.array(values)
        axes.plot(epochs, scaled, color=colour, linewidth=0.8, alpha=0.35, marker=dot, zorder=2.5)
    shared, means = _mean_curve(point, metric)
    marker = "o" if len(shared) == 1 else None
    axes.plot(shared, means, linewidth=2.2, linestyle=dash, marker=marker, color=colour, label=label, zorder=3.5)
    return means


def _draw_faint(axes: Axes, points: Sequence[PointCurves], metric: Metric) -> list[np.ndarray]:
    """Draws the trials and means of many points in grey; gives the means."""
    curves = [_mean_curve(point, metric) for point in points]
    means = [np.column_stack(curve) for curve in curves]
    singles = [
        np.column_stack([[epoch for epoch, _ in line], metric.scale * np.array([value for _, value in line])])
        for point in points
        for line in _single(point)
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


def _single(point: PointCurves) -> list[Points]:
    """The trials of a point that are drawn beside its mean."""
    finished = [curve.points for curve in point.curves if curve.finished and curve.points]
    others = [curve.points for curve in point.curves if not curve.finished and curve.points]
    return (finished if len(finished) > 1 else []) + others


def _mean_curve(point: PointCurves, metric: Metric) -> tuple[list[float], np.ndarray]:
    """The epochs that all finished trials of a point have, and their mean as shown at each."""
    finished = [curve.points for curve in point.curves if curve.finished and curve.points]
    by_epoch: dict[float, list[float]] = {}
    for epoch, value in itertools.chain(*finished):
        by_epoch.setdefault(epoch, []).append(value)
    # A mean over fewer would jump where one drops out.
    shared = [epoch for epoch in sorted(by_epoch) if len(by_epoch[epoch]) == len(finished)]
    return shared, metric.scale * np.array([np.mean(by_epoch[epoch]) for epoch in shared])


def _fit_height(axes: Axes, means: Sequence[np.ndarray], metric: Metric) -> None:
    """Cuts off the first, steep part of curves whose ends lie so close together that they would look like one."""
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


def _ticks(axes: Axes, texts: Sequence[str]) -> None:
    """Names the places 0, 1, ...; slanted where many or long, and only some of very many."""
    every = -(-len(texts) // 40)
    chosen = range(0, len(texts), every)
    shown = [texts[place] for place in chosen]
    slanted = len(texts) > 8 or max((len(text) for text in shown), default=0) * len(shown) > 70
    if slanted:
        axes.set_xticks(list(chosen), [text.replace("\n", "  ") for text in shown], rotation=40, ha="right")
    else:
        axes.set_xticks(list(chosen), shown)
