"""The published archives of CIFAR in their three forms: Python's pickles, binary files, files of MATLAB.

Pickles are read by a reader that knows arrays, lists, text and numbers alone, so that none can run code.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources.cifar_sets import CifarSet
from cnn_jax.data.sources.published import PublishedImages
from cnn_jax.plain_text import plain

FIELD = "config.data.archive"
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_MOST_BYTES = 2**29  # of a file in the archive
_FORMS = {"": "Python", ".bin": "binary", ".mat": "MATLAB"}
# What a pickle of NumPy arrays names; both names of one module, of NumPy 1 and 2.
_KNOWN_GLOBALS = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
# Errors of readers for damaged content; pickle, NumPy and SciPy raise whatever they stumble on.
_FAULTS = (
    *(pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, EOFError, ImportError),
    *(OverflowError, MemoryError, NotImplementedError, AssertionError, zlib.error, RecursionError, OSError),
)


class _Rows(NamedTuple):
    """Content of one file: a row of pixels for each image, colour by colour, and labels by name."""

    pixels: np.ndarray
    labels: dict[str, np.ndarray]


def read(path: Path, known: CifarSet) -> dict[str, PublishedImages]:
    """Reads an archive, or the folder that it was unpacked to.

    Args:
      path: A .tar.gz or .tar file of any of the three forms, or a folder.
      known: The data set.

    Returns:
      "train" and "test" images.

    Raises:
      DataError: If it is missing or damaged, is not this data set, or lacks images.
    """
    where = f"{FIELD}: {path}"
    contents = _of_folder(path, known, where) if path.is_dir() else _of_archive(path, known, where)
    names = [name for files in known.files.values() for name in files]
    complete = [suffix for suffix in _FORMS if all(name + suffix in contents for name in names)]
    if not complete:
        suffix = max(_FORMS, key=lambda each: sum(name + each in contents for name in names))
        missing = [name + suffix for name in names if name + suffix not in contents]
        raise DataError(
            f"{where} is not {known.title}: it has no {', '.join(missing)}; the published archives are "
            f"{', '.join(archive.name for archive in known.archives)}"
        )
    suffix = complete[0]
    read_file = {"": _of_pickle, ".bin": _of_binary, ".mat": _of_matlab}[suffix]
    found = {}
    for split, files in known.files.items():
        rows = [_checked(contents[name + suffix], read_file, known, f"{where}, {name + suffix}") for name in files]
        count = sum(len(each.pixels) for each in rows)
        if count != known.counts[split]:
            raise DataError(
                f"{where} has {count:,} images in {', '.join(files)}, and {known.title} {known.counts[split]:,}: it "
                "is damaged, or another data set"
            )
        planes = np.concatenate([each.pixels for each in rows]).reshape(-1, 3, _SIDE, _SIDE)
        images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        labels = {
            name: np.concatenate([each.labels[name] for each in rows]).astype(np.int32) for name in known.class_names
        }
        found[split] = PublishedImages(images, labels)
    return found


def is_published(path: Path, known: CifarSet) -> bool:
    """Whether a file is one of the published archives byte by byte; of a folder this is not known."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return digest in {archive.md5 for archive in known.archives}


def _wanted(known: CifarSet) -> set[str]:
    return {name + suffix for files in known.files.values() for name in files for suffix in _FORMS}


def _of_folder(path: Path, known: CifarSet, where: str) -> dict[str, bytes]:
    inside = sorted(path.glob("cifar-*"))
    folder = inside[0] if len(inside) == 1 and inside[0].is_dir() else path
    try:
        return {name: (folder / name).read_bytes() for name in _wanted(known) if (folder / name).is_file()}
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error


def _of_archive(path: Path, known: CifarSet, where: str) -> dict[str, bytes]:
    wanted, contents = _wanted(known), {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if not member.isfile() or name not in wanted:
                    continue
                if member.size > _MOST_BYTES or (file := archive.extractfile(member)) is None:
                    raise DataError(f"{where} declares {member.size:,} bytes of {name}: it is damaged")
                contents[name] = file.read()
    except FileNotFoundError:
        raise DataError(f"{FIELD}: there is no file or folder {path}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(
            f"{where} is no tar archive, or a damaged one ({plain(str(error).partition(':')[0])}); fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error
    return contents


def _checked(content: bytes, reader: Callable[[bytes, CifarSet], _Rows], known: CifarSet, where: str) -> _Rows:
    """Reads a file, and checks the shapes and labels that it holds."""
    try:
        rows = reader(content, known)
    except _FAULTS as error:
        raise DataError(f"{where} is damaged: {plain(error) or type(error).__name__}") from error
    pixels = rows.pixels
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(pixels), _PIXELS):
        raise DataError(f"{where} is damaged, or not of {known.title}: its pixels are not rows of {_PIXELS:,} bytes")
    for name, labels in rows.labels.items():
        most = len(known.class_names[name]) - 1
        if labels.shape != (len(pixels),) or labels.dtype.kind not in "iu":
            raise DataError(f"{where} is damaged: it has {len(pixels)} images, and {name} of the shape {labels.shape}")
        if len(labels) and not 0 <= labels.min() <= labels.max() <= most:
            raise DataError(f"{where} is damaged: {name} are {labels.min()} to {labels.max()}, expected 0 to {most}")
    return rows


def _of_binary(content: bytes, known: CifarSet) -> _Rows:
    rows = np.frombuffer(content, np.uint8).reshape(-1, len(known.class_names) + _PIXELS)
    labels = {name: rows[:, number] for number, name in enumerate(known.class_names)}
    return _Rows(rows[:, len(known.class_names) :], labels)


def _of_pickle(content: bytes, known: CifarSet) -> _Rows:
    found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    if not isinstance(found, dict):
        raise ValueError("it holds no dictionary")
    named = {key.decode() if isinstance(key, bytes) else str(key): value for key, value in found.items()}
    return _Rows(named["data"], {name: np.array(named[name]) for name in known.class_names})


def _of_matlab(content: bytes, known: CifarSet) -> _Rows:
    from scipy.io import loadmat, matlab  # half a second

    try:
        named = loadmat(io.BytesIO(content), variable_names=["data", *known.class_names])
    except matlab.MatReadError as error:
        raise ValueError(str(error)) from error
    return _Rows(named["data"], {name: named[name].ravel() for name in known.class_names})


class _Unpickler(pickle.Unpickler):
    """Reads pickles of arrays, and refuses all other objects."""

    def find_class(self, module: str, name: str) -> Any:
        """Gives what NumPy's arrays are made of."""
        if (module, name) not in _KNOWN_GLOBALS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs and which could run code")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
