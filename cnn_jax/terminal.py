"""Printing where text of users may occur: nothing of it is markup, an emoji code or a terminal's escape code."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.text import Text

from cnn_jax.plain_text import plain, plain_lines, shortened

_PACKAGE = str(Path(__file__).parent)
_format_warning = warnings.formatwarning


def print_line(console: Console, text: object) -> None:
    """Prints a text as it is; a long line is not broken.

    Args:
      console: Where to print.
      text: Any text; line ends in it are kept.
    """
    console.print(Text(plain_lines(text)), soft_wrap=True)


def cell(text: object, most: int | None = None) -> Text:
    """Makes a cell of a table.

    Args:
      text: Any text.
      most: Largest width in characters; None shows all.
    """
    return Text(plain(text) if most is None else shortened(str(text), most))


def protect() -> None:
    """Makes whatever this process prints to its standard streams safe: warnings, log lines and tracebacks too."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks, and lone surrogates
    warnings.formatwarning = _warning
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_PlainFormatter())
    sys.excepthook = _print_exception


def _warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """Formats a warning of this package in one line, and those of others as Python does."""
    if filename.startswith(_PACKAGE) and category is UserWarning:
        return f"warning: {plain_lines(message)}\n"
    return plain_lines(_format_warning(message, category, filename, lineno, line))


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain_lines(super().format(record))


def _print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(plain_lines("".join(traceback.format_exception(kind, error, trace))))
