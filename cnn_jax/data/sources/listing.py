"""Files of a folder and its subfolders: hidden ones left out, links followed once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnn_jax.data.errors import DataError
from cnn_jax.plain_text import valid_unicode

# Names of what systems and programs leave in people's folders; names that begin with a dot are hidden too.
_LEFT_BY_SYSTEMS = frozenset(
    ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX", "Thumbs.db")
)


@dataclasses.dataclass(frozen=True)
class Listing:
    """Files of a folder, and what was left out.

    Attributes:
      files: Regular files, in the order of their paths.
      hidden: Hidden files and folders; what lies in such a folder is not looked at.
      read_already: Links to folders whose files are listed already, or in which the link itself lies.
      broken: Links to nothing, and what is neither a file nor a folder: pipes, sockets, devices.
    """

    files: tuple[Path, ...]
    hidden: tuple[Path, ...] = ()
    read_already: tuple[Path, ...] = ()
    broken: tuple[Path, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Says what was left out and how much of it; empty where nothing was."""
        kinds = (
            (self.hidden, "hidden file or folder", "hidden files or folders"),
            (self.read_already, "link to a folder that is read already", "links to folders that are read already"),
            (self.broken, "broken link or special file", "broken links or special files"),
        )
        return tuple(counted(paths, one, many) for paths, one, many in kinds if paths)


def counted(paths: Sequence[Path], one: str, many: str) -> str:
    """Gives the number of some files, and the first of them."""
    first = as_text(paths[0])
    return f"1 {one} ({first})" if len(paths) == 1 else f"{len(paths)} {many} ({first} first)"


def as_text(path: Path | str) -> str:
    r"""Gives a path as text that can be written to any file; bytes that are not UTF-8 stand as \xff."""
    return valid_unicode(os.fspath(path))


def joined(listings: Iterable[Listing]) -> Listing:
    """Puts the listings of several folders together."""
    each = list(listings)
    names = [field.name for field in dataclasses.fields(Listing)]
    return Listing(**{name: tuple(path for one in each for path in getattr(one, name)) for name in names})


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's data."""
    return name.startswith(".") or name in _LEFT_BY_SYSTEMS


def list_files(folder: Path, field: str) -> Listing:
    """Lists the files of a folder and all its subfolders.

    Links to folders are followed after the folder's own subfolders, each folder once.

    Args:
      folder: Folder to list; it may be hidden or a link itself.
      field: The config's or flag's name for it, for errors.

    Raises:
      DataError: Where a folder cannot be read.
    """
    files: list[Path] = []
    hidden: list[Path] = []
    read_already: list[Path] = []
    broken: list[Path] = []
    try:
        # A link to a folder above leads back to the link.
        above = {_identity(each) for path in (folder.absolute(), folder.resolve()) for each in path.parents}
        seen = {_identity(folder)}
        folders, links = [folder], list[Path]()
        while folders or links:
            if folders:
                current = folders.pop()
            else:
                current = links.pop(0)
                if (identity := _identity(current)) in seen | above:
                    read_already.append(current)
                    continue
                seen.add(identity)
            for entry in sorted(os.scandir(current), key=lambda each: each.name):
                path = Path(entry)
                if is_hidden(entry.name):
                    hidden.append(path)
                elif entry.is_symlink():
                    kind = links if path.is_dir() else files if path.is_file() else broken
                    kind.append(path)
                elif entry.is_file():
                    files.append(path)
                elif not entry.is_dir():
                    broken.append(path)
                elif (identity := _identity(path)) in seen:
                    read_already.append(path)  # by a link to it
                else:
                    seen.add(identity)
                    folders.append(path)
    except OSError as error:
        raise DataError(f"{field}: {error.filename or folder} cannot be read: {error.strerror or error}") from error
    return Listing(*(tuple(sorted(each)) for each in (files, hidden, read_already, broken)))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
