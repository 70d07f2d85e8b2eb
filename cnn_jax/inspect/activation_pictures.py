"""Figures of activation maximisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from cnn_jax import bands, plot_text
from cnn_jax.inspect.activation_maximization import MaximizedActivations
from cnn_jax.plot_style import new_figure, titled_grid

_COLUMNS = 8
_CAPTION, _TITLE = 16, 48  # maximum characters
_MEANINGS = {"mean": "mean positive response", "centre": "response of the middle unit"}


def maximized(
    found: MaximizedActivations, names: Sequence[str] | None = None, usual: Float[np.ndarray, "b n"] | None = None
) -> Figure:
    """Draws the pictures of one layer, each with its initial and its final response.

    Args:
      found: Pictures of one layer.
      names: Names of all channels of the layer, such as class names; None for their numbers.
      usual: Responses of all channels to ordinary images (`activation_maximization.responses`), whose means are also
        shown; None shows none.

    Returns:
      The figure.
    """
    count = len(found.channels)
    columns = min(_COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = new_figure(max(1.5 * columns, 6.4), (2.1 if usual is not None else 1.95) * rows + 1.0)
    meaning = _MEANINGS[found.search.objective] if names is None else "response"
    beside = "\nimages: the mean response to ordinary images" if usual is not None else ""
    title = f"{plot_text.drawable(found.layer, _TITLE)}: pictures that maximize a channel"
    title = f"{title}\n{meaning} at the start and at the end{beside}"
    grid = titled_grid(figure, rows, columns, title, fontsize=11)
    captions = None if names is None else plot_text.labels(names, _CAPTION)
    for axes in grid.ravel():
        axes.axis("off")
    for index, axes in enumerate(grid.ravel()[:count]):
        channel, picture = int(found.channels[index]), found.pictures[index]
        axes.imshow(bands.shown(picture), cmap="gray", vmin=0, vmax=255)
        caption = f"channel {channel}" if captions is None else captions[channel]
        caption += f"\n{found.start_responses[index]:.2f} to {found.responses[index]:.2f}"
        if usual is not None:
            caption += f"\nimages {usual[:, channel].mean():.2f}"
        if found.responses[index] <= found.start_responses[index]:
            caption += "\nnot raised"
        axes.set_title(caption, fontsize=9)
    return figure


def rows(
    found: Sequence[MaximizedActivations], usual: Mapping[str, Float[np.ndarray, "b n"]] | None = None
) -> list[dict[str, object]]:
    """Lists the responses of all pictures as rows of a table.

    Args:
      found: Pictures of layers.
      usual: Responses to ordinary images by layer, whose mean and maximum are also listed; None lists none.

    Returns:
      The rows.
    """
    listed: list[dict[str, object]] = []
    for each in found:
        for index, channel in enumerate(each.channels.tolist()):
            row: dict[str, object] = {
                "layer": each.layer,
                "channel": channel,
                "objective": each.search.objective,
                "steps": each.search.steps,
                "start_response": float(each.start_responses[index]),
                "response": float(each.responses[index]),
            }
            if usual is not None:
                some = usual[each.layer][:, channel]
                row |= {"images_mean": float(some.mean()), "images_largest": float(some.max())}
            listed.append(row)
    return listed
