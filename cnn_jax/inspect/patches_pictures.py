"""Figures of the strongest patches of each channel, beside their reconstructions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from cnn_jax.inspect.patches import TopPatches
from cnn_jax.ops.activation import ReluBackward

_STYLE: Any = {"font.size": 10, "axes.titlesize": 10, "figure.dpi": 120}
_BACKGROUND = 0.5  # grey level between patches and outside the image
_SMALLEST = 60  # minimum size of a drawn patch in pixels; smaller ones are enlarged by an integer factor
_SIDE = 1.5  # side of nine patches in inches
_SQUARES = 8  # maximum squares of nine patches in a row of a sheet
_CLIPPED = 0.01  # maximum share of a reconstruction's values that its scale clips
_SIGNED = matplotlib.colormaps["RdBu_r"]
NAMES: Mapping[ReluBackward, str] = {
    "deconvnet": "deconvnet",
    "guided": "guided backpropagation",
    "gradient": "gradient",
}


def patch_grid(found: TopPatches, channel: int) -> UInt8[np.ndarray, "h w 3"]:
    """Arranges a channel's patches in a square; a silent channel has none.

    A box clipped by the image's border is at the start or the end of its field; padding is grey.

    Args:
      found: Patches of a layer.
      channel: Index among the channels of `found`, from 0.

    Returns:
      The picture, row by row from the strongest patch at the top left.
    """
    return _grid(found, channel, _as_rgb(found.pixels[channel].astype(np.float32) / 255))


def reconstruction_grid(
    found: TopPatches, channel: int, rule: ReluBackward, colours: Sequence[int] = (0, 1, 2)
) -> UInt8[np.ndarray, "h w 3"]:
    """Arranges the reconstructions of a channel's patches like `patch_grid`.

    Each reconstruction has its own symmetric scale, which clips at most a hundredth of its non-zero values. Three
    channels are drawn as colours, with medium grey as 0; otherwise the sum over the channels is drawn, red if positive,
    white if 0, blue if negative.

    Args:
      found, channel: As for `patch_grid`.
      rule: Rule for rectifiers of the reconstruction.
      colours: Indices of the red, green and blue channels of images with three channels.

    Returns:
      The picture.
    """
    signals = found.reconstructions[rule][channel]
    if signals.shape[-1] == 3:
        coloured = 0.5 + _scaled(signals)[..., list(colours)] / 2
    else:
        coloured = _SIGNED(0.5 + _scaled(signals.sum(axis=-1)) / 2)[..., :3].astype(np.float32)
    return _grid(found, channel, coloured)


def sheet(
    found: TopPatches,
    title: str,
    channels: Sequence[int] | None = None,
    colours: Sequence[int] = (0, 1, 2),
    side: float = _SIDE,
) -> Figure:
    """Draws channels of a layer: the reconstructions by each rule, and on the right the patches.

    Args:
      found: Patches of a layer.
      title: Title of the figure; a line below it names the columns.
      channels: Indices among the channels of `found`, from 0; None draws all.
      colours: As for `reconstruction_grid`.
      side: Side of a channel's patches in inches.

    Returns:
      The figure.
    """
    shown = range(len(found.units.channels)) if channels is None else channels
    squares = len(found.reconstructions) + 1
    across = min(max(1, _SQUARES // squares), len(shown))
    down = math.ceil(len(shown) / across)
    size = (across * (squares * side + 0.35) + 0.2, down * (side + 0.35) + 0.8)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(max(size[0], 5), size[1]), layout="constrained", facecolor="white")
        figure.suptitle(
            f"{title}\nfrom left to right: {', '.join(NAMES[rule] for rule in found.reconstructions)}, patches"
        )
        positions = figure.subplots(down, across, squeeze=False).ravel()
        for axes in positions:
            axes.axis("off")
        for axes, channel in zip(positions, shown, strict=False):
            last = patch_grid(found, channel)
            gap = np.full((last.shape[0], max(1, last.shape[1] // 20), 3), 255, np.uint8)
            parts = [
                part
                for rule in found.reconstructions
                for part in (reconstruction_grid(found, channel, rule, colours), gap)
            ]
            axes.imshow(np.concatenate([*parts, last], axis=1), interpolation="auto")
            axes.set_title(caption(found, channel))
    return figure


def caption(found: TopPatches, channel: int) -> str:
    """Returns the name of a channel and its responses to the first and the last patch.

    Args:
      found, channel: As for `patch_grid`.
    """
    units = found.units
    if units.silent[channel]:
        return f"channel {units.channels[channel]}: 0 for every image"
    values = units.values[channel][units.images[channel] >= 0]
    return f"channel {units.channels[channel]}: {_number_text(values[0])} to {_number_text(values[-1])}"


def _number_text(value: float) -> str:
    """Formats a value with three significant digits, or as an integer."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def _scaled(signals: Float[np.ndarray, "k h w ..."]) -> Float[np.ndarray, "k h w ..."]:
    """Divides each reconstruction by the maximum of its scale, and clips it at -1 and 1."""
    ends = [
        np.quantile(np.abs(each[each != 0]), 1 - _CLIPPED, method="higher") if each.any() else 1 for each in signals
    ]
    return (signals / np.reshape(ends, (-1,) + (1,) * (signals.ndim - 1))).clip(-1, 1)


def _as_rgb(pixels: Float[np.ndarray, "k h w n"]) -> Float[np.ndarray, "k h w 3"]:
    """Converts pixels to three channels; unless there are three, their mean is drawn in grey."""
    if pixels.shape[-1] == 3:
        return pixels
    return np.repeat(pixels.mean(axis=-1, keepdims=True), 3, axis=-1)


def _grid(found: TopPatches, channel: int, coloured: Float[np.ndarray, "k h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Arranges pictures of a channel's boxes in a square of frames with the size of its largest box."""
    units = found.units
    boxes = units.boxes[channel]
    height, width = (int(size) for size in boxes[:, 2:].max(axis=0))
    across = math.ceil(math.sqrt(len(boxes)))
    down = math.ceil(len(boxes) / across)
    scale = max(1, _SMALLEST // max(height, width))
    line = max(2, scale * max(height, width) // 40)
    down_size, across_size = scale * height + line, scale * width + line
    whole = np.full((down * down_size - line, across * across_size - line, 3), _BACKGROUND, np.float32)
    for rank, (box, picture) in enumerate(zip(boxes, coloured, strict=True)):
        if units.images[channel, rank] < 0 or units.silent[channel]:
            continue
        row, column = (size - box[2 + axis] if box[axis] == 0 else 0 for axis, size in enumerate((height, width)))
        top, left = rank // across * down_size + scale * row, rank % across * across_size + scale * column
        large = picture[: box[2], : box[3]].repeat(scale, axis=0).repeat(scale, axis=1)
        whole[top : top + large.shape[0], left : left + large.shape[1]] = large
    return np.rint(255 * whole.clip(0, 1)).astype(np.uint8)
