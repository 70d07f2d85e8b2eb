"""Reusable host memory for copies of a training state."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import jax
import numpy as np

Leaves = Mapping[str, np.ndarray | jax.Array]


class HostCopy:
    """Copies successive states into the same memory.

    Page faults in new memory take several times as long as the copy itself.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}
        self._reserving: threading.Thread | None = None

    def reserve(self, leaves: Leaves) -> None:
        """Starts to allocate memory for arrays of these shapes and types, in a background thread."""
        self._arrays = {name: np.empty(leaf.shape, leaf.dtype) for name, leaf in leaves.items()}
        self._reserving = threading.Thread(target=_touch, args=(list(self._arrays.values()),))
        self._reserving.start()

    def copy(self, leaves: Leaves) -> Mapping[str, np.ndarray]:
        """Copies arrays by name, overwriting the previous copies; the copies are valid until the next call."""
        if self._reserving is not None:
            self._reserving.join()
            self._reserving = None
        if _kinds(leaves) != _kinds(self._arrays):
            self._arrays = {name: np.array(leaf) for name, leaf in leaves.items()}
        else:
            for name, leaf in leaves.items():
                np.copyto(self._arrays[name], np.asarray(leaf))
        return self._arrays


def _touch(arrays: list[np.ndarray]) -> None:
    """Writes to every page, so that the system allocates it."""
    for array in arrays:
        array.fill(0)


def _kinds(leaves: Leaves) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    return {name: (leaf.shape, leaf.dtype) for name, leaf in leaves.items()}
