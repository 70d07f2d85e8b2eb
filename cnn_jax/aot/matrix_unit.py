"""Estimates the matrix unit's work on padding from the layer table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from cnn_jax.layer_rows import LayerRow


@dataclasses.dataclass(frozen=True)
class Filling:
    """Tiling of one layer's weights on the matrix unit.

    Attributes:
      layer: Name of the layer.
      rows: Rows of the weight matrix: taps x input channels per group.
      columns: Columns of the weight matrix: output channels per group.
      multiply_adds: Multiply-adds of one image's forward pass.
      waste: Fraction of the tiles that is padding.
    """

    layer: str
    rows: int
    columns: int
    multiply_adds: int
    waste: float


def fillings(layers: Iterable[LayerRow], side: int) -> tuple[Filling, ...]:
    """Tiles the weights of every convolution and dense layer.

    A convolution counts as one product over all taps, which has the least padding; a compiler that multiplies tap by
    tap pads more.

    Args:
      layers: Rows of the layer table.
      side: Rows and columns of the matrix unit.

    Returns:
      One entry for each layer with multiply-adds, in the table's order.
    """
    return tuple(_filling(layer, side) for layer in layers if layer.multiply_adds)


def _filling(layer: LayerRow, side: int) -> Filling:
    positions = math.prod(layer.output_shape[:-1]) if layer.window else 1
    columns = layer.output_shape[-1] // layer.groups
    rows = layer.multiply_adds // (positions * layer.output_shape[-1])
    padded = math.prod(-(-size // side) * side for size in (rows, columns))
    return Filling(layer.name, rows, columns, layer.multiply_adds, 1 - rows * columns / padded)


def waste(layers: Iterable[Filling]) -> float:
    """Returns the fraction of the matrix unit's total work that is padding."""
    entries = tuple(layers)
    useful = sum(each.multiply_adds for each in entries)
    return 1 - useful / sum(each.multiply_adds / (1 - each.waste) for each in entries)
