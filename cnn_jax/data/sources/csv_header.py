"""The first line of a CSV file: what separates its cells, whether it names the columns, and which one is the label."""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from collections import Counter
from collections.abc import Sequence

from cnn_jax.data.errors import DataError

# Names of a label column, in any case, where config.data.label_column gives none.
LABEL_NAMES = ("label", "labels", "class", "target")
_DELIMITERS = (",", ";", "\t", " ")
# The fewest columns at which a line 0, 1, 2, ... cannot be an image.
_COUNTING = 17
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_NUMBERED_NAME = re.compile(r"(\D*)(\d+)", re.ASCII)


def find_delimiter(line: str, columns: int) -> str:
    """Finds what separates the cells of a line: comma, semicolon, tab or spaces.

    Args:
      line: The first line.
      columns: Number of cells that are expected.
    """
    counts = dict.fromkeys(_DELIMITERS, 1)
    for delimiter in _DELIMITERS:
        with contextlib.suppress(csv.Error):  # a line that it does not separate may be too long for a cell
            counts[delimiter] = len(split_cells(line, delimiter))
    fitting = [delimiter for delimiter, count in counts.items() if count == columns]
    return fitting[0] if fitting else max(_DELIMITERS, key=lambda delimiter: counts[delimiter])


def split_cells(line: str, delimiter: str) -> list[str]:
    """Splits a line into cells, without quotes and the spaces around them.

    Raises:
      csv.Error: Where a cell is longer than any number or name.
    """
    reader = csv.reader([line.strip(" \n")], delimiter=delimiter, skipinitialspace=True)
    return [cell.strip() for cell in next(reader, [])]


def whole_number(cell: str) -> int | None:
    """Reads a cell such as 12, 12.0 or 1.2e1; None where it is no whole number."""
    if not _NUMBER.fullmatch(cell):
        return None
    if len(cell) <= 18 and cell.lstrip("+-").isdigit():
        return int(cell)
    value = float(cell)
    return int(value) if value.is_integer() else None


def is_header(cells: Sequence[str], label_column: str | int | None, where: str) -> bool:
    """Tells whether the first line names the columns.

    It does where a cell is the label's name, asked for or usual, where half of the cells are words, and where it counts
    the columns. So does what pandas writes for a first image that it took for names: a value that
    is there already gets a number, 0 becomes 0.1.

    Args:
      cells: The first line's.
      label_column: As `config.data.label_column`.
      where: The file, for the error.

    Raises:
      DataError: Where it may be column numbers or a small image.
    """
    words = [cell for cell in cells if cell and not _NUMBER.fullmatch(cell)]
    if 2 * len(words) >= len(cells) or any(word.casefold() in LABEL_NAMES for word in words):
        return True
    if isinstance(label_column, str) and label_column.casefold() in [cell.casefold() for cell in cells]:
        return True
    if list(cells) in [[str(number + first) for number in range(len(cells))] for first in (0, 1)]:
        if len(cells) >= _COUNTING:
            return True
        raise DataError(
            f"{where}, line 1 counts up from {cells[0]} to {cells[-1]}: if these are numbers of columns, set "
            "config.data.header=true; if they are an image, set config.data.header=false"
        )
    distinct, repeated = set(cells), [cell for cell in cells if "." in cell]
    return bool(repeated) and len(distinct) == len(cells) and all(cell.split(".")[0] in distinct for cell in repeated)


def label_index(cells: Sequence[str], has_header: bool, label_column: str | int | None, where: str) -> int:
    """Finds the label's column.

    Args:
      cells: The first line's.
      has_header: Whether it names the columns.
      label_column: A name, a number as `config.data.label_column` counts, or None: the column with one of
        `LABEL_NAMES`, or else the one whose name is of another form than all others' (digit, pixel0, pixel1, ...);
        without names the first.
      where: The file, for the error.

    Returns:
      The column, from 0.

    Raises:
      DataError: Where there is no such column, or more than one.
    """
    if isinstance(label_column, int):
        return _numbered(cells, has_header, label_column, where)
    if label_column is not None:
        if not has_header:
            raise DataError(
                f"{where} has no line of names, so config.data.label_column={label_column} names none of its "
                f"{len(cells)} columns; give the column's number, such as 1 for the first or -1 for the last"
            )
        return _named(cells, label_column, where)
    if not has_header:
        return 0
    folded = [cell.casefold() for cell in cells]
    usual = [name for name in LABEL_NAMES if name in folded]
    if len(usual) > 1:
        raise DataError(
            f"{where} has columns called {' and '.join(usual)}; set config.data.label_column to the label's, and leave "
            "the other out"
        )
    if usual:
        return _named(folded, usual[0], where)
    if all(_NUMBER.fullmatch(cell) for cell in cells):
        return 0
    forms = [re.sub(r"\d+", "0", cell) for cell in folded]
    (form, count), *_ = Counter(forms).most_common(1)
    if count == len(cells) - 1 > 1 and re.search(r"[^\W\d_]", form):
        return next(index for index, other in enumerate(forms) if other != form)
    raise DataError(
        f"{where}: none of the columns {_listed(cells)} is called {', '.join(LABEL_NAMES)}; set "
        "config.data.label_column to the label's name or number (1 is the first, -1 the last)"
    )


def check_order(cells: Sequence[str], label: int, where: str) -> None:
    """Refuses pixels whose numbered names are out of order, as pixel1, pixel10, pixel2, ... are.

    Args:
      cells: Names of the columns.
      label: Index of the label's.
      where: The file, for the error.
    """
    found = [_NUMBERED_NAME.fullmatch(cell) for index, cell in enumerate(cells) if index != label]
    named = [(each[1], int(each[2])) for each in found if each is not None]
    if len(named) < len(found) or len({stem for stem, _ in named}) > 1:
        return
    for (stem, number), (_, next_number) in itertools.pairwise(named):
        if next_number <= number:
            raise DataError(
                f"{where}: the columns are out of order: {stem}{number} stands before {stem}{next_number}, expected "
                "the pixels row by row"
            )


def _numbered(cells: Sequence[str], has_header: bool, number: int, where: str) -> int:
    columns = len(cells)
    if not 1 <= abs(number) <= columns:
        raise DataError(
            f"{where} has {columns} columns, and config.data.label_column={number}; 1 is the first, -1 the last"
        )
    index = number - 1 if number > 0 else columns + number
    if has_header and str(number) in cells and cells.index(str(number)) != index:
        raise DataError(
            f"{where}: config.data.label_column={number} is the number of one column and the name of another, "
            f"column {cells.index(str(number)) + 1}; count from the other end, -1 is the last"
        )
    return index


def _named(cells: Sequence[str], name: str, where: str) -> int:
    matches = [index for index, cell in enumerate(cells) if cell == name]
    matches = matches or [index for index, cell in enumerate(cells) if cell.casefold() == name.casefold()]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise DataError(f"{where} has no column {name!r} (config.data.label_column); it has {_listed(cells)}")
    columns = ", ".join(str(index + 1) for index in matches)
    raise DataError(
        f"{where} has {len(matches)} columns called {name!r}: {columns}; set config.data.label_column to the number "
        "of one"
    )


def _listed(cells: Sequence[str]) -> str:
    some = cells if len(cells) <= 5 else [*cells[:3], "...", cells[-1]]
    return ", ".join(cell if len(cell) <= 40 else cell[:37] + "..." for cell in some)
