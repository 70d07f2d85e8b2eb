"""A sweep as tables: its trials as CSV and Parquet, the statistics of its points as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from cnn_jax import whole_file
from cnn_jax.sweep.points import key, value_text
from cnn_jax.sweep.rows import Row, SweepHeader, read_rows
from cnn_jax.sweep.statistics import differences, grouped

# Columns of a trial beside the varied fields: the attributes of a row.
_BEFORE: Mapping[str, pa.DataType] = {
    "id": pa.string(),
    "status": pa.string(),
    "fault": pa.string(),
    "message": pa.string(),
}
_AFTER: Mapping[str, pa.DataType] = {
    "seed": pa.int64(),
    "test_accuracy": pa.float64(),
    "test_loss": pa.float64(),
    "top1_error": pa.float64(),
    "top5_error": pa.float64(),
    "final_epoch": pa.int64(),
    "parameters": pa.int64(),
    "multiply_adds": pa.int64(),
    "images_per_second": pa.float64(),
    "compile_seconds": pa.float64(),
    "training_seconds": pa.float64(),
    "evaluation_seconds": pa.float64(),
    "total_seconds": pa.float64(),
    "attempts": pa.int64(),
    "commit": pa.string(),
    "dirty": pa.string(),
    "packages": pa.string(),
    "device": pa.string(),
    "host": pa.string(),
    "trained_together": pa.int64(),
}
_POINT_MEANS = ("test_loss", "parameters", "multiply_adds", "training_seconds")


def write_table(folder: Path) -> Path:
    """Writes table.csv, table.parquet and points.csv into a sweep's folder, each whole or not at all.

    Args:
      folder: of a sweep, finished or not.

    Returns:
      The path of table.csv.

    Raises:
      SweepFolderError: where sweep.json is missing or damaged.
    """
    header, rows = read_rows(folder)
    table = trials_table(header, rows)
    parquet = io.BytesIO()
    pyarrow.parquet.write_table(table, parquet)
    columns = [column.to_pylist() for column in table.columns]
    whole_file.write(folder / "table.parquet", parquet.getvalue())
    whole_file.write(folder / "points.csv", _csv(*_points(header, rows)))
    whole_file.write(folder / "table.csv", _csv(table.column_names, list(zip(*columns, strict=True))))
    return folder / "table.csv"


def trials_table(header: SweepHeader, rows: Sequence[Row]) -> pa.Table:
    """One row per trial.

    Args:
      header: of the sweep.
      rows: of all its trials.

    Returns:
      Columns for what became of a trial, for every varied field, for the attributes of a row, and the end of a
      failed trial's log. What is not known is null.
    """
    columns = {name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in _BEFORE.items()}
    columns |= {field: _field_column([row.point[field] for row in rows]) for field in header.fields}
    columns |= {name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in _AFTER.items()}
    columns["log_tail"] = pa.array(["\n".join(row.log_tail) or None for row in rows], pa.string())
    return pa.table(columns)


def _field_column(values: Sequence[Any]) -> pa.Array:
    """The values of one config field, in the type that they share; as text where they share none."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1 and kinds <= {bool, int, float, str}:
        return pa.array(values)
    if kinds == {int, float}:
        return pa.array(values, pa.float64())
    return pa.array([None if value is None else value_text(value) for value in values], pa.string())


def _points(header: SweepHeader, rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Names and lines of points.csv."""
    names = [*header.fields, "n", "n_failed", "n_infeasible", "n_unfinished"]
    names += [f"test_accuracy_{figure}" for figure in ("mean", "deviation", "low", "high")]
    names += [f"{metric}_mean" for metric in _POINT_MEANS]
    names += [f"difference_{figure}" for figure in ("n", "n_unpaired", "mean", "low", "high", "p_value", "p_holm")]
    names.append("difference_significant")
    means = [grouped(rows, header.fields, metric) for metric in _POINT_MEANS]
    compared = {key(each.values): each for each in differences(rows, header.fields, header.baseline)}
    lines = []
    for group, *others in zip(grouped(rows, header.fields), *means, strict=True):
        found = group.estimate
        line: list[Any] = [None if value is None else value_text(value) for value in group.values]
        line += [found.n, group.n_failed, group.n_infeasible, group.n_unfinished]
        line += [found.mean, found.deviation, found.low, found.high]
        line += [other.estimate.mean for other in others]
        difference = compared.get(key(group.values))
        if difference is None:
            line += [None] * 8
        else:
            paired = difference.estimate
            line += [paired.n, difference.n_unpaired, paired.mean, paired.low, paired.high]
            line += [difference.p_value, difference.p_holm, difference.significant]
        lines.append(line)
    return names, lines


def _csv(names: Sequence[str], lines: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for line in lines:
        writer.writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in line])
    return text.getvalue().encode()
