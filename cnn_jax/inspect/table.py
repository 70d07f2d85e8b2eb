"""Rows of results as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Writes rows as CSV with a header line.

    Args:
      rows: At least one row, all of the same columns; None is an empty cell.

    Returns:
      The text.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
