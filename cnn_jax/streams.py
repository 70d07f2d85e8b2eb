"""Standard output and standard error of a process of this package."""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from cnn_jax.plain_text import plain_lines

_PACKAGE = str(Path(__file__).parent)
_format_warning = warnings.formatwarning


def protect() -> None:
    """Makes whatever this process prints to its standard streams safe: warnings, log lines and tracebacks too."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks, and lone surrogates
    warnings.formatwarning = _warning
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_PlainFormatter())
    sys.excepthook = _print_exception


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Formats a warning of this package in one line, and those of others as Python does."""
    if filename.startswith(_PACKAGE) and category is UserWarning:
        return f"warning: {plain_lines(message)}\n"
    return plain_lines(_format_warning(message, category, filename, lineno, line))


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain_lines(super().format(record))


def _print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(plain_lines("".join(traceback.format_exception(kind, error, trace))))
