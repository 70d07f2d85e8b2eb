"""How much of the matrix unit works on padding, from the layer table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from cnn_jax.layer_rows import LayerRow


@dataclasses.dataclass(frozen=True)
class Filling:
    """How the weights of one layer fill the matrix unit's tiles.

    Attributes:
      layer: Its name.
      rows: Rows of the weights as a matrix: taps x input channels of a group.
      columns: Output channels of a group.
      multiply_adds: Multiply-adds of one image's forward pass.
      waste: Share of the tiles that is padding.
    """

    layer: str
    rows: int
    columns: int
    multiply_adds: int
    waste: float


def fillings(layers: Iterable[LayerRow], side: int) -> tuple[Filling, ...]:
    """Lays the weights of every convolution and dense layer out in tiles.

    A convolution counts as one product over all taps at once, the arrangement that wastes least: a compiler that
    takes the taps one by one pads more.

    Args:
      layers: Rows of the layer table.
      side: Rows and columns of the matrix unit.

    Returns:
      One entry for each layer with multiply-adds, in the table's order.
    """
    return tuple(_filling(layer, side) for layer in layers if layer.multiply_adds)


def _filling(layer: LayerRow, side: int) -> Filling:
    places = math.prod(layer.output_shape[:-1]) if layer.window else 1
    columns = layer.output_shape[-1] // layer.groups
    rows = layer.multiply_adds // (places * layer.output_shape[-1])
    padded = math.prod(-(-size // side) * side for size in (rows, columns))
    return Filling(layer.name, rows, columns, layer.multiply_adds, 1 - rows * columns / padded)


def waste(of_layers: Iterable[Filling]) -> float:
    """The share of all the matrix unit's work that is padding, each layer weighing by its work, padding included."""
    entries = tuple(of_layers)
    useful = sum(each.multiply_adds for each in entries)
    return 1 - useful / sum(each.multiply_adds / (1 - each.waste) for each in entries)
