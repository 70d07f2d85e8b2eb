"""Standard output and standard error of a process of this package.

A run survives that they are closed by the reader, as by `| head`, or lie on a full disk; and what is printed there is
safe for a terminal.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

from cnn_jax.plain_text import plain_lines
from cnn_jax.run.exit_codes import DONE, FAILED

_PACKAGE = str(Path(__file__).parent.parent)
_format_warning = warnings.formatwarning
_faults: list[OSError] = []  # of standard output, but that its reader has gone away


class _Stream(io.FileIO):
    """A standard stream; once it cannot be written, what follows is dropped."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content) or 0
        except OSError as error:
            if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
                _faults.append(error)
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return len(content)


def open_closed() -> None:
    """Opens the standard streams that were closed by whoever started this process, as nothing.

    Otherwise the next files and pipes would take their numbers, and what is printed, also by processes that are started
    from here, would go into those.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest number that is free


def protect() -> None:
    """Replaces sys.stdout and sys.stderr by streams whose end is no error, and makes what is printed there safe."""
    sys.stdout, sys.stderr = _protected(sys.stdout, 1), _protected(sys.stderr, 2)
    make_text_safe()


def make_text_safe() -> None:
    """Makes whatever this process prints to its standard streams safe: warnings, log lines and tracebacks too."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks, and lone surrogates
    warnings.formatwarning = _warning
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_PlainFormatter())
    sys.excepthook = _print_exception


def exit_code(code: int) -> int:
    """Gives the exit code of this process: FAILED in place of DONE where its output could not be written.

    Args:
      code: Exit code of what it did.
    """
    sys.stdout.flush()
    if not _faults:
        return code
    print(f"failed: standard output cannot be written: {_faults[0].strerror}", file=sys.stderr)
    return FAILED if code == DONE else code


def _protected(stream: Any, descriptor: int) -> Any:
    if stream is None:  # closed by whoever started this process
        return open(os.devnull, "w", encoding="utf-8")
    raw = _Stream(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=descriptor == 2 or raw.isatty(),
    )


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
