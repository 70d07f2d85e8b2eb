"""Figures of receptive fields: sizes by layer, and fields drawn on a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cnn_jax import bands, plot_text
from cnn_jax.inspect.receptive_field import THRESHOLD, ReceptiveField
from cnn_jax.plot_style import BLUE, GREY, ORANGE, STYLE, new_figure, titled_grid

_LABEL = 30  # maximum characters of a layer's name
_COLUMNS = 4


def sizes(fields: Sequence[ReceptiveField]) -> Figure:
    """Plots the theoretical and the effective size of the receptive field of each layer.

    Args:
      fields: Fields of the layers, in order.

    Returns:
      The figure.
    """
    figure = new_figure(max(6.4, 2.4 + 0.42 * len(fields)), 4.8)
    with matplotlib.rc_context(STYLE):
        axes = figure.subplots()
    positions = range(len(fields))
    axes.plot(positions, [each.theoretical_size for each in fields], "s-", color=BLUE, label="theoretical")
    if any(each.size_inside < each.theoretical_size for each in fields):
        inside = [each.size_inside for each in fields]
        axes.plot(positions, inside, "^--", color=GREY, label="theoretical, inside the image")
    effective = [each.effective_size for each in fields]
    axes.plot(
        positions, effective, "o-", color=ORANGE, label=f"effective (gradient above {THRESHOLD:.2%} of the largest)"
    )
    axes.set_xticks(positions, plot_text.labels([each.layer for each in fields], _LABEL), rotation=45, ha="right")
    axes.set(title="Receptive field of the middle unit", ylabel="square root of its area, pixels")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left")
    return figure


def drawn(fields: Sequence[ReceptiveField], picture: UInt8[np.ndarray, "h w c"]) -> Figure:
    """Draws the receptive field of the middle unit of each layer on a picture.

    Args:
      fields: Fields of the layers; each gets a panel.
      picture: Pixels, 0 to 255, of the fields' image size.

    Returns:
      The figure, with the theoretical field as a rectangle, and the effective one brightened and outlined.
    """
    figure, panels = _panels(fields, "Receptive fields of middle units on a picture")
    for axes, field in zip(panels, fields, strict=False):
        shade = np.where(field.effective, 1.0, 0.45)[..., None]
        shown = np.rint(picture * shade + 255 * 0.25 * (1 - shade)).astype(np.uint8)
        axes.imshow(bands.shown(shown), cmap="gray", vmin=0, vmax=255)
        _outline(axes, field.effective)
    return figure


def gradients(fields: Sequence[ReceptiveField]) -> Figure:
    """Draws the gradients of the middle unit of each layer with respect to the pixels.

    Args:
      fields: Fields of the layers; each gets a panel.

    Returns:
      The figure, with gradients relative to the maximum, the theoretical field as a rectangle, and the effective one
      outlined.
    """
    figure, panels = _panels(fields, "Gradients of middle units with respect to the pixels")
    image = None
    for axes, field in zip(panels, fields, strict=False):
        largest = float(field.gradients.max())
        if not largest:
            axes.text(0.5, 0.5, "depends on\nno pixel", transform=axes.transAxes, ha="center", va="center")
        image = axes.imshow(field.gradients / (largest or 1), cmap="gray", vmin=0, vmax=1)
        _outline(axes, field.effective)
    if image is not None:
        figure.colorbar(image, ax=panels, shrink=0.6, label="share of the maximum gradient")
    return figure


def _panels(fields: Sequence[ReceptiveField], title: str) -> tuple[Figure, list[Axes]]:
    """Creates a figure with a panel for each field, with title and theoretical field."""
    columns = min(_COLUMNS, len(fields))
    rows = math.ceil(len(fields) / columns)
    figure = new_figure(max(2.6 * columns, 6.4), 3.0 * rows + 0.9)
    title = f"{title}\ntheoretical: blue box; effective: dashed orange outline"
    panels = list(titled_grid(figure, rows, columns, title, fontsize=12).ravel())
    for axes in panels:
        axes.axis("off")
    for axes, field in zip(panels, fields, strict=False):
        (height, width), (top, left, tall, wide) = field.gradients.shape, field.box
        box = [max(top, 0), max(left, 0), min(top + tall, height), min(left + wide, width)]
        corner, size = (box[1] - 0.5, box[0] - 0.5), (box[3] - box[1], box[2] - box[0])
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=BLUE, linewidth=4, clip_on=False))
        beyond = ", beyond the image" if (wide, tall) != size else ""
        name = plot_text.drawable(field.layer, _LABEL)
        axes.set_title(f"{name}\n{tall}x{wide}{beyond}\neffective {field.effective_size:.1f}", fontsize=10)
    return figure, panels


def _outline(axes: Axes, inside: Bool[np.ndarray, "h w"]) -> None:
    """Draws the edges between pixels inside and outside a region."""
    padded = np.pad(inside, 1)
    rows, columns = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    axes.vlines(columns - 0.5, rows - 0.5, rows + 0.5, color=ORANGE, linewidth=1.6, linestyle=(0, (2, 1)))
    rows, columns = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    axes.hlines(rows - 0.5, columns - 0.5, columns + 0.5, color=ORANGE, linewidth=1.6, linestyle=(0, (2, 1)))
