"""How programs are compiled: XLA's options, and what keeps them from being compiled twice."""

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
_KEPT = 10  # programs of a process that trains one network after another: of two networks, all five

_programs: collections.OrderedDict[Hashable, jax.stages.Compiled] = collections.OrderedDict()


def enable_cache() -> None:
    """Keeps compiled programs between processes, in JAX_COMPILATION_CACHE_DIR or the user's cache folder.

    The latter is kept below a size; a folder that somebody names may hold other programs.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = compile_cache.folder()
        jax.config.update("jax_compilation_cache_dir", str(folder))
        compile_cache.trim(folder, compile_cache.limit())
    # Small programs too: a start compiles dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def options() -> dict[str, str | bool]:
    """XLA's options for this platform, as `jax.jit(compiler_options=...)` takes them.

    On CPU XLA drops optimization barriers before it fuses, and then computes the inputs of a fusion again for each
    of its readers. The lowerings of `ops` set barriers where that costs more than memory, so they are kept.

    On TPU it fetches arrays into the chip's own memory ahead of time. What is read there only once might as well be
    read from where it was: it is fetched where it is read at least 1.5 times as much. `docs/compile.md` has figures.
    """
    return _OPTIONS.get(platform(), {})


def compile_once(
    function: Callable[..., Any], config: Hashable, arguments: tuple[Any, ...], **jit: Any
) -> jax.stages.Compiled:
    """Compiles a function for arguments like these, or gives the program that this process has of it.

    Args:
      function: Module-level function of (config, *arguments).
      config: Static first argument: everything that the function depends on besides the arguments.
      arguments: Arrays of the shapes, types and shardings that will come.
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
        # A function of its own: what JAX caches for it is freed with it, and not kept as long as the module.
        lowered = jax.jit(functools.partial(function, config), **jit).lower(*arguments)
        _programs[key] = lowered.compile(xla)
        host_memory.release_freed()
        if len(_programs) > _KEPT:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    return _programs[key]
