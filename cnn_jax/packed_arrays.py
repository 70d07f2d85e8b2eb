"""Packs small arrays for checkpoints, and computes digests."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

Layout = Mapping[str, Sequence[tuple[str, Sequence[int]]]]  # names and shapes of the packed arrays, by type

_SMALL = 2**16  # arrays with fewer values are packed, as Orbax takes a millisecond for each array


def packed(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Layout]:
    """Concatenates all small arrays of each type under the type's name.

    Returns:
      (large and packed arrays by name, layout of the packed arrays).
    """
    kept: dict[str, np.ndarray] = {}
    small: dict[str, list[str]] = {}
    for name, array in arrays.items():
        if array.size < _SMALL:
            small.setdefault(array.dtype.name, []).append(name)
        else:
            kept[name] = array
    for dtype, names in small.items():
        kept[dtype] = np.concatenate([arrays[name].reshape(-1) for name in names])
    return kept, {dtype: [(name, list(arrays[name].shape)) for name in names] for dtype, names in small.items()}


def unpacked(kept: Mapping[str, np.ndarray], layout: Layout) -> dict[str, np.ndarray]:
    """Inverts `packed`."""
    arrays = {name: array for name, array in kept.items() if name not in layout}
    for dtype, entries in layout.items():
        start = 0
        for name, shape in entries:
            end = start + math.prod(shape)
            arrays[name] = kept[dtype][start:end].reshape(shape)
            start = end
    return arrays


def digests(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Computes the CRC-32 of each array's name, type, shape and content."""
    return {name: f"{_crc(name, array, 0):08x}" for name, array in arrays.items()}


def whole_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Computes the CRC-32 over all arrays, which checkpoints of earlier versions store."""
    return f"{functools.reduce(lambda crc, name: _crc(name, arrays[name], crc), sorted(arrays), 0):08x}"


def _crc(name: str, array: np.ndarray, crc: int) -> int:
    array = np.ascontiguousarray(array)
    crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
    return zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
