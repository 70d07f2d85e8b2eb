"""A folder of pictures, one subfolder for each class."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_jax.data.errors import DataError
from cnn_jax.data.host.picture import SUFFIXES, UnreadablePictureError, fit
from cnn_jax.data.sources import kept, listing, memory
from cnn_jax.data.sources.listing import Listing
from cnn_jax.data.sources.prepared import stamp_of
from cnn_jax.data.split import Split


@dataclasses.dataclass(frozen=True)
class ClassFolders:
    """Pictures of class folders.

    Attributes:
      pictures: Picture files of each class that the folder has, in order.
      warnings: What was passed over.
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
      field: the config's or flag's name for it, for errors.
      names: the classes that there are.

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


def read_folder(
    folder: Path, field: str, names: Sequence[str], image_shape: tuple[int, int, int]
) -> tuple[Split, tuple[str, ...]]:
    """Reads all pictures of a folder.

    Args:
      folder: Folder that holds a folder for each class.
      field: the config's name for it, for errors.
      names: the classes that there are, in label order.
      image_shape: (height, width, channels) that pictures are resized and converted to.

    Returns:
      (the split, by class and file name; what was passed over).

    Raises:
      DataError: where a class is unknown or empty, or a picture cannot be read; names the file.
    """
    found = files(folder, field, names)
    paths = [file for pictures in found.pictures.values() for file in pictures]
    labels = [names.index(name) for name, pictures in found.pictures.items() for _ in pictures]

    def read() -> Split:
        shape = len(paths), *image_shape
        memory.require(math.prod(shape), f"{field}: the pictures of {listing.as_text(folder)}")
        images = memory.empty(shape)
        for number, file in enumerate(paths):
            try:
                images[number], _ = fit(file, image_shape)
            except UnreadablePictureError as error:
                raise DataError(f"{field}: {error}") from error
        return Split(images, np.array(labels, np.int32), tuple(map(listing.as_text, paths)))

    stamp = stamp_of(paths)
    if stamp is None:  # a file is gone, which reading tells
        return read(), found.warnings
    key = tuple(paths), tuple(labels), stamp, image_shape
    return kept.read(key, read, lambda split: split.images.nbytes), found.warnings
