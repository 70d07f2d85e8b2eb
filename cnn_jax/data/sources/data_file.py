"""One data file, gz or not, opened to be read from its beginning to its end."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from cnn_jax.data.errors import DataError

# The most bytes that one byte of a gz file unpacks to (zlib's technical details).
_GZ_RATIO = 1032
_HEAD = 64  # bytes
# How files begin that people have in place of the data.
_FOREIGN = {
    rb"PK\x03\x04": "a zip archive (an Excel workbook is one too): unpack it, or save the table as CSV",
    rb"BZh[1-9]1AY": "packed by bzip2: unpack it, or pack it by gzip",
    rb"\xfd7zXZ\x00": "packed by xz: unpack it, or pack it by gzip",
    rb"\x28\xb5\x2f\xfd": "packed by zstd: unpack it, or pack it by gzip",
    rb"7z\xbc\xaf\x27\x1c|Rar!\x1a": "a packed archive: unpack it",
    rb"\x1f\x8b": "packed by gzip twice: unpack it once",
    rb"\x93NUMPY": "a file of NumPy: write it as IDX or CSV",
    rb"\x89HDF": "an HDF5 file: write it as IDX or CSV",
    rb"PAR1": "a Parquet file: write it as CSV",
    rb"version https://git-lfs": "a pointer of Git LFS: get the file itself by `git lfs pull`",
    rb"(?i)\s*(<!doctype|<html|<\?xml)": "a web page, not the data: download the file itself",
}


@dataclasses.dataclass(frozen=True)
class DataFile:
    """An open file.

    Attributes:
      content: Unpacked content.
      raw: The file on disk.
      size: Bytes on disk; 0 for a pipe.
      packed: Whether it is gz.
    """

    content: io.BufferedIOBase
    raw: io.BufferedReader
    size: int
    packed: bool = False

    @property
    def most_bytes(self) -> int | None:
        """The most bytes that the content can have, which is their number where it is not gz; None for a pipe."""
        return self.size * (_GZ_RATIO if self.packed else 1) or None

    @property
    def share_read(self) -> float | None:
        """Share of the file that has been read, or read ahead, so far; None for a pipe."""
        return min(1.0, self.raw.tell() / self.size) if self.size else None


@contextlib.contextmanager
def opened(path: Path, field: str) -> Iterator[DataFile]:
    """Opens a file; what fails while it is read is an error that names it.

    Args:
      path: The file.
      field: The config's name for it, for errors.

    Raises:
      DataError: Where it is missing, unreadable, or a damaged gz file.
    """
    try:
        with _open(path, field) as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            content = gzip.GzipFile(fileobj=raw) if packed else raw
            if (kind := foreign(content.peek(_HEAD)[:_HEAD])) is not None:
                raise DataError(f"{field}: {path} is {kind}")
            yield DataFile(content, raw, os.fstat(raw.fileno()).st_size, packed)
    except FileNotFoundError:
        raise DataError(f"{field}: there is no file {path}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{field}: {path} is a damaged gz file ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{field}: {path} cannot be read: {error.strerror or error}") from error


def foreign(head: bytes) -> str | None:
    """Says what a file is by its first bytes, unpacked; None where it may hold images or a table."""
    return next((kind for start, kind in _FOREIGN.items() if re.match(start, head)), None)


def _open(path: Path, field: str) -> io.BufferedReader:
    try:
        return path.open("rb")
    except ValueError as error:  # Python's answer to a NUL
        raise DataError(f"{field}: {str(path)!r} is no path: {error}") from error


def read_bytes(path: Path, field: str) -> bytes:
    """Reads a file whole, unpacked where it is gz; arguments and errors as `opened`."""
    with opened(path, field) as file:
        return file.content.read()
