"""The pixels of an image that each single output of a layer depends on.

`geometry` gives a layer's receptive field by its size, jump and start, as if no map had an end. At the borders that is
an upper bound: zeros that pad a map in the middle of a network depend on no pixel, a border of other values than zeros
depends on pixels further inside or on the other side, and a stride may pass over the last pixels. Here the rows of the
layer table are followed output by output.

Rows and columns of an image are followed apart, because every window is a rectangle. Where branches are joined, an
output's pixels lie within the rows and columns of all its branches together.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from cnn_jax.layer_rows import ACTIVATION, IMAGE, LayerRow
from cnn_jax.ops.pool import adaptive_shares
from cnn_jax.padding_dialects import border_mode

# Kinds of layers each of whose channels depends on that channel of the input alone.
_CHANNELWISE = frozenset(
    {
        "max_pool", "avg_pool", "min_pool", "adaptive_avg_pool", "global_avg_pool", "batch_norm", "scale", "dropout",
        "pad", "crop", "add", "multiply",
    }
)  # fmt: skip
# Kinds of layers that take statistics of whole maps.
OVER_MAPS = frozenset({"group_norm", "instance_norm"})


class UnitFields:
    """The pixels that the outputs of a network's layers depend on, for images of one shape."""

    def __init__(self, rows: Sequence[LayerRow], image_shape: tuple[int, int, int]) -> None:
        """Prepares the rows; nothing is followed yet.

        Args:
          rows: Rows of the network's layers, as `Model.layers` lists them.
          image_shape: (height, width, channels) of an image in pixels.
        """
        self._rows = tuple(rows)
        self._image_shape = image_shape
        self._numbers = {row.name: number for number, row in enumerate(rows)}
        self._wraps = any(border_mode(row.padding) == "wrap" for row in rows)
        self._seen = functools.cache(self._follow)

    def seen(self, layer: str, channel: int | None = None) -> tuple[Bool[np.ndarray, "oh h"], Bool[np.ndarray, "ow w"]]:
        """Tells for every output of a layer which rows and which columns of the image it depends on.

        Args:
          layer: Name of a layer, or of the activation after it; a layer without maps is one of 1x1.
          channel: Channel of the outputs, from 0; the channels of a concatenation differ. None is all channels
            together.

        Returns:
          (rows of the image for each row of outputs, columns of the image for each column of outputs).
        """
        number = self._numbers[layer.removesuffix(ACTIVATION)]
        return self._seen(number, channel, 0), self._seen(number, channel, 1)

    def boxes(self, layer: str, channel: int | None = None) -> tuple[Int[np.ndarray, "oh 2"], Int[np.ndarray, "ow 2"]]:
        """Gives for every output of a layer the smallest rectangle of the image that holds all that it depends on.

        Args:
          layer, channel: As `seen` takes them.

        Returns:
          (first row and number of rows for each row of outputs, the same of columns). The numbers are 0 where an output
          depends on no pixel. In a network with circular padding a rectangle may go beyond the last pixel and on from
          the first.
        """
        rows, columns = (
            np.array([_arc(pixels) if self._wraps else _hull(pixels) for pixels in axis]).reshape(-1, 2)
            for axis in self.seen(layer, channel)
        )
        return rows, columns

    def _follow(self, number: int, channel: int | None, axis: int) -> Bool[np.ndarray, "outputs pixels"]:
        """Follows one axis of a layer's outputs back to the image."""
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
            place = np.unravel_index(channel, row.input_shape)
            (source,) = row.sources
            return self._seen(source, int(place[2]), axis)[[int(place[axis])]]
        inner = channel if row.kind in _CHANNELWISE else None
        incoming = [self._seen(source, inner, axis) for source in row.sources if self._has(source, inner)]
        if not incoming:  # zeros in place of channels
            return np.zeros((row.output_shape[axis], self._image_shape[axis]), bool)
        joined: np.ndarray = functools.reduce(np.logical_or, incoming)
        if len(row.output_shape) == 1:
            return _together(joined)
        outputs = row.output_shape[axis]
        if row.kind == "adaptive_avg_pool":
            return (adaptive_shares(len(joined), outputs) > 0) @ joined
        if row.window is not None:
            return _windows(row, axis, joined)
        if row.kind in OVER_MAPS:
            joined = _together(joined)
        return np.broadcast_to(joined, (outputs, joined.shape[1]))

    def _channels(self, number: int) -> int:
        return self._image_shape[-1] if number == IMAGE else self._rows[number].output_shape[-1]

    def _has(self, number: int, channel: int | None) -> bool:
        return channel is None or channel < self._channels(number)


def _together(incoming: Bool[np.ndarray, "n pixels"]) -> Bool[np.ndarray, "1 pixels"]:
    """Joins the pixels that any of the outputs depends on."""
    return np.asarray(incoming.any(axis=0))[None]


def _windows(row: LayerRow, axis: int, incoming: Bool[np.ndarray, "n pixels"]) -> Bool[np.ndarray, "outputs pixels"]:
    """Finds the pixels that windows depend on, over maps whose places depend on `incoming`."""
    assert row.window is not None
    assert row.strides is not None
    assert row.dilation is not None
    assert row.pads is not None
    (low, high), count = row.pads[axis], row.input_shape[axis]
    numbers = np.arange(count)  # of the input's places, -1 for zeros
    mode = border_mode(row.padding)
    if mode:
        numbers = np.pad(numbers, (low, high), mode)
    else:
        numbers = np.pad(numbers, (max(low, 0), max(high, 0)), constant_values=-1)
    padded = np.concatenate([incoming, np.zeros((1, incoming.shape[1]), bool)])
    first = np.arange(row.output_shape[axis]) * row.strides[axis] + max(-low, 0)
    taps = np.arange(row.window[axis]) * row.dilation[axis]
    seen = np.zeros((len(first), incoming.shape[1]), bool)
    for tap in taps:
        seen |= padded[numbers[first + tap]]
    return seen


def _hull(pixels: Bool[np.ndarray, " n"]) -> tuple[int, int]:
    """The first pixel that is seen, and how many there are up to the last."""
    (numbers,) = np.nonzero(pixels)
    return (int(numbers[0]), int(numbers[-1] - numbers[0]) + 1) if len(numbers) else (0, 0)


def _arc(pixels: Bool[np.ndarray, " n"]) -> tuple[int, int]:
    """The same where the last pixel is the first one's neighbour: all but the widest gap."""
    (numbers,) = np.nonzero(pixels)
    if not len(numbers):
        return 0, 0
    gaps = np.diff(np.append(numbers, numbers[0] + len(pixels)))
    # The gap at the end comes first among equals, so that a rectangle that need not go around does not.
    widest = len(gaps) - 1 - int(np.argmax(gaps[::-1]))
    return int(numbers[(widest + 1) % len(numbers)]), int(len(pixels) - gaps[widest]) + 1
