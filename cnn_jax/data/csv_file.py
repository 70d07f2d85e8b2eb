"""Images as lines of text: a label, then the pixels; gz or not, with a header or not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from cnn_jax.data.errors import DataError
from cnn_jax.data.idx import read_bytes
from cnn_jax.data.split import Split


def read_csv(path: Path, field: str, height: int, width: int, channels: int) -> Split:
    """Reads one CSV file.

    Args:
      path: of the file.
      field: the config's name for it, for errors.
      height, width: of the images, in pixels.
      channels: of the images; the channel varies fastest.

    Returns:
      The split.

    Raises:
      DataError: where the file is missing, empty, or a line is not 1 + height x width x channels integers,
        pixels 0 to 255; names the line.
    """
    columns = 1 + height * width * channels
    try:
        lines = read_bytes(path, field).decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{field}: {path} is no CSV file: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from error
    while lines and not lines[-1].strip():
        lines.pop()
    first = 1 if lines and _is_header(lines[0]) else 0
    if len(lines) == first:
        raise DataError(f"{field}: {path} is empty" + (" but for its header" if first else ""))
    try:
        values = np.loadtxt(
            io.StringIO("\n".join(lines[first:])), delimiter=",", dtype=np.int32, ndmin=2, comments=None
        )
    except ValueError:
        values = None
    if values is None or values.shape != (len(lines) - first, columns) or not _in_range(values):
        raise DataError(_what_is_wrong(path, field, lines, first, columns))
    labels, pixels = values[:, 0], values[:, 1:].astype(np.uint8)
    return Split(pixels.reshape(-1, height, width, channels), np.ascontiguousarray(labels))


def _is_header(line: str) -> bool:
    """A header names at least its first column with a word."""
    return any(letter.isalpha() for letter in line.partition(",")[0])


def _in_range(values: np.ndarray) -> bool:
    return bool(values[:, 0].min() >= 0 and values[:, 1:].min() >= 0 and values[:, 1:].max() <= 255)


def _what_is_wrong(path: Path, field: str, lines: list[str], first: int, columns: int) -> str:
    """Finds the first line that cannot be read."""
    for number, line in enumerate(lines[first:], start=first + 1):
        cells = line.split(",")
        where = f"{field}: {path}, line {number}"
        if len(cells) != columns:
            what = f"{where} has {len(cells)} columns, expected {columns} (a label and {columns - 1} pixels)"
            return what + ("; the file is cut short" if number == len(lines) and len(cells) < columns else "")
        for column, cell in enumerate(cells, start=1):
            try:
                value = int(cell)
            except ValueError:
                return f"{where}, column {column}: {cell!r} is no integer"
            if value < 0 or (column > 1 and value > 255):
                return f"{where}, column {column}: {value} is out of range, expected " + (
                    "a label of 0 or more" if column == 1 else "a pixel of 0 to 255"
                )
    return f"{field}: {path} cannot be read as {columns} columns of integers"
