"""Exact image pixels that each single output of a layer depends on.

`receptive_field.py` describes a layer's receptive fields by size, jump and start, as if maps were infinite. At the
borders this is only an upper bound: zero padding inside a network depends on no pixel, border padding depends on pixels
further inside or on the opposite side, and strides may skip the last pixels. This module traces each output separately
through the rows of the layer table.

Rows and columns are traced independently, because every window is a rectangle. After a merge of branches, an output's
pixels lie within the union of the branches' rows and columns.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from cnn_jax.layer_rows import ACTIVATION, IMAGE, LayerRow
from cnn_jax.ops.pool import adaptive_shares
from cnn_jax.padding_dialects import border_mode

# Kinds of layers whose output channels each depend only on the same input channel.
_CHANNELWISE = frozenset(
    {
        "max_pool", "avg_pool", "min_pool", "adaptive_avg_pool", "global_avg_pool", "batch_norm", "scale", "dropout",
        "pad", "crop", "add", "multiply",
    }
)  # fmt: skip
# Kinds of layers that compute statistics over whole maps.
OVER_MAPS = frozenset({"group_norm", "instance_norm"})


class UnitFields:
    """Image pixels that the outputs of a network's layers depend on; computed lazily.

    Args:
      rows: Rows of the network's layers, from `Model.layers`.
      image_shape: (height, width, channels) of an image in pixels.
    """

    def __init__(self, rows: Sequence[LayerRow], image_shape: tuple[int, int, int]) -> None:
        self._rows = tuple(rows)
        self._image_shape = image_shape
        self._numbers = {row.name: number for number, row in enumerate(rows)}
        self._wraps = any(border_mode(row.padding) == "wrap" for row in rows)
        self._seen = functools.cache(self._trace)

    def seen(self, layer: str, channel: int | None = None) -> tuple[Bool[np.ndarray, "oh h"], Bool[np.ndarray, "ow w"]]:
        """Returns the image rows and columns that each output of a layer depends on.

        Args:
          layer: Name of a layer, or of the activation after it; a layer without maps counts as 1x1.
          channel: Channel of the outputs, from 0; the channels of a concatenation differ. None is the union of all
            channels.

        Returns:
          (image rows for each output row, image columns for each output column).
        """
        number = self._numbers[layer.removesuffix(ACTIVATION)]
        return self._seen(number, channel, 0), self._seen(number, channel, 1)

    def boxes(self, layer: str, channel: int | None = None) -> tuple[Int[np.ndarray, "oh 2"], Int[np.ndarray, "ow 2"]]:
        """Returns the smallest image rectangle that contains all pixels that each output of a layer depends on.

        Args:
          layer, channel: As for `seen`.

        Returns:
          ((first row, number of rows) for each output row, (first column, number of columns) for each output column),
          with number 0 if an output depends on no pixel. With circular padding a rectangle may wrap around.
        """
        rows, columns = (
            np.array([_arc(pixels) if self._wraps else _hull(pixels) for pixels in axis]).reshape(-1, 2)
            for axis in self.seen(layer, channel)
        )
        return rows, columns

    def _trace(self, number: int, channel: int | None, axis: int) -> Bool[np.ndarray, "outputs pixels"]:
        """Traces one axis of a layer's outputs back to the image."""
        if number == IMAGE:
            return np.eye(self._image_shape[axis], dtype=bool)
        row = self._rows[number]
        if row.kind == "concat" and channel is not None:
            for source in row.sources:
                channels = self._channels(source)
                if channel < channels:
                    return self._seen(source, channel, axis)
                channel -= channels
        if row.kind == "flatten" and channel is not None and len(row.input_shape) == 3:
            position = np.unravel_index(channel, row.input_shape)
            (source,) = row.sources
            return self._seen(source, int(position[2]), axis)[[int(position[axis])]]
        inner = channel if row.kind in _CHANNELWISE else None
        incoming = [self._seen(source, inner, axis) for source in row.sources if self._has(source, inner)]
        if not incoming:  # a channel of zeros
            return np.zeros((row.output_shape[axis], self._image_shape[axis]), bool)
        joined: np.ndarray = functools.reduce(np.logical_or, incoming)
        if len(row.output_shape) == 1:
            return _union(joined)
        outputs = row.output_shape[axis]
        if row.kind == "adaptive_avg_pool":
            return (adaptive_shares(len(joined), outputs) > 0) @ joined
        if row.window is not None:
            return _windows(row, axis, joined)
        if row.kind in OVER_MAPS:
            joined = _union(joined)
        return np.broadcast_to(joined, (outputs, joined.shape[1]))

    def _channels(self, number: int) -> int:
        return self._image_shape[-1] if number == IMAGE else self._rows[number].output_shape[-1]

    def _has(self, number: int, channel: int | None) -> bool:
        return channel is None or channel < self._channels(number)


def _union(incoming: Bool[np.ndarray, "n pixels"]) -> Bool[np.ndarray, "1 pixels"]:
    """Returns the pixels that any of the outputs depends on."""
    return np.asarray(incoming.any(axis=0))[None]


def _windows(row: LayerRow, axis: int, incoming: Bool[np.ndarray, "n pixels"]) -> Bool[np.ndarray, "outputs pixels"]:
    """Returns the pixels that windows depend on, over maps whose positions depend on `incoming`."""
    assert row.window is not None
    assert row.strides is not None
    assert row.dilation is not None
    assert row.pads is not None
    (low, high), count = row.pads[axis], row.input_shape[axis]
    positions = np.arange(count)  # of the input; -1 for zeros
    mode = border_mode(row.padding)
    if mode:
        positions = np.pad(positions, (low, high), mode)
    else:
        positions = np.pad(positions, (max(low, 0), max(high, 0)), constant_values=-1)
    padded = np.concatenate([incoming, np.zeros((1, incoming.shape[1]), bool)])
    first = np.arange(row.output_shape[axis]) * row.strides[axis] + max(-low, 0)
    taps = np.arange(row.window[axis]) * row.dilation[axis]
    seen = np.zeros((len(first), incoming.shape[1]), bool)
    for tap in taps:
        seen |= padded[positions[first + tap]]
    return seen


def _hull(pixels: Bool[np.ndarray, " n"]) -> tuple[int, int]:
    """Returns (first pixel, number of pixels) of the smallest interval that contains all pixels."""
    (numbers,) = np.nonzero(pixels)
    return (int(numbers[0]), int(numbers[-1] - numbers[0]) + 1) if len(numbers) else (0, 0)


def _arc(pixels: Bool[np.ndarray, " n"]) -> tuple[int, int]:
    """Does as `_hull` on a circle, where the last pixel is adjacent to the first: all but the widest gap."""
    (numbers,) = np.nonzero(pixels)
    if not len(numbers):
        return 0, 0
    gaps = np.diff(np.append(numbers, numbers[0] + len(pixels)))
    # Among equal gaps the one at the end is chosen, so that an interval wraps around only if it must.
    widest = len(gaps) - 1 - int(np.argmax(gaps[::-1]))
    return int(numbers[(widest + 1) % len(numbers)]), int(len(pixels) - gaps[widest]) + 1
