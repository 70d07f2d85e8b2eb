"""Files that are written whole or not at all, and whether files can be read."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def write(path: Path, content: bytes) -> None:
    """Writes a file under another name and moves it into place.

    Args:
      path: Path of the file; an older one is replaced.
      content: The whole content.

    Raises:
      OSError: If it cannot be written; it names `path`, an older file stays, and nothing else is left there.
    """
    with temporary(path) as other, naming(path), other.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Opens a text file to be written piece by piece; it appears under its name when all is written.

    Args:
      path: Path of the file; an older one is replaced. It stays where the `with` ends by an exception.

    Raises:
      OSError: If it cannot be written; it names `path` unless the `with` raised it.
    """
    with temporary(path) as other, other.open("w", encoding="utf-8", newline="") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Gives another name beside a file; what is written there is moved into place at the end.

    Args:
      path: Path of the file; an older one is replaced. It stays where the `with` ends by an exception.

    Raises:
      OSError: If it cannot be moved; it names `path`.
    """
    other = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield other
        with naming(path):
            other.replace(path)
    finally:
        with contextlib.suppress(OSError):
            other.unlink()  # on a full disk it would take the space that is left


def append(file: io.FileIO, content: bytes) -> None:
    """Appends to an open file; what cannot be written whole is taken back.

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
    """Inside the `with` an OSError names this path, which the system's own often does not.

    Args:
      path: File or folder that is written.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


def check_readable(folder: Path) -> None:
    """Reads all files of a folder.

    Args:
      folder: Path of the folder.

    Raises:
      OSError: If one of them, or a folder, cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            with Path(parent, name).open("rb", buffering=0) as file:
                while file.read(2**20):
                    pass
