"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def write(path: Path, content: bytes) -> None:
    """Writes a file under another name and moves it into place.

    Args:
      path: of the file; an older one is replaced.
      content: all of it.

    Raises:
      OSError: where it cannot be written; an older one then stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Opens a text file to be written piece by piece; it appears under its name when all is written.

    Args:
      path: Path of the file; an older one is replaced. It stays where the `with` ends by an exception.

    Raises:
      OSError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
