"""Parts that figures of the lecture companion share: grids of numbers, pictures, maps drawn as boxes, bars."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from cnn_jax import ops
from cnn_jax.plot_style import BLUE, ORANGE, STYLE, new_figure
from cnn_jax.words import by

GREY_FACE = "#E8EDF2"


def axes_of(
    width: float, height: float, columns: int = 1, rows: int = 1, **options: object
) -> tuple[Figure, list[Axes]]:
    """Makes a figure with a row, or rows, of axes.

    Args:
      width, height: Size of the figure in inches.
      columns, rows: Numbers of axes.
      **options: Options of `Figure.subplots`.

    Returns:
      The figure, and its axes row by row.
    """
    figure = new_figure(width, height)
    with matplotlib.rc_context(STYLE):
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def convolve(image: np.ndarray, kernel: np.ndarray, **options: object) -> np.ndarray:
    """Convolves one image of one channel; options as of `ops.conv2d`."""
    image, kernel = jnp.asarray(image, jnp.float32), jnp.asarray(kernel, jnp.float32)
    return np.asarray(ops.conv2d(image[None, :, :, None], kernel[:, :, None, None], **options))[0, :, :, 0]


def picture(
    axis: Axes, values: np.ndarray, title: str = "", signed: bool = False, caption: str = "", bound: float | None = None
) -> None:
    """Shows a picture without its axes: grey, in colour, or signed, with zero white, positive red and negative blue.

    Args:
      axis: Where.
      values: [rows, columns], or [rows, columns, 3] in 0 to 1.
      title: Text above it.
      signed: Whether it is shown in red and blue.
      caption: Text below it.
      bound: Value that is shown as white, or as the strongest red; None takes what occurs.
    """
    if signed:
        bound = bound or float(np.abs(values).max()) or 1.0
        colours = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}
    else:
        colours = {"cmap": "gray"} if bound is None else {"cmap": "gray", "vmin": 0, "vmax": bound}
    axis.imshow(values, interpolation="nearest", **colours)
    axis.set_title(title, fontsize=11)
    axis.set_xlabel(caption, fontsize=10)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color("#999999")


def numbers(axis: Axes, values: np.ndarray, title: str = "", faces: np.ndarray | None = None, size: float = 12) -> None:
    """Shows a grid of numbers.

    Args:
      axis: Where.
      values: [rows, columns].
      title: Title of the grid.
      faces: Colour of each cell, [rows, columns]; None leaves them white.
      size: Size of the numbers in points.
    """
    rows, columns = values.shape
    for row in range(rows):
        for column in range(columns):
            face = "white" if faces is None else str(faces[row, column])
            axis.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor="#888888"))
            axis.text(column + 0.5, row + 0.52, f"{values[row, column]:g}", ha="center", va="center", fontsize=size)
    axis.set(xlim=(-0.02, columns + 0.02), ylim=(rows + 0.02, -0.02), aspect="equal")
    axis.set_title(title, fontsize=11)
    axis.axis("off")


def boxes(axis: Axes, shapes: Sequence[tuple[int, ...]], names: Sequence[str]) -> None:
    """Draws maps as blocks: height by the size of the maps, width by the root of their number.

    Args:
      axis: Where.
      shapes: (height, width, maps) of each block, or (values,) of a vector.
      names: Name of each block.
    """
    left, tallest = 0.0, max(shape[0] for shape in shapes if len(shape) == 3)
    for shape, name in zip(shapes, names, strict=True):
        height = shape[0] if len(shape) == 3 else tallest * min(1.0, 0.12 + shape[0] / 900)
        width = (shape[2] ** 0.5 if len(shape) == 3 else 0.7) * tallest / 32
        tilt = height * 0.35 if len(shape) == 3 else 0.0
        low = -height / 2
        side = [(left + width, low), (left + width + tilt, low + tilt), (left + width + tilt, low + tilt + height)]
        top = [(left, low + height), (left + tilt, low + tilt + height)]
        axis.add_patch(Polygon([*side, (left + width, low + height)], facecolor="#9FC3DE", edgecolor="#444444", lw=0.7))
        axis.add_patch(
            Polygon(
                [top[0], top[1], side[2], (left + width, low + height)],
                facecolor="#CFE2F0",
                edgecolor="#444444",
                lw=0.7,
            )
        )
        axis.add_patch(Rectangle((left, low), width, height, facecolor=BLUE, edgecolor="#444444", lw=0.7, alpha=0.85))
        axis.text(left + width / 2, -tallest * 0.62, f"{name}\n{by(shape)}", ha="center", va="top", fontsize=10)
        left += max(width + tilt + tallest * 0.12, tallest * 0.52)
    axis.set(xlim=(-tallest * 0.2, left), ylim=(-tallest * 0.9, tallest * 0.86), aspect="equal")
    axis.axis("off")


def shares(axis: Axes, names: Sequence[str], parameters: Sequence[float], work: Sequence[float]) -> None:
    """Draws the share of each layer in the parameters and in the multiply-adds, in percent."""
    places = np.arange(len(names))
    for offset, values, label, colour in ((-0.2, parameters, "parameters", BLUE), (0.2, work, "multiply-adds", ORANGE)):
        percent = 100 * np.asarray(values, float) / sum(values)
        axis.bar(places + offset, percent, 0.4, label=label, color=colour)
        for place, value in zip(places, percent, strict=True):
            if value >= 0.5:
                axis.text(place + offset, value + 0.8, f"{value:.0f}", ha="center", fontsize=9)
    axis.set_xticks(places, names)
    axis.set_ylabel("percent of the network")
    axis.grid(False, axis="x")
    axis.legend(frameon=False)
