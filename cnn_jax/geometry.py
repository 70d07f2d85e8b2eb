"""The layer table of a network on images of one size: shapes and parameters."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from cnn_jax import models
from cnn_jax.config import Model as ModelConfig
from cnn_jax.layer_rows import LayerRow
from cnn_jax.ops import GeometryError

_LARGEST_FACTOR = 8  # images are tried up to so many times their size


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
      GeometryError: where a layer cannot work on its input; names the layer, its input, the rule and the
        nearest settings that work.
    """
    try:
        return _trace(model_config, image_shape, num_classes)
    except GeometryError as error:
        ways_out = list(_ways_out(model_config, image_shape, num_classes))
        raise GeometryError(
            f"config.model: {error}" + "".join(f"\n  this works: {way_out}" for way_out in ways_out)
        ) from error


def _trace(model_config: ModelConfig, image_shape: tuple[int, int, int], num_classes: int) -> Summary:
    return Summary(models.create(model_config, num_classes).layers(image_shape))


def _ways_out(model_config: ModelConfig, image_shape: tuple[int, int, int], num_classes: int) -> Iterator[str]:
    """Finds the nearest settings, one field or the image size changed, with which every layer works."""

    def works(config: ModelConfig, shape: tuple[int, int, int]) -> bool:
        try:
            return bool(_trace(config, shape, num_classes).layers)
        except GeometryError:
            return False

    for field in type(model_config).model_fields:
        for value in _gentler(field, getattr(model_config, field)):
            if works(model_config.model_copy(update={field: value}), image_shape):
                yield f"config.model.{field}={value}"
                break
    height, width, channels = image_shape
    for factor in range(2, _LARGEST_FACTOR + 1):
        if works(model_config, (factor * height, factor * width, channels)):
            enough = next(
                added
                for added in range(1, factor * max(height, width))
                if works(model_config, (height + added, width + added, channels))
            )
            yield f"images of {height + enough}x{width + enough}"
            break


def _gentler(field: str, value: Any) -> Iterator[Any]:
    """Lists values of a field that shrink the maps less, the nearest first."""
    if field.endswith("padding") and value != "SAME":
        yield "SAME"
    elif field.endswith(("kernel_size", "window", "strides")) and value is not None:
        for cap in range(_largest(value) - 1, 0, -1):
            yield _capped(value, cap)


def _largest(value: Any) -> int:
    return max(map(_largest, value)) if isinstance(value, tuple) else int(value)


def _capped(value: Any, cap: int) -> Any:
    return tuple(_capped(entry, cap) for entry in value) if isinstance(value, tuple) else min(value, cap)


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
