"""A folder of pictures, one subfolder for each class."""

from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32

from cnn_jax.data.errors import DataError
from cnn_jax.data.host.picture import SUFFIXES
from cnn_jax.data.sources import file_checksum, listing
from cnn_jax.data.sources.examples import Labelled
from cnn_jax.data.sources.listing import Listing

_DIGESTED = 1000  # files of which the content is in the checksum


@dataclasses.dataclass(frozen=True)
class ClassFolders:
    """Pictures of class folders.

    Attributes:
      pictures: Picture files of each class that the folder has, in order.
      warnings: Sentences about files that were ignored.
    """

    pictures: dict[str, list[Path]]
    warnings: tuple[str, ...]


def class_names(folder: Path, field: str) -> tuple[str, ...]:
    """The subfolders' names, in order; hidden ones are none.

    Raises:
      DataError: where there is no folder, or no subfolder in it.
    """
    if not folder.is_dir():
        is_file = "is a file, expected a folder; if it is an archive, unpack it first"
        raise DataError(f"{field}: {folder} {is_file}" if folder.is_file() else f"{field}: there is no folder {folder}")
    try:
        names = tuple(
            sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not listing.is_hidden(entry.name))
        )
    except OSError as error:
        raise DataError(f"{field}: {folder} cannot be read: {error.strerror or error}") from error
    if not names:
        raise DataError(f"{field}: {folder} has no subfolders, expected one for each class")
    return names


def files(folder: Path, field: str, names: Sequence[str]) -> ClassFolders:
    """Lists the pictures of class folders.

    Args:
      folder: Folder that holds a folder for each class.
      field: The config's or flag's name for it, for errors.
      names: The classes that there are.

    Raises:
      DataError: where a class is unknown or empty.
    """
    present = class_names(folder, field)
    unknown = sorted(set(present) - set(names))
    if unknown:
        hint = _alike(unknown[0], names)
        raise DataError(f"{field}: {folder} has the classes {', '.join(unknown)}, which the training images lack{hint}")
    pictures: dict[str, list[Path]] = {}
    beside = _beside(folder)
    listings = [beside]
    for name in present:
        listed = listing.list_files(folder / name, field)
        pictures[name] = pictures_of(listed)
        if not pictures[name]:
            left_out = "; " * bool(listed.left_out) + ", ".join(listed.left_out)
            raise DataError(
                f"{field}: the class folder {folder / name} has no pictures ({', '.join(SUFFIXES)}){left_out}"
            )
        listings.append(listed)
    return ClassFolders(pictures, passed_over(folder, field, listing.joined(listings), pictures_of(beside)))


def _alike(name: str, known: Sequence[str]) -> str:
    """Says which known name differs from another in case or in the form of its Unicode alone; empty for none."""
    forms = {unicodedata.normalize("NFC", each).casefold(): each for each in known}
    twin = forms.get(unicodedata.normalize("NFC", name).casefold())
    if twin is None:
        return ""
    is_form = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", twin)
    how = "by the bytes that Unicode has for accents (NFC, NFD)" if is_form else "by case"
    return f"; {name} differs from {twin} {how} alone: rename the folder"


def require_two(folder: Path, field: str, names: Sequence[str]) -> None:
    """Refuses a single class folder, which archives often have around the class folders.

    Raises:
      DataError: where there is but one.
    """
    if len(names) > 1:
        return
    within = [entry for entry in (folder / names[0]).iterdir() if entry.is_dir() and not listing.is_hidden(entry.name)]
    hint = f"; name {folder / names[0]}, which has {len(within)} folders" if len(within) > 1 else ""
    raise DataError(f"{field}: {folder} has a single class folder, {names[0]}, expected at least two{hint}")


def _beside(folder: Path) -> Listing:
    """Lists what lies beside the class folders."""
    entries = sorted(folder.iterdir())
    shown = [entry for entry in entries if not listing.is_hidden(entry.name) and not entry.is_dir()]
    return Listing(
        tuple(entry for entry in shown if entry.is_file()),
        hidden=tuple(entry for entry in entries if listing.is_hidden(entry.name)),
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


class FolderExamples:
    """Picture files with their class numbers, read one by one; may be sent to other processes.

    Attributes:
      name: The folder, for errors.
      labels: Class numbers.
    """

    def __init__(self, folder: Path, names: Sequence[str], labels: Int32[np.ndarray, " n"]):
        """Takes files.

        Args:
          folder: Folder that they lie in.
          names: Their paths in it.
          labels: As the attribute.
        """
        self.name, self.labels = f"the pictures of {listing.as_text(folder)}", labels
        self._folder, self._names = folder, names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> Labelled:
        """Gives a file and its class number; the file is read as a picture."""
        return Labelled(self._folder / self._names[number], int(self.labels[number]))

    def place(self, number: int) -> str:
        """Names a file, for errors."""
        return listing.as_text(self._folder / self._names[number])

    def groups(self) -> None:
        """Each is read by itself."""

    def some(self, numbers: Int[np.ndarray, " m"]) -> FolderExamples:
        """Takes the files of these numbers."""
        return FolderExamples(self._folder, [self._names[number] for number in numbers.tolist()], self.labels[numbers])

    def paths(self) -> list[Path]:
        """Gives the paths of all files."""
        return [self._folder / name for name in self._names]

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
        for number, (name, label) in enumerate(zip(self._names, self.labels.tolist(), strict=True)):
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


def find_pictures(folder: Path, field: str, names: Sequence[str]) -> tuple[FolderExamples, tuple[str, ...]]:
    """Lists all pictures of a folder, by class and file name.

    Args:
      folder: Folder that holds a folder for each class.
      field: The config's name for it, for errors.
      names: The classes that there are, in label order.

    Returns:
      (the pictures, what was passed over).

    Raises:
      DataError: where a class is unknown or empty.
    """
    found = files(folder, field, names)
    paths = [(names.index(name), file) for name, pictures in found.pictures.items() for file in pictures]
    labels = np.array([label for label, _ in paths], np.int32)
    return FolderExamples(folder, [str(file.relative_to(folder)) for _, file in paths], labels), found.warnings
