"""Images as lines of text, a label and the pixels; gz or not, with a line of names or not."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import csv_header, memory
from cnn_jax.data.sources.data_file import DataFile, opened
from cnn_jax.data.split import Split

_BLOCK = 1 << 22  # characters that are parsed at once
_CELL = 64  # characters that a cell may take on average, names included
_MOST_LABEL = np.iinfo(np.int32).max
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class _Line(NamedTuple):
    """A line that is not blank, and its number in the file, from 1."""

    number: int
    text: str


class _Layout(NamedTuple):
    """Columns of a file.

    Attributes:
      where: Field and file, for errors.
      columns: Their number.
      delimiter: Character that separates them.
      label: Index of the label's.
    """

    where: str
    columns: int
    delimiter: str
    label: int


def read_csv(
    path: Path,
    field: str,
    image_shape: tuple[int, int, int],
    label_column: str | int | None = None,
    header: bool | None = None,
    layout: Literal["HWC", "CHW"] = "HWC",
) -> Split:
    """Reads one CSV file.

    The text is UTF-8 or, with a byte order mark, UTF-16; cells are separated by commas, semicolons, tabs or spaces, and
    may be quoted; blank lines are passed over; whole numbers may be written 12, 12.0 or 1.2e1.

    Args:
      path: The file.
      field: The config's name for it, for errors.
      image_shape: (height, width, channels) in pixels.
      label_column: As `csv_header.label_index`.
      header: Whether the first line names the columns; None finds out.
      layout: Order of the pixels: "HWC" for the channel varying fastest, "CHW" for one channel after the other.

    Returns:
      The split.

    Raises:
      DataError: Where the file is missing or empty, a line is not a label and height x width x channels pixels of 0 to
        255, which names the line, or the images do not fit into the memory that is left.
    """
    where = f"{field}: {path}"
    columns = 1 + math.prod(image_shape)
    with opened(path, field) as file, _text(file) as text:
        lines = _lines(text, min(_CELL * columns + _BLOCK, 1 << 30), where)
        first = next(lines, None)
        if first is None:
            raise DataError(f"{where} is empty")
        columns_of, has_header = _layout(first, columns, label_column, header, where)
        images, labels = _Images(columns - 1, where), []
        for block in _blocks(lines if has_header else itertools.chain([first], lines)):
            values = _parsed(block, columns_of)
            labels.append(values[:, columns_of.label].copy())
            pixels = np.delete(values, columns_of.label, axis=1)
            if layout == "CHW":
                height, width, channels = image_shape
                pixels = np.moveaxis(pixels.reshape(-1, channels, height, width), 1, -1).reshape(pixels.shape)
            images.append(pixels, file.share_read)
    if not labels:
        raise DataError(f"{where} is empty but for its header")
    return Split(images.whole().reshape(-1, *image_shape), np.concatenate(labels))


def _text(file: DataFile) -> io.TextIOWrapper:
    mark = file.content.peek(2)[:2]  # type: ignore[attr-defined]
    return io.TextIOWrapper(file.content, _BYTE_ORDER_MARKS.get(mark, "utf-8-sig"))  # type: ignore[arg-type]


def _lines(text: io.TextIOWrapper, longest: int, where: str) -> Iterator[_Line]:
    """Reads the lines that are not blank."""
    for number in itertools.count(1):
        try:
            line = text.readline(longest)
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise DataError(
                f"{where} is no CSV file: byte 0x{byte:02x} in line {number} or after it is no {error.encoding.upper()}"
            ) from error
        if len(line) == longest:
            raise DataError(f"{where}, line {number} has more than {longest:,} characters: it is no line of an image")
        if not line:
            return
        if "\0" in line:
            raise DataError(
                f"{where} is no CSV file: line {number} has the character NUL; it is damaged, or UTF-16 or UTF-32 "
                "without a byte order mark: save it as UTF-8"
            )
        if not line.isspace():
            yield _Line(number, line)


def _blocks(lines: Iterator[_Line]) -> Iterator[list[_Line]]:
    """Gathers lines for parsing."""
    block, size = [], 0
    for line in lines:
        block.append(line)
        size += len(line.text)
        if size >= _BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _layout(
    first: _Line, columns: int, label_column: str | int | None, header: bool | None, where: str
) -> tuple[_Layout, bool]:
    """Understands the first line; tells too whether it names the columns."""
    try:
        delimiter = csv_header.find_delimiter(first.text, columns)
        cells = csv_header.split_cells(first.text, delimiter)
    except csv.Error as error:
        raise DataError(f"{where}, line {first.number} cannot be read: {error}") from error
    if len(cells) != columns:
        raise DataError(f"{where}, line {first.number} {_wrong_count(cells, columns)}{_fitting(cells, columns)}")
    has_header = csv_header.is_header(cells, label_column, where) if header is None else header
    label = csv_header.label_index(cells, has_header, label_column, where)
    if has_header:
        csv_header.check_order(cells, label, where)
    return _Layout(where, columns, delimiter, label), has_header


def _parsed(block: Sequence[_Line], layout: _Layout) -> Int32[np.ndarray, "n columns"]:
    """Reads the numbers of some lines, in the fastest way that they allow."""
    texts = [line.text for line in block]
    dtypes = (np.float64,) if any(mark in text for text in texts for mark in ".eE") else (np.int32, np.float64)
    for dtype in dtypes:
        try:
            values = np.loadtxt(
                texts,
                dtype,
                delimiter=None if layout.delimiter == " " else layout.delimiter,
                comments=None,
                quotechar='"',
                ndmin=2,
            )
        except ValueError:
            continue
        if values.shape == (len(block), layout.columns) and _in_range(values, layout.label):
            return values.astype(np.int32)
    return np.array([_numbers(line, layout) for line in block], np.int32)


def _in_range(values: np.ndarray, label: int) -> bool:
    """Tells whether all are whole numbers, and pixels 0 to 255."""
    labels = values[:, label]
    most = np.maximum(np.delete(values.max(axis=0), label).max(), 0)
    whole = values.dtype.kind == "i" or bool((values == np.floor(values)).all())
    return whole and bool(values.min() >= 0 and most <= 255 and labels.max() <= _MOST_LABEL)


def _numbers(line: _Line, layout: _Layout) -> list[int]:
    """Reads one line cell by cell, so that an error names the cell."""
    where = f"{layout.where}, line {line.number}"
    try:
        cells = csv_header.split_cells(line.text, layout.delimiter)
    except csv.Error as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    if len(cells) != layout.columns:
        cut = not line.text.endswith("\n") and len(cells) < layout.columns
        raise DataError(f"{where} {_wrong_count(cells, layout.columns)}" + "; the file is cut short" * cut)
    numbers = []
    for index, cell in enumerate(cells):
        value, is_label = csv_header.whole_number(cell), index == layout.label
        shown = cell if len(cell) <= 40 else cell[:37] + "..."
        if value is None:
            raise DataError(f"{where}, column {index + 1}: {shown!r} is no integer{_expected(cell, is_label)}")
        if not 0 <= value <= (_MOST_LABEL if is_label else 255):
            expected = "a label of 0 or more" if is_label else "a pixel of 0 to 255"
            raise DataError(f"{where}, column {index + 1}: {shown} is out of range, expected {expected}")
        numbers.append(value)
    return numbers


def _expected(cell: str, is_label: bool) -> str:
    """Says what helps where a cell is no integer; empty where that is unknown."""
    if is_label and re.search(r"[^\W\d_]", cell):
        return (
            "; labels are whole numbers from 0: write one for each class, and the classes' names, in their order, "
            "into config.data.class_names"
        )
    if not is_label and re.fullmatch(r"0?\.\d+([eE]-?\d+)?|\d(\.\d+)?[eE]-\d+", cell):
        return "; pixels are whole numbers of 0 to 255: if the file's are 0 to 1, multiply them by 255 and round them"
    return ""


def _wrong_count(cells: Sequence[str], columns: int) -> str:
    return f"has {len(cells)} columns, expected {columns} (a label and {columns - 1} pixels)"


def _fitting(cells: Sequence[str], columns: int) -> str:
    """Says why the first line may have another number of columns; empty where that is unknown."""
    if len(cells) == columns - 1:
        return "; does it lack the label?"
    if len(cells) == columns + 1 and (not cells[0] or cells[0].casefold().startswith("unnamed")):
        return "; its first has no name, as pandas' index: leave it out by to_csv(..., index=False)"
    if len(cells) == columns + 1 and not cells[-1]:
        return "; its last is empty, as lines end with a delimiter: remove that"
    if len(cells) == columns + 1:
        return "; one column is neither the label nor a pixel, perhaps the lines' numbers: leave it out"
    for channels in (1, 3):
        side = math.isqrt((len(cells) - 1) // channels)
        if side > 1 and side * side * channels == len(cells) - 1:
            return f"; images of {side}x{side}x{channels} would fit (config.data.height, width and channels)"
    return ""


class _Images:
    """Pixels of a file of unknown length, gathered in one piece of memory."""

    def __init__(self, pixels: int, where: str):
        self._where, self._rows = where, 0
        self._memory = memory.empty((0, pixels))

    def append(self, pixels: Int32[np.ndarray, "n pixels"], share_read: float | None) -> None:
        """Adds images.

        Args:
          pixels: Values of 0 to 255.
          share_read: Share of the file that they and the images before them take; None where that is unknown.
        """
        rows = self._rows + len(pixels)
        if rows > len(self._memory):
            expected = max(rows, round(rows / share_read)) if share_read else 2 * rows
            memory.require(expected * pixels.shape[1], self._where)
            # The system gives memory as it is written, so that room to spare costs nothing.
            grown = memory.empty((expected + expected // 8, pixels.shape[1]))
            grown[: self._rows] = self._memory[: self._rows]
            self._memory = grown
        self._memory[self._rows : rows] = pixels
        self._rows = rows

    def whole(self) -> UInt8[np.ndarray, "n pixels"]:
        """All images so far."""
        return self._memory[: self._rows]
