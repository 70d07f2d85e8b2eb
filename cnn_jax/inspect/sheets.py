"""Figures with a fixed layout: sheets of small maps on one scale, and panels of maps with a scale each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from cnn_jax import bands

STYLE: Any = {"font.size": 10, "axes.titlesize": 11, "figure.dpi": 120, "axes.linewidth": 0.6}
_WIDEST, _TALLEST = 8.6, 9.0  # approximate maximum size of a sheet in inches
_LETTER = 0.092  # average width of a title's letter in inches
_LARGEST_TILE = 0.9  # inches
_MARGIN, _TITLE, _LABEL, _BAR, _GAP = 0.12, 0.34, 0.17, 1.0, 0.05  # inches


@dataclasses.dataclass(frozen=True)
class Scale:
    """Scale of the colours of a map.

    Attributes:
      low: Value of the first colour.
      high: Value of the last colour.
      label: Name of the values.
      colours: Name of matplotlib's colour map.
    """

    low: float
    high: float
    label: str
    colours: str

    @classmethod
    def of(cls, values: np.ndarray, label: str) -> Scale:
        """Creates a scale: white is 0, blue negative, red positive; without negative values, dark is large."""
        limit = float(np.abs(values).max(initial=0.0)) or 1.0
        if (values < 0).any():
            return cls(-limit, limit, label, "RdBu_r")
        return cls(0.0, limit, label, "Reds")


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels of a sheet of tiles.

    Attributes:
      title: Title of the sheet.
      tiles: Label over each tile, row by row; empty for none.
      rows: Label to the left of each row; empty for none.
      columns: Label over each column; empty for none.
    """

    title: str
    tiles: Sequence[str] = ()
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()


def sheet(
    tiles: Float[np.ndarray, "n h w ..."],
    columns: int,
    labels: Labels,
    scale: Scale | None = None,
    picture: UInt8[np.ndarray, "ph pw c"] | None = None,
) -> Figure:
    """Draws maps of equal size on one scale.

    Args:
      tiles: Maps, row by row; colours have three channels from 0 to 1.
      columns: Number of tiles in a row.
      labels: Labels of the sheet.
      scale: Scale of the maps; None for colours.
      picture: Picture to draw on the left, pixels 0 to 255.

    Returns:
      The figure.
    """
    count, height, width = tiles.shape[:3]
    rows = -(-count // columns)
    left = (0.45 if labels.rows else 0.0) + (1.8 if picture is not None else 0.0) + _MARGIN
    right = _BAR if scale is not None else _MARGIN
    largest = min(_LARGEST_TILE if count > 1 else 6 * _LARGEST_TILE, _TALLEST / rows)
    cell = min(largest, (_WIDEST - left - right) / columns)
    tile = (cell * min(1, height / width), cell * min(1, width / height))
    over = _LABEL if labels.tiles else 0.0
    step = (tile[0] + _GAP + over, tile[1] + _GAP)
    top = _TITLE + (_LABEL if labels.columns else 0.0)
    least = max(1.2 if scale is not None else 0.0, 1.8 if picture is not None else 0.0)
    written = 2 * _MARGIN + _LETTER * len(labels.title)
    size = (max(left + columns * step[1] + right, written), top + max(rows * step[0], least) + _MARGIN)
    with new_figure(*size) as figure:
        figure.text(_MARGIN / size[0], 1 - 0.08 / size[1], labels.title, va="top", fontsize=11)
        canvas = np.ones((int(size[1] * figure.dpi), int(size[0] * figure.dpi), 3))
        for place in range(count):
            row, column = divmod(place, columns)
            x, y = left + column * step[1], size[1] - top - row * step[0] - over - tile[0]
            _draw_tile(canvas, figure.dpi, (size[1] - y - tile[0], x), tile, tiles[place], scale)
            middle, above = (x + tile[1] / 2) / size[0], (y + tile[0] + 0.02) / size[1]
            if labels.tiles:
                figure.text(middle, above, labels.tiles[place], **_SMALL)
            if labels.columns and row == 0:
                figure.text(middle, above, labels.columns[column], **_SMALL)
            if labels.rows and column == 0:
                place_left = (x - 0.05) / size[0], (y + tile[0] / 2) / size[1]
                figure.text(*place_left, labels.rows[row], fontsize=8, ha="right", va="center")
        figure.figimage(canvas, 0, 0, origin="upper").set_zorder(-1)
        if picture is not None:
            draw_picture(_axes(figure, (_MARGIN, size[1] - top - over - 1.6, 1.6, 1.6), anchor="NW"), picture)
        if scale is not None:
            length = min(max(rows * step[0], least) - over - 0.1, 2.4)
            _bar(figure, (left + columns * step[1] + 0.08, size[1] - top - over - length, 0.13, length), scale)
    return figure


def _draw_tile(
    canvas: Float[np.ndarray, "ph pw 3"],
    dpi: float,
    place: tuple[float, float],
    size: tuple[float, float],
    values: np.ndarray,
    scale: Scale | None,
) -> None:
    """Draws a map with a thin frame on a canvas, with `place` (top, left) and `size` (height, width) in inches.

    Matplotlib's axes and images would take seconds for the hundreds of maps of a sheet.
    """
    height, width = (max(1, round(inches * dpi)) for inches in size)
    if scale is not None:
        grown = _resized(values.astype(np.float32), (height, width))
        steps = np.clip((grown - scale.low) * (256 / (scale.high - scale.low)), 0, 255).astype(np.uint8)
        colours = _palette(scale.colours)[steps]
    else:
        channels = np.moveaxis(values.astype(np.float32), -1, 0)
        colours = np.stack([_resized(channel, (height, width)) for channel in channels], -1)
    top, left = (round(inches * dpi) for inches in place)
    canvas[top - 1 : top + height + 1, left - 1 : left + width + 1] = 0.62
    canvas[top : top + height, left : left + width] = np.clip(colours, 0, 1)


@functools.cache
def _palette(name: str) -> Float[np.ndarray, "256 3"]:
    """Returns the colours of a colour map."""
    return matplotlib.colormaps[name](np.arange(256))[:, :3]


def _resized(values: Float[np.ndarray, "h w"], size: Sequence[int]) -> Float[np.ndarray, "oh ow"]:
    """Resizes by repeating pixels, or by averaging blocks."""
    smaller = size[0] < values.shape[0] or size[1] < values.shape[1]
    method = Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), method))


@dataclasses.dataclass(frozen=True)
class Panel:
    """One map of a figure of panels.

    Attributes:
      title: Title over it.
      values: The map; None if there is none.
      scale: Its scale; None if there is no map.
      remark: Note under the title, for example that a map is zero everywhere; may be empty.
    """

    title: str
    values: Float[np.ndarray, "h w"] | None
    scale: Scale | None
    remark: str = ""


def panels(picture: UInt8[np.ndarray, "h w c"], parts: Sequence[Panel]) -> Figure:
    """Draws a picture and maps of it, each with its scale.

    Args:
      picture: Pixels, 0 to 255.
      parts: The maps.

    Returns:
      The figure.
    """
    columns = 3
    side, bar, over = 2.1, 0.85, 0.42  # inches
    height, width = picture.shape[:2]
    tile = (side * min(1, height / width), side * min(1, width / height))
    rows = -(-(1 + len(parts)) // columns)
    size = (columns * (side + bar) + _MARGIN, rows * (side + over) + _MARGIN)
    with new_figure(*size) as figure:
        for place, panel in enumerate((Panel("picture", None, None), *parts)):
            row, column = divmod(place, columns)
            x, y = _MARGIN + column * (side + bar), size[1] - (row + 1) * (side + over) + side - tile[0]
            box = (x, y, tile[1], tile[0])
            words = panel.title + (f"\n{panel.remark}" if panel.remark else "")
            figure.text(x / size[0], (y + tile[0] + 0.05) / size[1], words, va="bottom", fontsize=10, linespacing=1.1)
            if place == 0:
                draw_picture(_axes(figure, box), picture)
            elif panel.values is not None and panel.scale is not None:
                _image(figure, box, panel.values, panel.scale)
                _bar(figure, (x + tile[1] + 0.06, y, 0.1, tile[0]), panel.scale)
            else:
                axes = _axes(figure, box)
                axes.axis("on")
                axes.set(xticks=[], yticks=[])
                axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes, color="#666666")
    return figure


def draw_picture(axes: Axes, picture: UInt8[np.ndarray, "h w c"]) -> None:
    """Draws a picture.

    Args:
      axes: Axes to draw on.
      picture: Pixels, 0 to 255.
    """
    axes.imshow(bands.shown(picture), cmap="gray", vmin=0, vmax=255)


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """Context manager that creates a figure of a size in inches, with the style of sheets."""
    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=(width, height), facecolor="white")


_SMALL: Any = {"fontsize": 8, "ha": "center", "va": "bottom"}


def _axes(figure: Figure, box: tuple[float, float, float, float], anchor: str = "C") -> Axes:
    """Creates axes without frame and ticks at (left, bottom, width, height) in inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height), anchor=anchor)
    axes.axis("off")
    return axes


def _image(figure: Figure, box: tuple[float, float, float, float], values: np.ndarray, scale: Scale | None) -> Axes:
    axes = _axes(figure, box)
    axes.axis("on")
    axes.set(xticks=[], yticks=[])
    if scale is None:
        axes.imshow(values, aspect="auto")
    else:
        axes.imshow(values, aspect="auto", cmap=scale.colours, vmin=scale.low, vmax=scale.high)
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color="#999999")
    return axes


def _bar(figure: Figure, box: tuple[float, float, float, float], scale: Scale) -> None:
    axes = _axes(figure, box)
    axes.axis("on")
    bar = figure.colorbar(ScalarMappable(Normalize(scale.low, scale.high), scale.colours), cax=axes)
    bar.set_ticks([scale.low, (scale.low + scale.high) / 2, scale.high])
    bar.set_ticklabels([f"{value:.2g}" for value in (scale.low, (scale.low + scale.high) / 2, scale.high)])
    bar.ax.tick_params(labelsize=8, length=2)
    if scale.label:
        bar.set_label(scale.label, fontsize=8)
