"""Plots of fields with many numeric values, as in a random search: continuous axes, one dot per trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnn_jax import plot_text
from cnn_jax.plot_style import BLUE, GREY, new_figure, titled_axes
from cnn_jax.report.sweep_plots import BARS, TEST_LABEL, reaches, shown
from cnn_jax.run.metrics import PRIMARY, Metric
from cnn_jax.sweep.statistics import estimate

LOGARITHMIC_FROM = 8  # positive values that differ by more than this factor may get a logarithmic axis
_PARTS, _PART = 12, 8  # bins of a main effect: maximum number, minimum trials per bin
_LONGEST = 18  # maximum characters of a value
WORST = 0.05  # share of the worst trials that may be outside the colour scale of a pair plot


class Dot(NamedTuple):
    """A finished trial.

    Attributes:
      values: Values of the plot's fields.
      metric: The primary metric.
    """

    values: tuple[float, ...]
    metric: float


def continuous_effect(field: str, dots: Sequence[Dot], unset: Sequence[float]) -> Figure:
    """Plots the primary metric against one field, over all values of the others.

    Args:
      field: Dotted name of the field.
      dots: Finished trials that set the field, at least one.
      unset: Primary metric of the finished trials that do not set it.

    Returns:
      The figure, with each trial, and the mean and 95 % interval of bins with equal numbers of trials.
    """
    figure = new_figure(6.4, 4.4)
    without = f"\n(not set: n={len(unset)}, mean {PRIMARY.shown(float(np.mean(unset)))})" if unset else ""
    axes = titled_axes(figure, f"Main effect of {field}", f"{field}{without}", TEST_LABEL)
    order = np.argsort([dot.values[0] for dot in dots], kind="stable")
    x = np.array([dots[place].values[0] for place in order])
    metric = np.array([dots[place].metric for place in order])
    axes.scatter(x, shown(metric), s=max(4, min(20, 8000 / len(x))), color=GREY, alpha=0.4, linewidths=0)
    parts = min(_PARTS, len(x) // _PART)
    if parts > 1:
        places, values = (np.array_split(each, parts) for each in (x, metric))
        estimates = [estimate(part.tolist()) for part in values]
        means = shown([each.mean or 0.0 for each in estimates])
        axes.errorbar([float(np.median(part)) for part in places], means, reaches(estimates), color=BLUE, **BARS)
        _set_y_limits(axes, shown(metric), means)
    _choose_scale(axes, "x", x)
    return figure


def pair(fields: tuple[str, str], dots: Sequence[Dot], texts: tuple[Sequence[str], Sequence[str]]) -> Figure:
    """Plots the primary metric of the trials by two fields.

    Args:
      fields: Dotted names, the horizontal field first.
      dots: Finished trials that set both, at least one; for a field with texts, the values are indices into them.
      texts: For each field, the texts of its values; empty for a continuous axis.

    Returns:
      The figure; the best trials are drawn on top.
    """
    figure = new_figure(6.4, 5.0)
    axes = titled_axes(figure, f"{PRIMARY.heading} of the trials", *fields)
    order = np.argsort([PRIMARY.gain(dot.metric) for dot in dots], kind="stable")
    metric = shown([dots[place].metric for place in order])
    places = []
    for side, words in enumerate(texts):
        values = np.array([dots[place].values[side] for place in order], float)
        if words:
            values += spread(len(values))
            ticks = axes.set_xticks if side == 0 else axes.set_yticks
            ticks(range(len(words)), plot_text.labels(words, _LONGEST))
        else:
            _choose_scale(axes, "xy"[side], values)
        places.append(values)
    low, high = bounds(metric, PRIMARY)
    least, greatest = (low, high) if low < high else (None, None)
    size = max(6, min(36, 14000 / len(metric)))
    x, y = places
    drawn = axes.scatter(x, y, c=metric, s=size, cmap="viridis", linewidths=0, vmin=least, vmax=greatest)
    extends = "neither" if low <= metric.min() and metric.max() <= high else "min" if metric.min() < low else "max"
    figure.colorbar(drawn, ax=axes, shrink=0.9, extend=extends).set_label(TEST_LABEL)
    return figure


def bounds(values: np.ndarray, metric: Metric, worst: float = WORST) -> tuple[float, float]:
    """Computes the limits of a metric's axis.

    Args:
      values: Values, at least one.
      metric: The metric.
      worst: Share of the worst values that may be outside the axis.
    """
    low, high = np.quantile(values, [worst, 1] if metric.higher_is_better else [0, 1 - worst])
    return float(low), float(high)


def spread(count: int) -> np.ndarray:
    """Returns deterministic offsets that separate dots at the same position."""
    return (np.arange(count) * 0.618034 % 1 - 0.5) * 0.5


def _choose_scale(axes: Axes, axis: str, values: np.ndarray) -> None:
    """Makes an axis logarithmic if that spreads the values more evenly."""
    is_wide = values.min() > 0 and values.max() > LOGARITHMIC_FROM * values.min()
    if is_wide and _unevenness(np.log(values)) < _unevenness(values):
        axes.set(**{f"{axis}scale": "log"})


def _unevenness(values: np.ndarray) -> float:
    """Returns the distance of the median from the middle of the range, as a share of the range."""
    low, high = values.min(), values.max()
    return abs(float((np.median(values) - low) / (high - low)) - 0.5)


def _set_y_limits(axes: Axes, metric: np.ndarray, means: np.ndarray) -> None:
    """Cuts off the worst few trials if the means would otherwise look identical."""
    low, high = bounds(metric, PRIMARY, WORST / 2)
    low, high = min(low, means.min()), max(high, means.max())
    margin = 0.06 * (high - low)
    if margin > 0:
        axes.set_ylim(low - margin, high + margin)
