"""Figures of a network's behaviour on changed pictures, and of the effect of padding at the border."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cnn_jax import bands, plot_text
from cnn_jax.inspect.behaviour import Behaviour
from cnn_jax.inspect.border import LayerBorder
from cnn_jax.inspect.changes import UNITS, Pictures, change
from cnn_jax.plot_style import BLUE, FURTHER, GREEN, GREY, ORANGE, new_figure, titled_grid

_LABEL = 34  # maximum characters of a layer's name
_MARKERS = "osD^vPX*"


def curves(measured: Sequence[Behaviour]) -> Figure:
    """Plots accuracy, agreement and feature distance against the strength of each change.

    Args:
      measured: Entries of one network.

    Returns:
      The figure, with a column for each change, shares above and distances below.
    """
    figure = new_figure(max(2.7 * len(measured), 5.6), 5.6)
    title = f"Changed pictures ({measured[0].images:,} pictures)"
    grid = titled_grid(figure, 2, len(measured), title, sharey="row")
    for column, each in enumerate(measured):
        shares, distances = grid[:, column]
        if each.accuracy is not None:
            shares.plot(each.levels, 100 * each.accuracy, "o-", color=BLUE, markersize=4, label="accuracy")
        shares.plot(
            each.levels, 100 * each.agreement, "s--", color=ORANGE, markersize=4, label="same class as unchanged"
        )
        distances.plot(each.levels, each.feature_distance, "D-", color=GREEN, markersize=4)
        distances.axhline(1, color=GREY, linestyle=":", linewidth=1)
        shares.set(title=each.change, ylim=(0, 102))
        distances.set_xlabel(UNITS[each.change], fontsize=10)
        distances.set_ylim(bottom=0)
    grid[0, 0].set_ylabel("% of the pictures")
    grid[1, 0].set_ylabel("feature distance\n(1: another picture)")
    grid[0, 0].legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def examples(picture: Pictures, measured: Sequence[Behaviour], seed: int = 0) -> Figure:
    """Draws one picture under every change.

    Args:
      picture: Pixels of one picture, 0 to 255, [1, h, w, c].
      measured: Entries whose changes and levels are drawn.
      seed: Seed of noise and occlusion.

    Returns:
      The figure, with a row for each change.
    """
    columns = max(len(each.levels) for each in measured)
    figure = new_figure(1.35 * columns + 0.9, 1.6 * len(measured) + 0.6)
    grid = titled_grid(figure, len(measured), columns, "The changes, and their strengths")
    for row, each in zip(grid, measured, strict=True):
        for index, axes in enumerate(row):
            _without_frame(axes)
            if index >= len(each.levels):
                continue
            shown = change(each.change, picture, each.levels[index], seed)[0]
            axes.imshow(bands.shown(shown), cmap="gray", vmin=0, vmax=255)
            axes.set_title(f"{each.levels[index]:g}", fontsize=9)
        row[0].set_ylabel(each.change, fontsize=11)
    return figure


def border_profiles(borders: Sequence[LayerBorder]) -> Figure:
    """Plots the mean activation against the distance from the border, a panel for each layer.

    Args:
      borders: Entries of one network.

    Returns:
      The figure; the network's own padding is drawn thicker.
    """
    layers, paddings = _layers(borders), _paddings(borders)
    columns = min(3, len(layers))
    rows = -(-len(layers) // columns)
    figure = new_figure(max(3.3 * columns, 6.4), 2.9 * rows + 1.3)
    grid = titled_grid(figure, rows, columns, "Mean activation by distance from the border")
    colours = dict(zip(paddings, (BLUE, ORANGE, GREEN, *FURTHER), strict=False))
    markers = dict(zip(paddings, _MARKERS, strict=False))
    for axes in grid.ravel()[len(layers) :]:
        axes.axis("off")
    for axes, layer in zip(grid.ravel(), layers, strict=False):
        for each in borders:
            if each.layer == layer:
                wide, key = (2.8 if each.own else 1.3), each.paddings
                axes.plot(each.profile, color=colours[key], marker=markers[key], markersize=4, linewidth=wide)
        axes.set_title(plot_text.drawable(layer, _LABEL), fontsize=11)
        axes.set_xlabel("distance from the border", fontsize=10)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if min(each.means.min() for each in borders if each.layer == layer) >= 0:
            axes.set_ylim(bottom=0)
    for axes in grid[:, 0]:
        axes.set_ylabel("mean activation")
    handles = [
        Line2D([], [], color=colours[key], marker=markers[key], linewidth=2.8 if own else 1.3)
        for key, own in paddings.items()
    ]
    names = [_name(key, own) for key, own in paddings.items()]
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    return figure


def border_maps(borders: Sequence[LayerBorder]) -> Figure:
    """Draws the mean activation at every position, with a row for each padding and a column for each layer.

    Args:
      borders: Entries of one network.

    Returns:
      The figure, with one scale per column.
    """
    layers, paddings = _layers(borders), _paddings(borders)
    known = {(each.paddings, each.layer): each.means for each in borders}
    figure = new_figure(max(2.2 * len(layers) + 1.2, 5.6), 2.0 * len(paddings) + 1.1)
    grid = titled_grid(figure, len(paddings), len(layers), "Mean activation at every position of a layer's maps")
    for column, layer in enumerate(layers):
        some = [means for (_, name), means in known.items() if name == layer]
        low, high = (float(bound(list(map(bound, some)))) for bound in (np.min, np.max))
        image = None
        for row, (padding, own) in enumerate(paddings.items()):
            axes = grid[row, column]
            _without_frame(axes)
            means = known.get((padding, layer))
            if means is not None:
                image = axes.imshow(means, cmap="viridis", vmin=low, vmax=max(high, low + 1e-12))
            if column == 0:
                axes.set_ylabel(_name(padding, own).replace(", ", ",\n"), fontsize=9)
        grid[0, column].set_title(plot_text.drawable(layer, 20), fontsize=10)
        if image is not None:
            figure.colorbar(image, ax=grid[:, column], location="bottom", shrink=0.9, aspect=12)
    return figure


def _without_frame(axes: Axes) -> None:
    """Removes everything but the labels of an axes."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _layers(borders: Sequence[LayerBorder]) -> list[str]:
    return list(dict.fromkeys(each.layer for each in borders))


def _paddings(borders: Sequence[LayerBorder]) -> dict[tuple[str, ...], bool]:
    """Returns the paddings in order, and whether each is the network's own."""
    return {each.paddings: each.own for each in borders}


def _name(paddings: tuple[str, ...], own: bool) -> str:
    return ", ".join(paddings) + (" (the network's own)" if own else "")
