"""For which kind of device the operations are built: this machine's, unless a program is compiled for another."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from pathlib import Path

import jax

_CPU_INFO = Path("/proc/cpuinfo")

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


@functools.lru_cache(maxsize=1)
def multiplies_bfloat16() -> bool:
    """Tells whether this machine's processor multiplies bfloat16 numbers and sums in float32 (AVX512-BF16, AMX)."""
    if not _CPU_INFO.exists():
        return False
    lines = (line.partition(":") for line in _CPU_INFO.read_text(encoding="utf-8").splitlines())
    flags = next((words.split() for name, _, words in lines if name.strip() == "flags"), [])
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
