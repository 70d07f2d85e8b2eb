"""The layer table of a network on images of one size: shapes and parameters."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

from rich.table import Table

from cnn_jax import models
from cnn_jax.blocks import LayerRow
from cnn_jax.config import Model as ModelConfig


@dataclasses.dataclass(frozen=True)
class Summary:
    """All layers of a network.

    Attributes:
      layers: in the order of computation.
      parameters: of all layers.
    """

    layers: tuple[LayerRow, ...]

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.layers)


def summarize(model_config: ModelConfig, image_shape: tuple[int, int, int], num_classes: int) -> Summary:
    """Works out every layer's shapes and parameters; nothing is computed or compiled.

    Args:
      model_config: of one architecture.
      image_shape: (height, width, channels) in pixels.
      num_classes: width of the logits.

    Returns:
      The layers.

    Raises:
      GeometryError: where a layer cannot work on its input; names the layer, its input and the rule.
    """
    return Summary(models.create(model_config, num_classes).layers(image_shape))


def as_table(summary: Summary) -> Table:
    """The layers for a terminal, in the lecture's columns and more."""
    table = Table(caption=f"Total parameters: {summary.parameters:,}", caption_justify="left")
    for heading in ("layer", "kind", "window", "strides", "padding", "pads"):
        table.add_column(heading)
    table.add_column("output shape", justify="right")
    table.add_column("parameters", justify="right")
    for row in summary.layers:
        table.add_row(
            row.name,
            row.kind,
            _by(row.window),
            _by(row.strides),
            "" if row.padding is None else str(row.padding),
            "" if row.pads is None else " ".join(f"{low}+{high}" for low, high in row.pads),
            _by(row.output_shape),
            f"{row.parameters:,}",
        )
    return table


def as_json(summary: Summary) -> str:
    """The layers and the total as JSON."""
    rows = [dataclasses.asdict(row) for row in summary.layers]
    return json.dumps({"layers": rows, "parameters": summary.parameters}, indent=2)


def as_csv(summary: Summary) -> str:
    """The layers as CSV with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(LayerRow)])
    for row in summary.layers:
        shown = dataclasses.astuple(row)
        writer.writerow([_by(entry) if _is_shape(entry) else "" if entry is None else entry for entry in shown])
    return text.getvalue()


def _is_shape(entry: object) -> bool:
    return isinstance(entry, tuple) and all(isinstance(size, int) for size in entry)


def _by(sizes: tuple[int, ...] | None) -> str:
    return "" if sizes is None else "x".join(map(str, sizes))
