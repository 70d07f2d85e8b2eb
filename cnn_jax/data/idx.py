"""The IDX format of MNIST: a magic number, sizes, unsigned bytes; gz or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cnn_jax.data.errors import DataError
from cnn_jax.data.split import Split

_UNSIGNED_BYTE = 8


def read_bytes(path: Path, field: str) -> bytes:
    """Reads a file whole, unpacked where it is gz.

    Args:
      path: of the file.
      field: the config's name for it, for the error.

    Returns:
      Its content.

    Raises:
      DataError: where it is missing, unreadable, or a damaged gz file.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError:
        raise DataError(f"{field}: there is no file {path}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{field}: {path} is a damaged gz file ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{field}: {path} cannot be read: {error.strerror}") from error


def parse_idx(content: bytes, path: Path, field: str) -> UInt8[np.ndarray, "..."]:
    """Understands the content of an IDX file.

    Args:
      content: unpacked.
      path, field: where it came from, for the error.

    Returns:
      The array.

    Raises:
      DataError: where magic number, type, sizes and length do not agree.
    """
    where = f"{field}: {path}"
    if not content:
        raise DataError(f"{where} is empty")
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{where} is no IDX file: it starts with {content[:4].hex(' ')}, expected 00 00 08 and a count")
    kind, axes = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise DataError(f"{where} holds values of IDX type 0x{kind:02x}, expected unsigned bytes (0x08)")
    start = 4 + 4 * axes
    if not axes or len(content) < start:
        raise DataError(f"{where} is cut short in its header: {len(content)} bytes, expected at least {max(start, 8)}")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected, given = math.prod(shape), len(content) - start
    if given != expected:
        wrong = "is cut short" if given < expected else "has bytes left over"
        raise DataError(f"{where} {wrong}: {given:,} values, its header {shape} announces {expected:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_split(images: Path, labels: Path, images_field: str, labels_field: str) -> Split:
    """Reads the images and labels of one split.

    Args:
      images: an IDX file [n, height, width] or [n, height, width, channels].
      labels: an IDX file [n].
      images_field, labels_field: the config's names for them, for errors.

    Returns:
      The split.

    Raises:
      DataError: where either cannot be read, or they do not fit each other.
    """
    pixels = parse_idx(read_bytes(images, images_field), images, images_field)
    numbers = parse_idx(read_bytes(labels, labels_field), labels, labels_field)
    return join(pixels, numbers, images, labels, images_field, labels_field)


def join(
    pixels: UInt8[np.ndarray, "..."],
    numbers: UInt8[np.ndarray, "..."],
    images: Path,
    labels: Path,
    images_field: str,
    labels_field: str,
) -> Split:
    """Makes a split of an array of images and one of labels; arguments and errors as `read_split`."""
    if pixels.ndim not in (3, 4):
        hint = "; are images and labels exchanged?" if pixels.ndim == 1 else ""
        raise DataError(f"{images_field}: {images} has the shape {pixels.shape}, expected [n, height, width]{hint}")
    if pixels.ndim == 4 and pixels.shape[-1] not in (1, 3):
        raise DataError(f"{images_field}: {images} has {pixels.shape[-1]} channels, expected 1 (grey) or 3 (RGB)")
    if numbers.ndim != 1:
        raise DataError(f"{labels_field}: {labels} has the shape {numbers.shape}, expected [n]")
    if 0 in pixels.shape:
        raise DataError(f"{images_field}: {images} has no images (shape {pixels.shape})")
    if len(pixels) != len(numbers):
        raise DataError(
            f"{labels_field}: {labels} has {len(numbers):,} labels for the {len(pixels):,} images of {images}"
        )
    shaped = pixels[..., None] if pixels.ndim == 3 else pixels
    return Split(shaped, numbers.astype(np.int32))
