"""The IDX format of MNIST: a magic number, sizes, unsigned bytes; gz or not."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import memory
from cnn_jax.data.sources.data_file import opened
from cnn_jax.data.split import Split

_UNSIGNED_BYTE = 8
_MOST_AXES = 4  # [n, height, width, channels]
_MOST_LEFT_OVER = 1 << 20  # bytes after the announced values that are counted


def read_idx(path: Path, field: str) -> UInt8[np.ndarray, "..."]:
    """Reads an IDX file.

    Args:
      path: The file, gz or not.
      field: The config's name for it, for errors.

    Returns:
      The array.

    Raises:
      DataError: Where it cannot be read, its magic number, type, sizes and length do not agree, or it does not fit
        into the memory that is left.
    """
    where = f"{field}: {path}"
    with opened(path, field) as file:
        shape = _shape(file.content, where)
        expected, header = math.prod(shape), 4 + 4 * len(shape)
        if file.most_bytes is not None and header + expected > file.most_bytes:
            most = f"{file.most_bytes - header:,} values" + " at most" * file.packed
            raise DataError(f"{where} is cut short: {most}, its header {shape} announces {expected:,}")
        memory.require(expected, where)
        values = memory.empty(shape)
        given, target = 0, values.reshape(-1).data
        while given < expected and (count := file.content.readinto(target[given:])):
            given += count
        if given < expected:
            raise DataError(f"{where} is cut short: {given:,} values, its header {shape} announces {expected:,}")
        if left_over := len(file.content.read(_MOST_LEFT_OVER)):
            counted = f"{left_over:,}" if left_over < _MOST_LEFT_OVER else f"at least {left_over:,}"
            raise DataError(
                f"{where} has bytes left over: {counted} after the {expected:,} values that its header {shape} "
                "announces"
            )
    return values


def _shape(file: io.BufferedIOBase, where: str) -> tuple[int, ...]:
    """Reads the header."""
    magic = file.read(4)
    if not magic:
        raise DataError(f"{where} is empty")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{where} is no IDX file: it starts with {magic.hex(' ')}, expected 00 00 08 and a count")
    kind, axes = magic[2], magic[3]
    if kind != _UNSIGNED_BYTE:
        raise DataError(f"{where} holds values of IDX type 0x{kind:02x}, expected unsigned bytes (0x08)")
    if not 1 <= axes <= _MOST_AXES:
        raise DataError(f"{where} announces {axes} axes, expected 1 for labels, 3 or 4 for images")
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise DataError(f"{where} is cut short in its header: {4 + len(sizes)} bytes, expected at least {4 + 4 * axes}")
    shape = tuple(int.from_bytes(sizes[at : at + 4], "big") for at in range(0, 4 * axes, 4))
    if 0 in shape:
        raise DataError(f"{where} has no images or labels: its header announces the shape {shape}")
    return shape


def read_split(images: Path, labels: Path, images_field: str, labels_field: str) -> Split:
    """Reads the images and labels of one split.

    Args:
      images: An IDX file [n, height, width] or [n, height, width, channels].
      labels: An IDX file [n].
      images_field, labels_field: The config's names for them, for errors.

    Returns:
      The split.

    Raises:
      DataError: where either cannot be read, or they do not fit each other.
    """
    pixels, numbers = read_idx(images, images_field), read_idx(labels, labels_field)
    if pixels.ndim not in (3, 4):
        hint = "; are images and labels exchanged?" if pixels.ndim == 1 else ""
        raise DataError(f"{images_field}: {images} has the shape {pixels.shape}, expected [n, height, width]{hint}")
    if pixels.ndim == 4 and pixels.shape[-1] not in (1, 3):
        raise DataError(f"{images_field}: {images} has {pixels.shape[-1]} channels, expected 1 (grey) or 3 (RGB)")
    if numbers.ndim != 1:
        raise DataError(f"{labels_field}: {labels} has the shape {numbers.shape}, expected [n]")
    if len(pixels) != len(numbers):
        raise DataError(
            f"{labels_field}: {labels} has {len(numbers):,} labels for the {len(pixels):,} images of {images}"
        )
    shaped = pixels[..., None] if pixels.ndim == 3 else pixels
    return Split(shaped, numbers.astype(np.int32))
