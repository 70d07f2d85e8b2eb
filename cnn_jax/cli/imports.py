"""Suspends the garbage collector during imports."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

_THRESHOLD = 10_000  # new objects per collection; Python's default is 700


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Disables the garbage collector inside the `with` block, and excludes the imported objects from later collections.

    Otherwise repeated collections of all modules, and of the objects that JAX creates while it traces, would take a
    third of a second before the first training step.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_THRESHOLD)
        gc.enable()
