"""For which kind of device the operations are built: this machine's, unless a program is compiled for another."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_other: contextvars.ContextVar[str | None] = contextvars.ContextVar("platform", default=None)


def platform() -> str:
    """JAX's name of it: "cpu", "gpu" or "tpu"."""
    return _other.get() or jax.default_backend()


@contextlib.contextmanager
def building_for(other: str) -> Iterator[None]:
    """Builds what is traced inside the `with` for another kind of device.

    JAX's caches do not know of it: a process that builds a function for one kind must not trace it for another.

    Args:
      other: JAX's name of the kind.
    """
    token = _other.set(other)
    try:
        yield
    finally:
        _other.reset(token)
