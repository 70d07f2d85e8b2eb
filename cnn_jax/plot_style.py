"""Colors and style of all plots."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, which color-blind readers can distinguish.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
FAINT = "#BBBBBB"
FURTHER = ("#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.dpi": 120,
}


def titled_grid(
    figure: Figure,
    rows: int,
    columns: int,
    title: str,
    fontsize: float | str = "large",
    sharey: Literal["none", "row"] = "none",
) -> Any:
    """Creates a figure's title and axes, an array [rows, columns]."""
    with matplotlib.rc_context(STYLE):
        figure.suptitle(title, fontsize=fontsize)
        return figure.subplots(rows, columns, squeeze=False, sharey=sharey)


def new_figure(width: float, height: float) -> Figure:
    """Creates a figure in this style, with width and height in inches."""
    with matplotlib.rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def titled_axes(figure: Figure, title: str, x: str, y: str) -> Axes:
    """Creates the axes of a figure with a title and labels."""
    with matplotlib.rc_context(STYLE):
        axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return axes
