"""Plots of a run's report: learning curves, confusion matrix, calibration, step time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnn_jax import plot_text
from cnn_jax.plot_style import BLUE, FURTHER, GREEN, GREY, ORANGE, new_figure, titled_axes
from cnn_jax.report.classification import Calibration
from cnn_jax.run.metrics import Metric

if TYPE_CHECKING:  # sweeps draw reports without JAX, which step_profile imports
    from cnn_jax.report.step_profile import StepProfile

COLOURS = {"train": BLUE, "validation": GREEN, "test": ORANGE}
NAMES = {"train": "training (while learning)", "validation": "validation", "test": "test"}
_CLASS_LABEL, _OPERATION_LABEL = 24, 80  # maximum characters of a label
NUMBERED_CLASSES = 20  # a larger confusion matrix shows only colours

Points = Sequence[tuple[float, float]]


def curves(series: Mapping[str, Points], metric: Metric) -> Figure:
    """Plots a metric over the epochs.

    Args:
      series: Points (epoch, value) by split: "train", "validation", "test".
      metric: The metric.

    Returns:
      The figure.
    """
    figure = new_figure(6.4, 4.2)
    axes = titled_axes(figure, metric.heading, "epoch", metric.label)
    for split, points in series.items():
        if points:
            epochs, values = zip(*points, strict=True)
            shown = metric.scale * np.asarray(values, float)
            axes.plot(epochs, shown, marker="o", markersize=4, color=COLOURS[split], label=NAMES[split])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def learning_rate(points: Points) -> Figure:
    """Plots the learning rate over the epochs."""
    figure = new_figure(6.4, 3.4)
    axes = titled_axes(figure, "Learning rate", "epoch", "learning rate")
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, color=BLUE, marker="o" if len(points) < 3 else None)
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Plots a confusion matrix: counts, coloured by their share of the true class."""
    classes = len(class_names)
    numbered = classes <= NUMBERED_CLASSES
    side = 2.8 + (0.62 * classes if numbered else 6)
    figure = new_figure(side + 1, side)
    axes = titled_axes(figure, "Confusion matrix of the test images", "predicted class", "true class")
    axes.grid(visible=False)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of the true class")
    if numbered:
        labels = plot_text.labels(class_names, _CLASS_LABEL)
        axes.set_xticks(range(classes), labels, rotation=45, ha="right")
        axes.set_yticks(range(classes), labels)
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=10)
    return figure


def reliability(calibration: Calibration) -> Figure:
    """Plots accuracy against confidence, with the diagonal of perfect calibration."""
    figure = new_figure(5.2, 4.6)
    axes = titled_axes(
        figure,
        f"Calibration (expected error {calibration.error:.3f})",
        "confidence (probability of the predicted class)",
        "accuracy",
    )
    filled = calibration.counts > 0
    width = np.diff(calibration.edges)
    axes.bar(
        calibration.edges[:-1][filled],
        calibration.accuracy[filled],
        width[filled],
        align="edge",
        color=BLUE,
        alpha=0.75,
        edgecolor="white",
        label="accuracy in the bin",
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="upper left")
    return figure


def step_time(profile: StepProfile, count: int) -> Figure:
    """Plots the longest operations of a step, labelled by layer and coloured by kind.

    Args:
      profile: Profile of a step.
      count: Number of operations to show.

    Returns:
      The figure.
    """
    longest = profile.operations[:count]
    figure = new_figure(9.6, 1.6 + 0.28 * len(longest))
    axes = titled_axes(figure, "The longest operations of a step", "milliseconds of a step", "")
    kinds = [kind for kind, _, _ in profile.kinds]
    colours = dict(zip(kinds, (BLUE, ORANGE, GREEN, *FURTHER), strict=False))
    for kind in kinds:
        positions = [index for index, operation in enumerate(longest) if operation.kind == kind]
        if positions:
            spent = [longest[index].milliseconds for index in positions]
            axes.barh(positions, spent, color=colours[kind], label=kind)
    names = [" ".join(filter(None, (operation.layer, operation.name))) for operation in longest]
    axes.set_yticks(range(len(longest)), [plot_text.drawable(name, _OPERATION_LABEL) for name in names], fontsize=9)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.legend(frameon=False, loc="lower right")
    return figure
