"""Figures of image grids and of convolution kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.figure import Figure

from cnn_jax import bands, plot_text
from cnn_jax.plot_style import GREEN, ORANGE, STYLE, new_figure

_BAND_ROWS, _BAND_COLUMNS = 8, 16  # images and channels shown for images with many channels
_CAPTION = 14  # maximum characters of a class name over a picture


def samples(
    images: Shaped[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n k"],
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Draws images with their predicted class and its probability, and the true class if it differs.

    Args:
      images: Pixels from 0 to 255. All are shown; with more than three channels, as many as fit.
      labels: True classes.
      probabilities: Probabilities of all classes, [images, classes].
      class_names: Names of the classes in label order.
      title: Title of the figure.

    Returns:
      The figure.
    """
    if images.shape[-1] not in (1, 3):
        return _band_samples(images, labels, probabilities, class_names, title)
    columns = min(6, len(images))
    rows = math.ceil(len(images) / columns)
    figure = new_figure(1.75 * max(columns, 3), 2.25 * rows + 0.4)
    with matplotlib.rc_context(STYLE):
        figure.suptitle(title)
        grid = figure.subplots(rows, columns, squeeze=False)
    captions = plot_text.labels(class_names, _CAPTION)
    for index, axes in enumerate(grid.ravel()):
        axes.axis("off")
        if index >= len(images):
            continue
        axes.imshow(bands.shown(images[index]), cmap="gray", vmin=0, vmax=255)
        caption, is_right = _caption(probabilities[index], int(labels[index]), captions)
        axes.set_title(caption, fontsize=10, color=GREEN if is_right else ORANGE)
    return figure


def _caption(probabilities: Float[np.ndarray, " k"], true: int, names: Sequence[str]) -> tuple[str, bool]:
    """Returns the caption of a prediction, and whether it is correct."""
    best = int(probabilities.argmax())
    caption = f"{names[best]} {probabilities[best]:.0%}"
    return caption if best == true else f"{caption}\ntrue: {names[true]}", best == true


def _band_samples(
    images: Shaped[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n k"],
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Draws images with many channels, each as a row of grey maps; arguments as for `samples`."""
    shown = images[:_BAND_ROWS]
    channels = min(shown.shape[-1], _BAND_COLUMNS)
    figure = new_figure(1.6 + 0.85 * channels, 0.95 * len(shown) + 0.8)
    more = f", first {channels} of {images.shape[-1]}" if channels < images.shape[-1] else ""
    with matplotlib.rc_context(STYLE):
        figure.suptitle(f"{title}: the channels as maps{more}")
        grid = figure.subplots(len(shown), channels + 1, squeeze=False, width_ratios=(1.9, *([1] * channels)))
    captions = plot_text.labels(class_names, _CAPTION)
    for index, row in enumerate(grid):
        image, label, each = shown[index], labels[index], probabilities[index]
        caption, is_right = _caption(each, int(label), captions)
        row[0].text(1, 0.5, caption, fontsize=10, ha="right", va="center", color=GREEN if is_right else ORANGE)
        row[0].axis("off")
        for channel, axes in enumerate(row[1:]):
            axes.imshow(image[..., channel], cmap="gray", vmin=0, vmax=255)
            axes.axis("off")
            if index == 0:
                axes.set_title(str(channel + 1), fontsize=10)
    return figure


def filters(kernel: Float[np.ndarray, "kh kw c o"]) -> Figure:
    """Draws a convolution's kernels: in colour for RGB inputs, else blue for negative and red for positive weights.

    Args:
      kernel: Weights; only the first 64 output features are shown.

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
    for index, axes in enumerate(grid.ravel()):
        axes.axis("off")
        if index >= shown:
            continue
        if channels == 3:
            axes.imshow((kernel[..., index] / limit + 1) / 2)
        else:
            image = axes.imshow(kernel[..., index].mean(axis=-1), cmap="RdBu_r", vmin=-limit, vmax=limit)
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.9)
        bar.set_label("weight" if channels == 1 else "weight, mean over the input channels")
    return figure
