"""A folder of pictures, one subfolder for each class."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32

from cnn_jax.data.errors import DataError
from cnn_jax.data.host.picture import SUFFIXES
from cnn_jax.data.sources import file_checksum, listing
from cnn_jax.data.sources.examples import Examples, Labelled
from cnn_jax.data.sources.listing import Listing, is_hidden

_DIGESTED = 1000  # files of which the content is in the checksum


def class_names(folder: Path, field: str) -> tuple[str, ...]:
    """Names the classes: the subfolders, in order.

    Raises:
      DataError: Where there is no folder, no subfolder in it, or but one, which archives often have around the others.
    """
    names = _class_folders(folder, field)
    if len(names) == 1:
        inner = [entry for entry in (folder / names[0]).iterdir() if entry.is_dir() and not is_hidden(entry.name)]
        hint = f"; name {folder / names[0]}, which has {len(inner)} folders" if len(inner) > 1 else ""
        raise DataError(f"{field}: {folder} has a single class folder, {names[0]}, expected at least two{hint}")
    return names


def _class_folders(folder: Path, field: str) -> tuple[str, ...]:
    """Names the subfolders that are not hidden, in order."""
    if not folder.is_dir():
        is_file = "is a file, expected a folder; if it is an archive, unpack it first"
        raise DataError(f"{field}: {folder} {is_file}" if folder.is_file() else f"{field}: there is no folder {folder}")
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not is_hidden(entry.name))
    except OSError as error:
        raise DataError(f"{field}: {folder} cannot be read: {error.strerror or error}") from error
    if not names:
        raise DataError(f"{field}: {folder} has no subfolders, expected one for each class")
    return tuple(names)


def find_pictures(folder: Path, field: str, names: Sequence[str]) -> tuple[FolderExamples, tuple[str, ...]]:
    """Lists all pictures of a folder, by class and file name.

    Args:
      folder: Folder that holds a folder for each class.
      field: The config's or flag's name for it, for errors.
      names: The classes that there are, in label order.

    Returns:
      (the pictures, what was passed over).

    Raises:
      DataError: where a class is unknown or empty.
    """
    present = _class_folders(folder, field)
    unknown = sorted(set(present) - set(names))
    if unknown:
        hint = _alike(unknown[0], names)
        raise DataError(f"{field}: {folder} has the classes {', '.join(unknown)}, which the training images lack{hint}")
    beside = _beside(folder)
    listings, files, labels = [beside], list[str](), list[int]()
    for name in present:
        listed = listing.list_files(folder / name, field)
        pictures = pictures_of(listed)
        if not pictures:
            left_out = "; " * bool(listed.left_out) + ", ".join(listed.left_out)
            raise DataError(
                f"{field}: the class folder {folder / name} has no pictures ({', '.join(SUFFIXES)}){left_out}"
            )
        listings.append(listed)
        files += [str(file.relative_to(folder)) for file in pictures]
        labels += [names.index(name)] * len(pictures)
    found = FolderExamples(folder, files, np.array(labels, np.int32))
    return found, passed_over(folder, field, listing.joined(listings), pictures_of(beside))


def _alike(name: str, known: Sequence[str]) -> str:
    """Says which known name differs from another in case or in the form of its Unicode alone; empty for none."""
    forms = {unicodedata.normalize("NFC", each).casefold(): each for each in known}
    twin = forms.get(unicodedata.normalize("NFC", name).casefold())
    if twin is None:
        return ""
    is_form = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", twin)
    how = "by the bytes that Unicode has for accents (NFC, NFD)" if is_form else "by case"
    return f"; {name} differs from {twin} {how} alone: rename the folder"


def _beside(folder: Path) -> Listing:
    """Lists what lies beside the class folders."""
    entries = sorted(folder.iterdir())
    shown = [entry for entry in entries if not is_hidden(entry.name) and not entry.is_dir()]
    return Listing(
        tuple(entry for entry in shown if entry.is_file()),
        hidden=tuple(entry for entry in entries if is_hidden(entry.name)),
        broken=tuple(entry for entry in shown if not entry.is_file()),
    )


def pictures_of(listed: Listing, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Gives the files of a listing that have one of some suffixes, by default a picture's."""
    return [file for file in listed.files if file.suffix.lower() in suffixes]


def passed_over(
    folder: Path,
    field: str,
    listed: Listing,
    classless: Sequence[Path] = (),
    suffixes: Sequence[str] = SUFFIXES,
) -> tuple[str, ...]:
    """Says which files of a folder are not taken as pictures.

    Args:
      folder: Folder that was listed.
      field: The config's or flag's name for it.
      listed: Its files.
      classless: Pictures that lie in no class folder.
      suffixes: Suffixes of what is taken.
    """
    others = [file for file in listed.files if file.suffix.lower() not in suffixes]
    what = [listing.counted(others, "file that is no picture", "files that are no pictures")] if others else []
    if classless:
        what.append(listing.counted(classless, "picture in no class folder", "pictures in no class folder"))
    if not what and not listed.left_out:
        return ()
    return (f"{field}: passed over in {listing.as_text(folder)}: {', '.join([*what, *listed.left_out])}",)


class FolderExamples(Examples):
    """Picture files with their class numbers, read one by one; may be sent to other processes.

    Attributes:
      name: The folder, for errors.
      names: Paths of the files in it.
      labels: Class numbers.
    """

    def __init__(self, folder: Path, names: Sequence[str], labels: Int32[np.ndarray, " n"]):
        """Takes files.

        Args:
          folder: Folder that they lie in.
          names, labels: As the attributes.
        """
        self.name, self.labels = f"the pictures of {listing.as_text(folder)}", labels
        self._folder, self.names = folder, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Labelled:
        return Labelled(self._folder / self.names[number], int(self.labels[number]))

    def place(self, number: int) -> str:
        return listing.as_text(self._folder / self.names[number])

    def some(self, numbers: Int[np.ndarray, " m"]) -> FolderExamples:
        """Takes the files of these numbers."""
        return FolderExamples(self._folder, [self.names[number] for number in numbers.tolist()], self.labels[numbers])

    def paths(self) -> list[Path]:
        """Gives the paths of all files."""
        return [self._folder / name for name in self.names]

    def files(self) -> tuple[str, ...]:
        """Names all files, for messages."""
        return tuple(map(self.place, range(len(self))))

    def checksum(self, field: str) -> str:
        """Computes a checksum of the files' names, classes and sizes, and of the content of some of them.

        Args:
          field: The config's name for the folder, for errors.

        Returns:
          SHA-256 (hex).

        Raises:
          DataError: If a file is empty, or cannot be read.
        """
        digest = hashlib.sha256()
        step = -(-len(self) // _DIGESTED)
        for number, (name, label) in enumerate(zip(self.names, self.labels.tolist(), strict=True)):
            path = self._folder / name
            try:
                size = path.stat().st_size
            except OSError as error:
                raise DataError(f"{field}: {self.place(number)} cannot be read: {error.strerror}") from error
            if not size:
                raise DataError(f"{field}: {self.place(number)} is empty, expected a picture")
            digest.update(f"{label} {size} {name}\0".encode("utf-8", "surrogateescape"))
            if number % step == 0:
                file_checksum.add_ends(digest, path, "", field)
        return digest.hexdigest()
