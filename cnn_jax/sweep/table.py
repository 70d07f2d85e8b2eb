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
from cnn_jax.run import metrics
from cnn_jax.sweep.points import point_key, value_text
from cnn_jax.sweep.rows import LEADING, Row, SweepHeader, columns, read_rows
from cnn_jax.sweep.statistics import averaged, differences, grouped

_TYPES: Mapping[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def write_table(folder: Path) -> Path:
    """Writes table.csv, table.parquet and points.csv into a sweep's folder, each whole or not at all.

    Args:
      folder: Folder of a sweep, finished or not.

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
    """Makes a table with one row for each trial.

    Args:
      header: Header of the sweep.
      rows: All its trials.

    Returns:
      The columns that the records of a row declare, and after the first ones a column for each varied field. What is
      not known is null.
    """
    declared = {
        each.column.name: pa.array([row.values[each.column.name] for row in rows], _TYPES[each.type])
        for each in columns()
    }
    varied = {field: _field_column([row.point[field] for row in rows]) for field in header.fields}
    first = {name: declared.pop(name) for name in LEADING}
    return pa.table(first | varied | declared)


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
    names += [f"{metrics.PRIMARY.column}_{figure}" for figure in ("mean", "deviation", "low", "high")]
    names += [f"{each.column.name}_mean" for each in averaged()]
    names += [f"difference_{figure}" for figure in ("n", "n_unpaired", "mean", "low", "high", "p_value", "p_holm")]
    names.append("difference_significant")
    means = [grouped(rows, header.fields, each.column.name) for each in averaged()]
    compared = {point_key(each.values): each for each in differences(rows, header.fields, header.baseline)}
    lines = []
    for group, *others in zip(grouped(rows, header.fields), *means, strict=True):
        found = group.estimate
        line: list[Any] = [None if value is None else value_text(value) for value in group.values]
        line += [found.n, group.n_failed, group.n_infeasible, group.n_unfinished]
        line += [found.mean, found.std, found.low, found.high]
        line += [other.estimate.mean for other in others]
        difference = compared.get(point_key(group.values))
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
