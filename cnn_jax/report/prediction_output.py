"""Prints and writes predictions one by one, so that they need not fit into memory."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from cnn_jax import whole_file
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.errors import DataError
from cnn_jax.plain_text import plain_lines, shortened
from cnn_jax.report.class_keys import class_keys
from cnn_jax.report.prediction import Prediction, Unreadable
from cnn_jax.terminal import cell

_COLUMNS = ("file", "class", "probability", "changes")  # CSV columns before those of the classes
_LABEL = 40  # maximum characters of a class name in the terminal's table
_LISTED = 20  # maximum number of files that a message names


def write(
    results: Iterable[Prediction | Unreadable], class_names: Sequence[str], form: str, output: Path | None
) -> list[Unreadable]:
    """Prints predictions, and optionally writes them to a file.

    Args:
      results: Predictions, as `prediction.predict` returns them.
      class_names: Names of the classes in label order.
      form: Format of the printed output: "table", "json" or "csv".
      output: A .json or .csv file to write; None writes none.

    Returns:
      The files that were not predicted.

    Raises:
      ConfigError: If the file cannot be written.
      DataError: If nothing was predicted; then nothing is printed or written.
    """
    unreadable: list[Unreadable] = []
    predicted = 0
    with contextlib.ExitStack() as stack:
        texts: list[_Text] = []
        if form != "table":
            texts.append(_TEXTS[form](_Plain(sys.stdout) if sys.stdout.isatty() else sys.stdout, class_names))
        if output is not None:
            file = stack.enter_context(_opened(output))
            texts.append(_TEXTS[output.suffix[1:]](file, class_names))
        table = _table()
        for result in results:
            if isinstance(result, Unreadable):
                unreadable.append(result)
                continue
            predicted += 1
            if form == "table":
                _add_row(table, result)
            for text in texts:
                text.write(result)
        if not predicted:
            raise DataError(listed(unreadable, len(unreadable)))
        for text in texts:
            text.end()
    if form == "table":
        console = Console()
        Console(width=None if console.is_terminal else 160).print(table)
    return unreadable


def listed(unreadable: Sequence[Unreadable], files: int) -> str:
    """Formats the message about files that were not predicted.

    Args:
      unreadable: Pictures that could not be read.
      files: Number of all files.
    """
    if files == 1:
        return f"--images: {unreadable[0].reason}"
    lines = [each.reason for each in unreadable[:_LISTED]]
    more = len(unreadable) - len(lines)
    head = f"--images: {len(unreadable)} of {files} files cannot be read as pictures"
    return "\n  ".join([f"{head}:", *lines, *([f"and {more} more"] if more else [])])


@contextlib.contextmanager
def _opened(output: Path) -> Iterator[TextIO]:
    """Opens the file of --output."""
    if output.is_dir():
        raise ConfigError([f"--output: {output} is a folder"])
    try:
        with whole_file.opened(output) as file:
            yield file
    except OSError as error:
        raise ConfigError([f"--output: cannot write {output}: {error.strerror}"]) from error


# --- table --------------------------------------------------------------------------------------------


def _table() -> Table:
    """Creates the terminal's table, with the three most probable classes of each picture."""
    table = Table()
    for heading in ("file", "class", "probability", "next", "changed to fit"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "probability" else "left")
    return table


def _add_row(table: Table, row: Prediction) -> None:
    ranked = sorted(row.probabilities.items(), key=lambda entry: -entry[1])[1:3]
    following = ", ".join(f"{shortened(name, _LABEL)} {value:.1%}" for name, value in ranked)
    file = cell(os.path.relpath(row.file))
    table.add_row(file, cell(row.label, _LABEL), f"{row.probability:.1%}", cell(following), row.changes)


# --- JSON and CSV -------------------------------------------------------------------------------------


class _Plain(io.TextIOBase):
    """Escapes control characters before they reach a terminal."""

    def __init__(self, terminal: TextIO):
        self._terminal = terminal

    def write(self, text: str) -> int:
        return self._terminal.write(plain_lines(text))


class _Json:
    """A JSON array, one object for each picture."""

    def __init__(self, file: TextIO | io.TextIOBase, class_names: Sequence[str]):
        self._file = file
        self._before = "["

    def write(self, row: Prediction) -> None:
        self._file.write(f"{self._before}\n{textwrap.indent(json.dumps(dataclasses.asdict(row), indent=2), '  ')}")
        self._before = ","

    def end(self) -> None:
        self._file.write("\n]\n")


class _Csv:
    """CSV with file, class, probability, changes, and a column for each class, with full names.

    A class whose name equals one of the first four columns has the column "class NAME".
    """

    def __init__(self, file: TextIO | io.TextIOBase, class_names: Sequence[str]):
        self._writer = csv.writer(file, lineterminator="\n")
        self._head: Sequence[str] | None = [*_COLUMNS, *class_keys(class_names, _COLUMNS)]

    def write(self, row: Prediction) -> None:
        if self._head is not None:
            self._writer.writerow(self._head)
            self._head = None
        self._writer.writerow([row.file, row.label, row.probability, row.changes, *row.probabilities.values()])

    def end(self) -> None:
        pass


_Text = _Json | _Csv
_TEXTS: dict[str, type[_Json] | type[_Csv]] = {"json": _Json, "csv": _Csv}
