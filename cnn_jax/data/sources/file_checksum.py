"""Checksums by which replaced files are noticed, without reading all of large ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.data.errors import DataError

ENDS = 2**16  # bytes
_WHOLE = 2**26  # bytes up to which a file is read whole
_BLOCK = 2**20


def add_ends(digest: hashlib._Hash, path: Path, name: str, field: str) -> None:
    """Adds to a digest a file's name, size, and first and last 64 KiB.

    Args:
      digest: Digest that is changed.
      path: The file.
      name: Name that is added.
      field: The config's name for it, for errors.

    Raises:
      DataError: If it is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(f"{name} {size}".encode())
            for start in sorted({0, max(0, size - ENDS)}):
                file.seek(start)
                digest.update(file.read(ENDS))
    except OSError as error:
        raise DataError(f"{field}: {path} cannot be read: {error.strerror}") from error


def of_files(paths: Sequence[Path], field: str) -> str:
    """Computes a checksum of files: of whole ones up to 64 MiB, of the size and both ends of larger ones.

    Args:
      paths: The files, in an order that does not depend on where they lie.
      field: The config's name for them, for errors.

    Returns:
      SHA-256 (hex).

    Raises:
      DataError: If one is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            size = path.stat().st_size
            if size <= _WHOLE:
                digest.update(f"{path.name} {size}".encode())
                with path.open("rb") as file:
                    while block := file.read(_BLOCK):
                        digest.update(block)
                continue
        except OSError as error:
            raise DataError(f"{field}: {path} cannot be read: {error.strerror}") from error
        add_ends(digest, path, path.name, field)
    return digest.hexdigest()
