"""Standard output and error that a run survives: closed by the reader, as by `| head`, or on a full disk."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from cnn_jax.run.exit_codes import DONE, FAILED

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
    """Replaces sys.stdout and sys.stderr by streams whose end is no error."""
    sys.stdout, sys.stderr = _protected(sys.stdout, 1), _protected(sys.stderr, 2)


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
