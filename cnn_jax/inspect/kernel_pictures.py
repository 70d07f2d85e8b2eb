"""Figures of learned kernels."""

from __future__ import annotations

from matplotlib.figure import Figure

from cnn_jax.inspect.kernels import LearnedKernels
from cnn_jax.inspect.sheets import Labels, Scale, sheet

_COLUMNS = 16
_ROWS = 16  # maximum output channels drawn for kernels larger than 1x1


def kernel_sheet(kernels: LearnedKernels) -> Figure:
    """Draws the kernels of a convolution on one scale, the largest first.

    Kernels with three input colours are drawn in colour, with grey as 0. Others are drawn as maps: one per output
    channel if there is one input channel, else a row per output channel and a column per input channel.

    Args:
      kernels: The kernels.

    Returns:
      The figure.
    """
    height, width, channels, features = kernels.shape
    size, limit = f"{height}x{width}", kernels.limit or 1.0
    scale = Scale(-limit, limit, "weight", "RdBu_r")
    numbers = [str(number) for number in kernels.outputs]
    if kernels.reads_image and channels == 3:
        count = f"{_some(len(numbers), features)} kernel{'s' * (features > 1)}"
        title = f"{kernels.layer}: {count} {size} in colour (grey is 0)"
        tiles = (kernels.weights.transpose(3, 0, 1, 2) / limit + 1) / 2
        return sheet(tiles, min(_COLUMNS, len(numbers)), Labels(title, tiles=numbers))
    if len(kernels.inputs) == 1:
        title = f"{kernels.layer}: {_some(len(numbers), features)} kernel{'s' * (features > 1)} {size}"
        tiles = kernels.weights[:, :, 0].transpose(2, 0, 1)
        return sheet(tiles, min(_COLUMNS, len(numbers)), Labels(title, tiles=numbers), scale)
    inputs = [str(number) for number in kernels.inputs]
    if (height, width) == (1, 1):  # a matrix with a pixel for each weight
        title = (
            f"{kernels.layer}: 1x1, {_some(len(inputs), channels)} input channels (rows) by "
            f"{_some(len(numbers), features)} output channels"
        )
        return sheet(kernels.weights.reshape(1, len(inputs), len(numbers)), 1, Labels(title), scale)
    rows = min(_ROWS, len(numbers))
    weights = kernels.weights[..., :rows].transpose(3, 2, 0, 1)
    title = (
        f"{kernels.layer}: {_some(rows, features)} output channels (rows), {_some(len(inputs), channels)} input "
        f"channels, {size}"
    )
    labels = Labels(title, rows=numbers[:rows], columns=inputs)
    return sheet(weights.reshape(-1, height, width), len(inputs), labels, scale)


def _some(shown: int, count: int) -> str:
    return f"{count}" if shown == count else f"{shown} of {count}"
