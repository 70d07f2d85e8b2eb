"""Grids of images, and filters as images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure

from cnn_jax import plot_text
from cnn_jax.plot_style import GREEN, ORANGE, STYLE, new_figure

_CAPTION = 14  # characters of a class name over a picture


def samples(
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n k"],
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Images with their predicted class and its probability, and the true class where it differs.

    Args:
      images: pixels 0 to 255; all are shown.
      labels: true classes.
      probabilities: Probabilities of all classes, [images, classes].
      class_names: in label order.
      title: Title of the figure.

    Returns:
      The figure.
    """
    columns = min(6, len(images))
    rows = math.ceil(len(images) / columns)
    figure = new_figure(1.75 * max(columns, 3), 2.25 * rows + 0.4)
    with matplotlib.rc_context(STYLE):
        figure.suptitle(title)
        grid = figure.subplots(rows, columns, squeeze=False)
    captions = plot_text.labels(class_names, _CAPTION)
    for place, axes in enumerate(grid.ravel()):
        axes.axis("off")
        if place >= len(images):
            continue
        axes.imshow(
            images[place].squeeze(-1) if images.shape[-1] == 1 else images[place], cmap="gray", vmin=0, vmax=255
        )
        best, true = int(probabilities[place].argmax()), int(labels[place])
        caption = f"{captions[best]} {probabilities[place, best]:.0%}"
        if best != true:
            caption += f"\ntrue: {captions[true]}"
        axes.set_title(caption, fontsize=10, color=GREEN if best == true else ORANGE)
    return figure


def filters(kernel: Float[np.ndarray, "kh kw c o"]) -> Figure:
    """A convolution's kernels: in colour where they see RGB, else blue for negative, red for positive weights.

    Args:
      kernel: weights; of more than 64 output features the first 64 are shown.

    Returns:
      The figure.
    """
    height, width, channels, features = kernel.shape
    shown = min(features, 64)
    columns = min(8, shown)
    rows = math.ceil(shown / columns)
    figure = new_figure(0.95 * max(columns, 4) + (0 if channels == 3 else 0.9), 0.98 * rows + 0.8)
    with matplotlib.rc_context(STYLE):
        first = f", first {shown} of {features}" if shown < features else ""
        figure.suptitle(f"First-layer filters, {height}x{width}{first}")
        grid = figure.subplots(rows, columns, squeeze=False)
    limit = float(np.abs(kernel).max()) or 1.0
    image = None
    for place, axes in enumerate(grid.ravel()):
        axes.axis("off")
        if place >= shown:
            continue
        if channels == 3:
            axes.imshow((kernel[..., place] / limit + 1) / 2)
        else:
            image = axes.imshow(kernel[..., place].mean(axis=-1), cmap="RdBu_r", vmin=-limit, vmax=limit)
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.9)
        bar.set_label("weight" if channels == 1 else "weight, mean over the input channels")
    return figure
