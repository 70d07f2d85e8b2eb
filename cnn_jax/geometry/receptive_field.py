"""Theoretical receptive fields of a network's layers, computed from the rows of the layer table.

A receptive field is the rectangle of image pixels that one output can depend on. Each layer adds
(window span - 1) x jump, where the jump is the distance in pixels between the fields of adjacent outputs,
the product of all strides so far (Araujo, Norris and Sim, "Computing receptive fields", 2019).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable

from cnn_jax.geometry.unit_fields import OVER_MAPS
from cnn_jax.layer_rows import IMAGE, LayerRow
from cnn_jax.ops.padding import effective_window


@dataclasses.dataclass(frozen=True)
class Field:
    """Receptive field of a layer's outputs along one axis, in image pixels.

    Attributes:
      size: Pixels of one output's receptive field.
      jump: Pixels between the fields of adjacent outputs; 0 if all outputs have the same field.
      start: First pixel of the first output's field; negative in the padding.
    """

    size: int = 1
    jump: int = 1
    start: int = 0

    @property
    def centre(self) -> float:
        """Center of the first output's field; 0 is the center of the first pixel."""
        return self.start + (self.size - 1) / 2

    def after(self, window: int, stride: int, dilation: int, low: int) -> Field:
        """Returns the field of the outputs of a window that slides over outputs with this field."""
        grown = self.size + (effective_window(window, dilation) - 1) * self.jump
        return Field(grown, self.jump * stride, self.start - low * self.jump)

    def merge(self, other: Field) -> Field:
        """Returns the field of an elementwise merge of two maps of equal jump, or with a field over the whole image."""
        start = min(self.start, other.start)
        size = max(self.start + self.size, other.start + other.size) - start
        return Field(size, min(self.jump, other.jump), start)

    def over(self, outputs: int) -> Field:
        """Returns the field of a single value that depends on all outputs."""
        return Field(self.size + (outputs - 1) * self.jump, self.jump * outputs, self.start)

    def inside(self, outputs: int, pixels: int) -> int:
        """Returns the number of outputs whose field lies entirely inside the image."""
        starts = (self.start + output * self.jump for output in range(outputs))
        return sum(start >= 0 and start + self.size <= pixels for start in starts)


@dataclasses.dataclass(frozen=True)
class LayerGeometry(LayerRow):
    """A layer's row with its receptive field; pairs are (height, width).

    Attributes:
      receptive_field: Image pixels that one output can depend on, including padding.
      jump: Image pixels between the fields of adjacent outputs, the cumulative stride; 0 after a norm over whole maps,
        where all outputs depend on the same pixels.
      centre: Center of the first output's field, in pixels from the center of the image's first pixel.
      touching_padding: Share of the outputs whose field extends beyond the image.
      unseen: Rows and columns of the layer's input that no window covers, for example at the end with VALID padding.
    """

    receptive_field: tuple[int, int] = (1, 1)
    jump: tuple[int, int] = (1, 1)
    centre: tuple[float, float] = (0, 0)
    touching_padding: float = 0
    unseen: tuple[int, int] = (0, 0)


def locate(rows: Iterable[LayerRow], image_shape: tuple[int, int, int]) -> tuple[LayerGeometry, ...]:
    """Adds receptive fields to the rows of a layer table.

    Args:
      rows: Rows in the order of computation.
      image_shape: (height, width, channels) of an image in pixels.
    """
    return tuple(_located(rows, image_shape))


def _located(rows: Iterable[LayerRow], image_shape: tuple[int, int, int]) -> Iterable[LayerGeometry]:
    """Propagates the (height, width) receptive fields from the image through each row's sources."""
    known: dict[int, tuple[Field, Field]] = {IMAGE: (Field(), Field())}
    for number, row in enumerate(rows):
        incoming = zip(*(known[source] for source in row.sources), strict=True)
        fields = [functools.reduce(Field.merge, axis) for axis in incoming]
        outputs, unseen = row.output_shape[:2], (0, 0)
        if row.window and row.strides and row.dilation and row.pads:
            axes = list(zip(row.window, row.strides, row.dilation, row.pads, strict=True))
            fields = [field.after(*axis[:3], axis[3][0]) for field, axis in zip(fields, axes, strict=True)]
            unseen = tuple(  # type: ignore[assignment]
                _unseen(size, *axis, count)
                for size, axis, count in zip(row.input_shape[:2], axes, outputs, strict=True)
            )
        elif row.kind in ("flatten", "global_avg_pool"):
            fields = [field.over(size) for field, size in zip(fields, row.input_shape, strict=False)]
        elif row.kind == "multiply":  # the factors depend on whole maps
            fields = [dataclasses.replace(field, jump=0) for field in fields]
        elif row.kind in OVER_MAPS:
            fields = [
                dataclasses.replace(field.over(size), jump=0)
                for field, size in zip(fields, row.input_shape, strict=False)
            ]
        known[number] = (fields[0], fields[1])
        if len(row.output_shape) == 1:
            outputs = (1, 1)
        inside = math.prod(
            field.inside(count, pixels) for field, count, pixels in zip(fields, outputs, image_shape, strict=False)
        )
        height, width = fields
        yield LayerGeometry(
            **vars(row),
            receptive_field=(height.size, width.size),
            jump=(height.jump, width.jump),
            centre=(height.centre, width.centre),
            touching_padding=1 - inside / math.prod(outputs),
            unseen=unseen,
        )


def _unseen(size: int, window: int, stride: int, dilation: int, pads: tuple[int, int], outputs: int) -> int:
    """Counts the pixels of a layer's input, along one axis, that no tap of any window reads."""
    read = {output * stride + tap * dilation - pads[0] for output in range(outputs) for tap in range(window)}
    return size - sum(0 <= pixel < size for pixel in read)
