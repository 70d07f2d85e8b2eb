"""JAX's persistent compilation cache, on by default."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import platformdirs


def enable() -> None:
    """Keeps compiled programs between processes, in JAX_COMPILATION_CACHE_DIR or the user's cache folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = Path(platformdirs.user_cache_dir("cnn_jax")) / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    # Small programs too: a start compiles dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
