"""Strongest patches as pictures: each channel's patches beside their reconstructions by each rule for rectifiers."""

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
_AROUND = 0.5  # grey between patches, and where a patch's box ends at the image's border
_SMALLEST = 60  # pixels of a patch as drawn; smaller ones are enlarged by a whole number
_SIDE = 1.5  # inches of the side of nine patches
_SQUARES = 8  # of nine in a row of a sheet, at most
_BEYOND = 0.01  # share of a reconstruction's values that are beyond the ends of its scale, at most
_SIGNED = matplotlib.colormaps["RdBu_r"]
NAMES: Mapping[ReluBackward, str] = {
    "deconvnet": "deconvnet",
    "guided": "guided backpropagation",
    "gradient": "gradient",
}


def patch_grid(found: TopPatches, channel: int) -> UInt8[np.ndarray, "h w 3"]:
    """Lays out a channel's patches, as the viewer sees them, in a square; of a silent channel there are none.

    A box that the image's border cuts off lies at the end or at the start of its field, and grey stands for padding.

    Args:
      found: Patches of a layer.
      channel: Position among the channels of `found`, from 0.

    Returns:
      The picture; the strongest patch is at the top left, and they are read row by row.
    """
    return _grid(found, channel, _in_colour(found.pixels[channel].astype(np.float32) / 255))


def reconstruction_grid(
    found: TopPatches, channel: int, rule: ReluBackward, colours: Sequence[int] = (0, 1, 2)
) -> UInt8[np.ndarray, "h w 3"]:
    """Lays out the reconstructions of a channel's patches as `patch_grid` lays out the patches.

    Each reconstruction has a symmetric scale of its own, whose ends at most a hundredth of its values other than zero
    exceed. With three channels they are colours about a medium grey, which is 0; otherwise their sum is drawn, red
    where it is positive, white where it is 0, blue where negative.

    Args:
      found, channel: As `patch_grid` takes them.
      rule: Rule for rectifiers with which the signals were led back.
      colours: Numbers of the image channels that are red, green and blue; of images of three channels.

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
    """Draws channels of a layer: from left to right the reconstructions by each rule, and the patches.

    Args:
      found: Patches of a layer.
      title: Title of the figure; a line under it names what is drawn.
      channels: Positions among the channels of `found`, from 0; None draws all.
      colours: As `reconstruction_grid` takes them.
      side: Inches of the side of a channel's patches.

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
        places = figure.subplots(down, across, squeeze=False).ravel()
        for axes in places:
            axes.axis("off")
        for axes, channel in zip(places, shown, strict=False):
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
    """Names a channel and tells its strongest responses, from the first patch's to the last's.

    Args:
      found, channel: As `patch_grid` takes them.
    """
    units = found.units
    if units.silent[channel]:
        return f"channel {units.channels[channel]}: 0 for every image"
    values = units.values[channel][units.images[channel] >= 0]
    return f"channel {units.channels[channel]}: {_in_words(values[0])} to {_in_words(values[-1])}"


def _in_words(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def _scaled(signals: Float[np.ndarray, "k h w ..."]) -> Float[np.ndarray, "k h w ..."]:
    """Divides each reconstruction by the end of its scale; beyond -1 and 1 it is cut off."""
    ends = [np.quantile(np.abs(each[each != 0]), 1 - _BEYOND, method="higher") if each.any() else 1 for each in signals]
    return (signals / np.reshape(ends, (-1,) + (1,) * (signals.ndim - 1))).clip(-1, 1)


def _in_colour(pixels: Float[np.ndarray, "k h w n"]) -> Float[np.ndarray, "k h w 3"]:
    """Grey pixels in three channels; of other numbers of channels the mean is grey."""
    if pixels.shape[-1] == 3:
        return pixels
    return np.repeat(pixels.mean(axis=-1, keepdims=True), 3, axis=-1)


def _grid(found: TopPatches, channel: int, coloured: Float[np.ndarray, "k h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Puts pictures of a channel's boxes into a square of frames of the channel's largest box."""
    units = found.units
    boxes = units.boxes[channel]
    height, width = (int(size) for size in boxes[:, 2:].max(axis=0))
    across = math.ceil(math.sqrt(len(boxes)))
    down = math.ceil(len(boxes) / across)
    scale = max(1, _SMALLEST // max(height, width))
    line = max(2, scale * max(height, width) // 40)
    down_size, across_size = scale * height + line, scale * width + line
    whole = np.full((down * down_size - line, across * across_size - line, 3), _AROUND, np.float32)
    for rank, (box, picture) in enumerate(zip(boxes, coloured, strict=True)):
        if units.images[channel, rank] < 0 or units.silent[channel]:
            continue
        row, column = (size - box[2 + axis] if box[axis] == 0 else 0 for axis, size in enumerate((height, width)))
        top, left = rank // across * down_size + scale * row, rank % across * across_size + scale * column
        large = picture[: box[2], : box[3]].repeat(scale, axis=0).repeat(scale, axis=1)
        whole[top : top + large.shape[0], left : left + large.shape[1]] = large
    return np.rint(255 * whole.clip(0, 1)).astype(np.uint8)
