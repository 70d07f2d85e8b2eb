"""Compiles programs with XLA's options, and caches them within and between processes."""

from __future__ import annotations

import collections
import functools
import os
from collections.abc import Callable, Hashable
from typing import Any

import jax

from cnn_jax.ops.platform import platform
from cnn_jax.run import compile_cache, host_memory

_OPTIONS: dict[str, dict[str, str | bool]] = {
    "cpu": {"xla_disable_hlo_passes": "cse_barrier_expander"},
    "tpu": {"xla_tpu_msa_inefficient_use_to_copy_ratio": "1.5"},
}
_KEPT = 10  # cached programs per process: all five programs of two networks

_programs: collections.OrderedDict[Hashable, jax.stages.Compiled] = collections.OrderedDict()


def enable_cache() -> None:
    """Caches compiled programs on disk, in JAX_COMPILATION_CACHE_DIR or the user's cache folder.

    Only the user's cache folder is trimmed to a size limit; a folder given by name may hold other programs.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = compile_cache.folder()
        jax.config.update("jax_compilation_cache_dir", str(folder))
        compile_cache.trim(folder, compile_cache.limit())
    # Caches small programs too, because a start compiles dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def options() -> dict[str, str | bool]:
    """Returns XLA's options for this platform, as `jax.jit(compiler_options=...)` takes them.

    On CPU, XLA by default drops optimization barriers before fusion, and then recomputes the inputs of a fusion for
    each of its readers. The lowerings of `ops` set barriers where this is slow, so the options keep them.

    On TPU, XLA prefetches arrays into on-chip memory, which gains nothing for arrays that are read once. The options
    restrict it to arrays with at least 1.5 times as many bytes read as copied. `docs/compile.md` has measurements.
    """
    return _OPTIONS.get(platform(), {})


def compile_once(
    function: Callable[..., Any], config: Hashable, arguments: tuple[Any, ...], **jit: Any
) -> jax.stages.Compiled:
    """Compiles a function for the given shapes, or returns this process's cached program.

    Args:
      function: Module-level function of (config, *arguments).
      config: Static first argument; the function may depend on nothing but it and the arguments.
      arguments: Arrays with the shapes, types and shardings to compile for.
      jit: Further arguments of `jax.jit`; argument numbers count from the first array.

    Returns:
      The compiled program, a function of the arguments.
    """
    leaves, structure = jax.tree.flatten(arguments)
    jit_leaves, jit_structure = jax.tree.flatten(jit)
    shapes = tuple((jax.typeof(leaf), getattr(leaf, "sharding", None)) for leaf in leaves)
    xla = options()
    key = (function, config, structure, shapes, jit_structure, tuple(jit_leaves), tuple(sorted(xla.items())))
    if key not in _programs:
        # JAX frees its caches for the new partial together with it; for the function itself it would keep them.
        lowered = jax.jit(functools.partial(function, config), **jit).lower(*arguments)
        _programs[key] = lowered.compile(xla)
        host_memory.release_freed()
        if len(_programs) > _KEPT:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    return _programs[key]
