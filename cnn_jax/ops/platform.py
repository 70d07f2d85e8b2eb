"""Platform that programs are traced for: this machine's, unless they are compiled ahead of time for another."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from pathlib import Path

import jax

_CPU_INFO = Path("/proc/cpuinfo")

_target: contextvars.ContextVar[str | None] = contextvars.ContextVar("platform", default=None)


def platform() -> str:
    """Returns the platform as JAX names it: "cpu", "gpu" or "tpu"."""
    return _target.get() or jax.default_backend()


@contextlib.contextmanager
def building_for(name: str) -> Iterator[None]:
    """Sets the platform for functions traced inside the `with` block.

    The platform is not part of JAX's cache key, so a process must trace each function for one platform only.

    Args:
      name: Platform as JAX names it.
    """
    token = _target.set(name)
    try:
        yield
    finally:
        _target.reset(token)


@functools.lru_cache(maxsize=1)
def multiplies_bfloat16() -> bool:
    """Returns whether the CPU has bfloat16 products with float32 sums (AVX512-BF16 or AMX)."""
    if not _CPU_INFO.exists():
        return False
    lines = (line.partition(":") for line in _CPU_INFO.read_text(encoding="utf-8").splitlines())
    flags = next((words.split() for name, _, words in lines if name.strip() == "flags"), [])
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
