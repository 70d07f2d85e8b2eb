"""Data of the table of trials on a sweep's page, which a script renders."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import markupsafe

from cnn_jax.plain_text import plain_lines
from cnn_jax.run.columns import FieldColumn
from cnn_jax.sweep.points import value_text
from cnn_jax.sweep.rows import Row

LEGIBLE_VALUES = 12  # maximum values of a field in a heat map; with more numbers, the axis is continuous
_DRAWABLE = 1e-100, 1e100  # magnitudes that an axis can show


class FieldText(NamedTuple):
    """Formatting of a field's values on the page.

    Attributes:
      field: Dotted name.
      numeric: Whether the column sorts by number.
      text: Returns the text of a value.
    """

    field: str
    numeric: bool
    text: Callable[[Any], str]

    @classmethod
    def of(cls, field: str, values: Sequence[Any]) -> FieldText:
        """Chooses the formatting for the distinct values of a field."""
        return cls(field, _is_numeric(values), rounded if is_continuous(values) else value_text)


def trial_rows(rows: Sequence[Row], fields: Sequence[FieldText], columns: Sequence[FieldColumn]) -> markupsafe.Markup:
    """Encodes the rows of the trials as JSON that is safe in a script element.

    Args:
      rows: All trials.
      fields: The varied fields.
      columns: Further columns.

    Returns:
      A list for each trial: its id, its status, its fault as [fault, message, end of the log] or "", then a cell for
        each field and column: a text, or a text and the number to sort by.
    """
    content = json.dumps([_row(row, fields, columns) for row in rows], separators=(",", ":"), ensure_ascii=False)
    return markupsafe.Markup(content.replace("<", "\\u003c"))


def _row(row: Row, fields: Sequence[FieldText], columns: Sequence[FieldColumn]) -> list[Any]:
    outcome = row.outcome
    happened = [outcome.fault or "", outcome.message, "\n".join(outcome.log_tail)]
    cells: list[Any] = [plain_lines(row.id), row.status, [*map(plain_lines, happened)] if any(happened) else ""]
    for each in fields:
        value = row.point[each.field]
        text = plain_lines(each.text(value))
        cells.append([text, ""] if value is None else [text, value] if each.numeric else text)
    for column in columns:
        value = row.values[column.column.name]
        text = plain_lines(column.column.shown(value))
        cells.append([text, value] if column.type is not str and value is not None else text)
    return cells


def _is_numeric(values: Sequence[Any]) -> bool:
    """Returns whether a column sorts by number: at least one value is set, and all that are set are numbers."""
    present = [value for value in values if value is not None]
    return bool(present) and all(type(value) in (int, float) for value in present)


def is_continuous(values: Sequence[Any]) -> bool:
    """Returns whether a field has so many numeric values that plots and filters use continuous axes."""
    if len(values) <= LEGIBLE_VALUES or not _is_numeric(values):
        return False
    return all(value is None or value == 0 or _DRAWABLE[0] < abs(value) < _DRAWABLE[1] for value in values)


def rounded(value: Any) -> str:
    """Formats a value of a continuous field."""
    return f"{value:.6g}" if type(value) is float else value_text(value)
