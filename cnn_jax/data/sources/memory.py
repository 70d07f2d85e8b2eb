"""Memory for images: asked for before it is taken, and laid out so that devices on the host share it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike

from cnn_jax.data.errors import DataError
from cnn_jax.run import host_memory

# Bytes at whose multiples memory begins that XLA uses on the host without copying it.
_ALIGNMENT = 64
_ON_DEVICES = 2 * 10**9  # bytes of decoded images up to which they lie on the devices

Memory = Literal["device", "host", "stream"]
_WORDS: dict[Memory, str] = {
    "device": "on the devices",
    "host": "in the host's memory",
    "stream": "in their files, read while training",
}

_SMALLER = (
    "use a machine with more, smaller or fewer images, or pictures that `launch.py prepare` makes a folder of records "
    "from (config.data.name=records), which are read while the network trains"
)


def place(wanted: Memory | Literal["auto"], size: int, *, streamed: bool = True) -> tuple[Memory, str]:
    """Decides where images lie while the network trains.

    Args:
      wanted: As `config.data.memory`.
      size: Bytes that they take decoded.
      streamed: Whether they can be read while the network trains.

    Returns:
      (where, the same in words with the reason).
    """
    chosen: Memory = "stream" if streamed else "host"
    if wanted != "auto":
        chosen = wanted
    elif size <= _ON_DEVICES:
        chosen = "device"
    elif (free := host_memory.free_bytes()) is not None and size <= free // 2:
        chosen = "host"
    return chosen, f"images lie {_WORDS[chosen]} (config.data.memory={wanted}); decoded they take {shown(size)}"


def require(needed: int, where: str, remedy: str = _SMALLER) -> None:
    """Refuses images that do not fit into the memory that is left.

    Args:
      needed: Bytes that are about to be taken.
      where: Field and file that need them, for the error.
      remedy: Suggested fix, for the error.

    Raises:
      DataError: Where less is left.
    """
    free = host_memory.free_bytes()
    if free is not None and needed > free:
        raise DataError(f"{where}: the images take {shown(needed)} of memory, and {shown(free)} are free; {remedy}")


def require_on_device(needed: int, statistics: Mapping[str, int] | None) -> None:
    """Refuses images that do not fit into the memory that a device has left.

    Args:
      needed: Bytes that are about to be taken.
      statistics: As the device's `memory_stats` gives them; devices on the host give None.

    Raises:
      DataError: Where less is left.
    """
    if not statistics or "bytes_limit" not in statistics:
        return
    free = statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
    if needed > free:
        raise DataError(
            f"config.data: the images take {shown(needed)} of every device's memory, and "
            f"{shown(free)} are free; {_SMALLER}"
        )


def shown(size: int) -> str:
    """Writes a number of bytes, such as 1.5 GB."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size:,} bytes"


def empty(shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> Shaped[np.ndarray, "..."]:
    """Makes an array that devices on the host can share; the system gives the memory as it is written."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def shareable(array: np.ndarray) -> np.ndarray:
    """Gives an array that devices on the host can share: itself where it is so already, else a copy; read-only."""
    if array.ctypes.data % _ALIGNMENT or not array.flags.c_contiguous:
        copy = empty((array.nbytes,)).view(array.dtype).reshape(array.shape)
        copy[...] = array
        array = copy
    shared = array.view()
    shared.setflags(write=False)
    return shared
