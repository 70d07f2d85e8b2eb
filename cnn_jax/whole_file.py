"""Writes files atomically, and checks that files can be read."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def write(path: Path, content: bytes) -> None:
    """Writes a file atomically: under a temporary name, which is then renamed.

    Args:
      path: Path of the file; an existing file is replaced.
      content: The whole content.

    Raises:
      OSError: If it cannot be written. It names `path`; an existing file is kept, and nothing else is left behind.
    """
    with temporary(path) as other, naming(path), other.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Opens a text file for writing; it gets its name when the `with` block ends.

    Args:
      path: Path of the file; an existing file is replaced, or kept if the block raises an exception.

    Raises:
      OSError: If it cannot be written; it names `path` unless the block raised it.
    """
    with temporary(path) as other, other.open("w", encoding="utf-8", newline="") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, which is renamed to `path` when the `with` block ends.

    Args:
      path: Path of the file; an existing file is replaced, or kept if the block raises an exception.

    Raises:
      OSError: If it cannot be renamed; it names `path`.
    """
    other = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield other
        with naming(path):
            other.replace(path)
    finally:
        with contextlib.suppress(OSError):
            other.unlink()  # it could fill the disk


def append(file: io.FileIO, content: bytes) -> None:
    """Appends to an open file, which is truncated to its old size if the write fails.

    Args:
      file: File open for appending, without a buffer.
      content: Bytes to append.

    Raises:
      OSError: If it cannot be written; it names the file.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        with naming(Path(file.name)):
            written = 0
            while written < len(content):
                written += file.write(content[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file.fileno(), size)
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Makes OSErrors inside the `with` block name this path, which the system's often do not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


def check_readable(folder: Path) -> None:
    """Reads all files of a folder and its subfolders.

    Raises:
      OSError: If a file or folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            with Path(parent, name).open("rb", buffering=0) as file:
                while file.read(2**20):
                    pass
