"""Formats the layer table for a terminal, as JSON and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

from rich.table import Table

from cnn_jax.geometry import Summary
from cnn_jax.words import by


def as_table(summary: Summary) -> Table:
    """Returns the layer table for a terminal."""
    auxiliary = summary.auxiliary_parameters
    table = Table(
        caption=f"Total parameters: {summary.parameters:,}"
        + (f", {summary.parameters - auxiliary:,} without the auxiliary classifiers" if auxiliary else "")
        + f". Multiply-adds of one image: {summary.multiply_adds:,}.\n"
        "field, jump: receptive field and cumulative stride in image pixels; centre: of the first field, from the\n"
        "first pixel's; at pads: share of outputs whose field touches padding; unseen: input rows and columns no\n"
        "window sees.",
        caption_justify="left",
        padding=(0, 0),
    )
    for heading in ("layer", "kind", "window", "stride", "padding", "pads"):
        table.add_column(heading, no_wrap=True)
    for heading in ("output", "parameters", "mult-adds", "field", "jump", "centre", "at pads", "unseen"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in summary.layers:
        kind = row.kind + (f" d{_square(row.dilation)}" if row.dilation and row.dilation != (1, 1) else "")
        kind += f" g{row.groups}" if row.groups != 1 else ""
        table.add_row(
            row.name,
            kind,
            _square(row.window),
            _square(row.strides),
            "" if row.padding is None else _padding(row.padding),
            "" if row.pads is None else " ".join(f"{low}+{high}" for low, high in row.pads),
            by(row.output_shape),
            f"{row.parameters:,}",
            f"{row.multiply_adds:,}",
            _square(row.receptive_field),
            _square(row.jump) if len(row.output_shape) > 1 else "",
            _square(row.centre),
            f"{row.touching_padding:.0%}" if row.touching_padding else "",
            _square(row.unseen) if any(row.unseen) else "",
        )
    return table


def as_json(summary: Summary) -> str:
    """Returns the layers and the totals as JSON."""
    return json.dumps(
        {
            "image_shape": summary.image_shape,
            "layers": [dataclasses.asdict(layer) for layer in summary.layers],
            "parameters": summary.parameters,
            "auxiliary_parameters": summary.auxiliary_parameters,
            "multiply_adds": summary.multiply_adds,
        },
        indent=2,
    )


def as_csv(summary: Summary) -> str:
    """Returns the layers as CSV with a header line."""
    text = io.StringIO()
    rows = [dataclasses.asdict(layer) for layer in summary.layers]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(entry) for name, entry in row.items()} for row in rows)
    return text.getvalue()


def _cell(entry: object) -> object:
    numbers = isinstance(entry, tuple) and all(isinstance(size, int | float) for size in entry)
    return _by(entry) if isinstance(entry, tuple) and numbers else "" if entry is None else entry


def _padding(padding: object) -> str:
    return "explicit" if isinstance(padding, tuple) else str(padding)


def _square(sizes: tuple[float, ...] | None) -> str:
    """Returns HxW, or one number if height and width are equal."""
    if sizes is None:
        return ""
    return f"{sizes[0]:g}" if len(set(sizes)) == 1 else _by(sizes)


def _by(sizes: tuple[float, ...]) -> str:
    return by(f"{size:g}" for size in sizes)
