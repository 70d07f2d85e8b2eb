"""How programs are compiled: XLA's options, and JAX's persistent cache of what was compiled."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import jax
import platformdirs


def enable_cache() -> None:
    """Keeps compiled programs between processes, in JAX_COMPILATION_CACHE_DIR or the user's cache folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = Path(platformdirs.user_cache_dir("cnn_jax")) / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    # Small programs too: a start compiles dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def release_memory() -> None:
    """Gives what the compiler has freed back to the system; glibc keeps it otherwise, half a gigabyte for ResNet-50."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def options() -> dict[str, str | bool]:
    """XLA's options for this platform, as `jax.jit(compiler_options=...)` takes them.

    On CPU XLA drops optimization barriers before it fuses, and then computes the inputs of a fusion again for each
    of its readers. The lowerings of `ops` set barriers where that costs more than memory, so they are kept.
    """
    return {"xla_disable_hlo_passes": "cse_barrier_expander"} if jax.default_backend() == "cpu" else {}
