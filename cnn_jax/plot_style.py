"""Colours and style of all plots."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart.
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
    """Makes the axes of a figure, an array [rows, columns], under a title."""
    with matplotlib.rc_context(STYLE):
        figure.suptitle(title, fontsize=fontsize)
        return figure.subplots(rows, columns, squeeze=False, sharey=sharey)


def new_figure(width: float, height: float) -> Figure:
    """A figure in this style; width and height in inches."""
    with matplotlib.rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def titled_axes(figure: Figure, title: str, x: str, y: str) -> Axes:
    """Makes the axes of a figure, with its title and the axes' labels."""
    with matplotlib.rc_context(STYLE):
        axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return axes
