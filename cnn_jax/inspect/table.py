"""CSV of rows of results."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Writes rows as CSV with a header line.

    Args:
      rows: At least one row, all with the same columns; None becomes an empty cell.

    Returns:
      The CSV text.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
