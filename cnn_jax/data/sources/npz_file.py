"""NumPy arrays of images and labels in one .npz file, as Keras and MedMNIST lay them out."""

from __future__ import annotations

import contextlib
import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import memory
from cnn_jax.data.split import Split
from cnn_jax.plain_text import plain
from cnn_jax.words import by

# Names of the arrays of images and of labels, by split; each row is one layout.
_LAYOUTS = (
    {"train": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")},
    {
        "train": ("train_images", "train_labels"),
        "validation": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
)
_FIELD = "config.data.file"
_OWN_RANGES = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}
_MOST_CHANNELS = 256
_READ_AT_ONCE = 1 << 22  # bytes
_MOST_LABEL = np.iinfo(np.int32).max
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, SyntaxError, KeyError, NotImplementedError)

Range = tuple[float, float]


class Header(NamedTuple):
    """Type, shape and order of an array, known without reading it."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def describe(path: Path, value_range: Range | None) -> tuple[tuple[int, int, int], str]:
    """Reads the shape of the training images, and the type that their pixels will have, from their header.

    Args:
      path, value_range: As `read_npz`.

    Returns:
      ((height, width, channels), "uint8" or "float32").

    Raises:
      DataError: As `read_npz`.
    """
    with _opened(path) as archive:
        name = archive.layout()["train"][0]
        where = f"{_FIELD}: {path}, array {name}"
        with archive.member(name) as file:
            header = _header(file, where)
        return _image_shape(header, where), _pixel_type(header, _range_of(header, value_range, where)).name


def read_npz(path: Path, value_range: Range | None = None) -> dict[str, Split]:
    """Reads the images and labels of a file.

    8-bit pixels stay as they are. All others become float32 pixels of 0 to 255, black to white, without rounding.

    Args:
      path: The file, with arrays x_train, y_train, x_test, y_test and perhaps x_val, y_val; or train_images,
        train_labels, test_images, test_labels and perhaps val_images, val_labels. Images are [n, height, width] or
        [n, height, width, channels], labels [n] or [n, 1].
      value_range: Values that are black and white; None is 0 to 255 for uint8 and 0 to 65535 for uint16.

    Returns:
      The "train", "test" and perhaps "validation" images.

    Raises:
      DataError: Where the file is missing or damaged, lacks arrays, has values outside the range or none that are
        numbers, or the images do not fit into the memory that is left.
    """
    with _opened(path) as archive:
        layout = archive.layout()
        found: dict[str, Split] = {}
        for split, (images, labels) in layout.items():
            found[split] = Split(archive.images(images, value_range), archive.labels(labels))
            if len(found[split].images) != len(found[split].labels):
                raise DataError(
                    f"{_FIELD}: {path} has {len(found[split].images)} images in {images} and "
                    f"{len(found[split].labels)} labels in {labels}"
                )
        kinds = {name: (each.image_shape, each.images.dtype) for name, each in found.items()}
        for split, kind in kinds.items():
            if kind != kinds["train"]:
                raise DataError(
                    f"{_FIELD}: {path} has images of {_words(kinds['train'])} in {layout['train'][0]} and of "
                    f"{_words(kind)} in {layout[split][0]}, expected the same"
                )
    return found


def read_image(
    path: Path, shape: tuple[int, int, int], value_range: Range | None, pixels: str
) -> UInt8[np.ndarray, "h w c"] | Float32[np.ndarray, "h w c"]:
    """Reads one image of a .npy file as `read_npz` reads those of an array.

    Args:
      path: A file of [height, width] or [height, width, channels].
      shape: (height, width, channels) that it must have.
      value_range: As `read_npz`.
      pixels: Type that its pixels must have then, "uint8" or "float32".

    Raises:
      DataError: Where it is damaged, or has another shape, type or range.
    """
    image = read_array(path, value_range)
    if image.shape != shape:
        raise DataError(f"{path} has the shape {image.shape}, expected {shape}: its pixels are not resized")
    if image.dtype != pixels:
        raise DataError(
            f"{path} has values that become {image.dtype} pixels; the network was trained on {pixels} pixels"
        )
    return image


def read_array(
    path: Path, value_range: Range | None = None
) -> UInt8[np.ndarray, "h w c"] | Float32[np.ndarray, "h w c"]:
    """Reads an image of any shape from a .npy file.

    Args:
      path: A file of [height, width] or [height, width, channels].
      value_range: As `read_npz`.

    Returns:
      Pixels of 0 to 255.

    Raises:
      DataError: Where it is damaged, or no image.
    """
    try:
        with path.open("rb") as file:
            header = _header(file, str(path))
            values: BinaryIO = file
            if header.fortran:
                turned = _exactly(file, math.prod(header.shape) * header.dtype.itemsize)
                values = io.BytesIO(np.frombuffer(turned, header.dtype).reshape(header.shape, order="F").tobytes())
            whole_header = Header((1, *header.shape), False, header.dtype)
            shape = _image_shape(whole_header, str(path))
            limits = _range_of(header, value_range, str(path))
            whole = np.empty((1, *shape), _pixel_type(header, limits))
            _fill(whole, values, whole_header, limits, str(path))
            return whole[0]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except _FAULTS as error:
        raise DataError(f"{path} is no NumPy array, or a damaged one: {plain(error)}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    """Opens an .npz file."""
    where = f"{_FIELD}: {path}"
    if not path.exists():
        raise DataError(f"{_FIELD}: there is no file {path}")
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error
    except _FAULTS as error:
        raise DataError(
            f"{where} is no .npz file, or a damaged one ({plain(error)}); numpy.savez writes such files"
        ) from error
    with archive:
        yield _Archive(archive, where)


class _Archive(NamedTuple):
    """An open .npz file, and its name for errors."""

    zip: zipfile.ZipFile
    where: str

    def layout(self) -> dict[str, tuple[str, str]]:
        """Finds the names of the arrays of images and labels, by split.

        Raises:
          DataError: Where training or test arrays are missing.
        """
        present = {name.removesuffix(".npy") for name in self.zip.namelist() if name.endswith(".npy")}
        for layout in _LAYOUTS:
            if not any(name in present for names in layout.values() for name in names):
                continue
            if missing := [name for split in ("train", "test") for name in layout[split] if name not in present]:
                break
            halves = [names for names in layout.values() if len(present.intersection(names)) == 1]
            if halves:
                raise DataError(f"{self.where} has one of {' and '.join(halves[0])} alone, expected both or none")
            return {split: names for split, names in layout.items() if names[0] in present}
        else:
            missing = []
        arrays = ", ".join(sorted(present)[:12]) or "none"
        expected = " or ".join(
            ", ".join(name for split in ("train", "test") for name in layout[split]) for layout in _LAYOUTS
        )
        lacks = f"lacks {', '.join(missing)}; it" if missing else ""
        raise DataError(f"{self.where} {lacks} has the arrays {arrays}; expected {expected}".replace("  ", " "))

    def images(self, name: str, value_range: Range | None) -> Shaped[np.ndarray, "n h w c"]:
        """Reads an array of images."""
        where = f"{self.where}, array {name}"
        with self.member(name) as file:
            header = _header(file, where)
            shape = header.shape[0], *_image_shape(header, where)
            limits = _range_of(header, value_range, where)
            pixels = _pixel_type(header, limits)
            memory.require(math.prod(shape) * pixels.itemsize, where)
            images = memory.empty(shape, pixels)
            _fill(images, file, header, limits, where)
            if file.read(1):
                raise DataError(f"{where} is longer than its header says; it is damaged")
        return images

    def labels(self, name: str) -> Int32[np.ndarray, " n"]:
        """Reads an array of labels."""
        where = f"{self.where}, array {name}"
        with self.member(name) as file:
            header = _header(file, where)
            if len(header.shape) == 2 and header.shape[1] > 1:
                raise DataError(
                    f"{where} has {header.shape[1]} values for each image, expected one label; if they are one-hot, "
                    "store their numpy.argmax(..., axis=1)"
                )
            if header.shape not in (header.shape[:1], (*header.shape[:1], 1)) or not header.shape:
                raise DataError(f"{where} has the shape {header.shape}, expected (images,) or (images, 1)")
            if header.dtype.kind not in "iuf":
                raise DataError(
                    f"{where} has values of the type {header.dtype}, expected whole numbers from 0; the classes' names "
                    "belong into config.data.class_names"
                )
            memory.require(math.prod(header.shape) * header.dtype.itemsize, where)
            values = np.concatenate([*_values(file, header, where)]).ravel() if header.shape[0] else np.zeros(0)
        wrong = ~((values >= 0) & (values <= _MOST_LABEL) & (values == np.floor(values)))
        if wrong.any():
            number = int(wrong.argmax())
            raise DataError(f"{where}: label {values[number]} of image {number} is no whole number from 0")
        return values.astype(np.int32)

    @contextlib.contextmanager
    def member(self, name: str) -> Iterator[BinaryIO]:
        """Opens an array's file; damage that is met while it is read is an error that names it."""
        try:
            file = self.zip.open(f"{name}.npy")
        except (*_FAULTS, OSError, RuntimeError) as error:  # the last for encrypted ones
            raise DataError(f"{self.where}, {name}.npy is damaged, or cannot be read: {plain(error)}") from error
        try:
            with file:
                yield file  # type: ignore[misc]
        except (*_FAULTS, OSError) as error:
            raise DataError(f"{self.where}, {name}.npy is damaged or cut short: {plain(error)}") from error


def _header(file: BinaryIO, where: str) -> Header:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    header = Header(*read(file))
    if header.dtype.hasobject:
        raise DataError(f"{where} holds Python objects, which could run code when read; store numbers")
    return header


def _image_shape(header: Header, where: str) -> tuple[int, int, int]:
    shape = header.shape
    if len(shape) not in (3, 4) or 0 in shape:
        raise DataError(f"{where} has the shape {shape}, expected (images, height, width) or (..., channels)")
    height, width, channels = (*shape[1:], 1)[:3]
    if len(shape) == 4 and channels > shape[1] and shape[1] <= 16 < channels:
        raise DataError(
            f"{where} has the shape {shape}, expected (images, height, width, channels); if its channels come first, "
            "store numpy.moveaxis(array, 1, -1)"
        )
    if channels > _MOST_CHANNELS or max(height, width) > 8192:
        raise DataError(
            f"{where} has images of {height}x{width}x{channels}, expected at most 8192x8192x{_MOST_CHANNELS}"
        )
    return height, width, channels


def _range_of(header: Header, value_range: Range | None, where: str) -> Range:
    if header.dtype.kind not in "iuf":
        raise DataError(f"{where} has values of the type {header.dtype}, expected whole or floating-point numbers")
    if value_range is not None:
        return value_range
    if (own := _OWN_RANGES.get(header.dtype.newbyteorder("=").name)) is None:
        raise DataError(
            f"{where} has values of the type {header.dtype}, which do not say what is black and what is white: set "
            "config.data.value_range, such as (0, 1)"
        )
    return own


def _pixel_type(header: Header, limits: Range) -> np.dtype[Any]:
    """The type of pixels that are made of an array's values: their own where these are pixels as they are."""
    return np.dtype(np.uint8 if header.dtype == np.uint8 and limits == _OWN_RANGES["uint8"] else np.float32)


def _fill(images: np.ndarray, file: BinaryIO, header: Header, limits: Range, where: str) -> None:
    """Reads images into their place."""
    low, high = limits
    start = 0
    for values in _values(file, header, where):
        part = images[start : start + len(values)]
        values = values.reshape(part.shape)
        if images.dtype == np.uint8:
            part[...] = values
        else:
            wrong = ~((values >= low) & (values <= high))  # not-a-number is neither
            if wrong.any():
                number = int(wrong.reshape(len(wrong), -1).any(axis=1).argmax())
                value = values[number][wrong[number]].flat[0]
                raise DataError(
                    f"{where}: image {start + number} has the value {value}, which is not within {low:g} to {high:g}; "
                    "correct it, or set config.data.value_range to the values that are black and white"
                )
            part[...] = (values.astype(np.float64) - low) * (255.0 / (high - low))
        start += len(values)


def _values(file: BinaryIO, header: Header, where: str) -> Iterator[np.ndarray]:
    """Reads an array in parts along its first axis."""
    count, row = header.shape[0], math.prod(header.shape[1:])
    if header.fortran:  # the first axis varies fastest: it cannot be read in parts
        memory.require(count * row * header.dtype.itemsize, where)
        content = _exactly(file, count * row * header.dtype.itemsize)
        yield np.frombuffer(content, header.dtype).reshape(header.shape, order="F")
        return
    some = max(1, _READ_AT_ONCE // max(1, row * header.dtype.itemsize))
    for start in range(0, count, some):
        rows = min(some, count - start)
        content = _exactly(file, rows * row * header.dtype.itemsize)
        yield np.frombuffer(content, header.dtype).reshape(rows, *header.shape[1:])


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise EOFError("it ends before its last value")
    return content


def _words(kind: tuple[tuple[int, int, int], np.dtype[Any]]) -> str:
    return f"{by(kind[0])} {kind[1]} pixels"
