"""Files within tar files: where they lie, without reading them."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import listing

_READ_AT_ONCE = 1 << 20
_TAR_MAGIC, _MAGIC_AT = b"ustar", 257  # of a member's header, and where it stands


class Member(NamedTuple):
    """A file within a tar file.

    Attributes:
      name: Its path in the tar file.
      offset, size: Its place in the file on disk, in bytes.
    """

    name: str
    offset: int
    size: int


def members(path: Path, field: str, within: Member | None = None) -> list[Member]:
    """Lists the files of a tar file, or of one that lies within it, without reading them; hidden ones are left out.

    Args:
      path: The tar file.
      field: The config's or flag's name for it, for errors.
      within: A tar file within it that is listed in its place; None lists the file itself.

    Raises:
      DataError: Where it is none, damaged or cut short.
    """
    where = f"{field}: {path}" + (f", in it {within.name}," if within else "")
    start = within.offset if within else 0
    try:
        with path.open("rb") as file:
            end = start + within.size if within else file.seek(0, os.SEEK_END)
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                # A member's place is told from the beginning of the file that was opened, wherever the reading began.
                found = [
                    Member(member.name, member.offset_data, member.size)
                    for member in tar
                    if member.isfile() and not listing.is_hidden(PurePosixPath(member.name).name)
                ]
                # A damaged header ends the list as the zeros do that end a whole file.
                file.seek(tar.offset)
                whole = tar.offset + tarfile.BLOCKSIZE <= end and _is_end(file, end - tar.offset)
    except tarfile.TarError as error:
        raise DataError(f"{where} is no tar file, or a damaged one: {error}") from error
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error
    if not whole:
        raise DataError(f"{where} is damaged or cut short after {len(found)} files; fetch it again")
    return found


def _is_end(file: BinaryIO, size: int) -> bool:
    """Tells whether the next bytes end a tar file: two blocks of zeros, then zeros, or old data that fills a record."""
    ends = min(size, 2 * tarfile.BLOCKSIZE)
    if any(file.read(ends)):
        return False
    size -= ends
    if size < tarfile.RECORDSIZE:
        rest = file.read(size)
        return len(rest) == size and all(
            rest[block:].find(_TAR_MAGIC, _MAGIC_AT, _MAGIC_AT + len(_TAR_MAGIC)) < 0
            for block in range(0, size, tarfile.BLOCKSIZE)
        )
    while size > 0:
        part = file.read(min(size, _READ_AT_ONCE))
        if not part or part.strip(b"\0"):
            return False
        size -= len(part)
    return True
