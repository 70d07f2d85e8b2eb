"""Imports of many modules at once, without the garbage collector."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

_THRESHOLD = 10_000  # new objects until the collector looks at them; Python's default is 700


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Imports inside the `with` without the garbage collector, and keeps what they made out of its way.

    The collector would look through all modules and their objects again and again, and through what JAX makes while it
    traces: a third of a second until the first training step.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_THRESHOLD)
        gc.enable()
