"""JAX's CUDA plugin on a machine without an NVIDIA GPU, where it is there for `compile --topology=h100` alone."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import types

_PLUGIN = "jax_plugins.xla_cuda12"
_EXTENSIONS = "jax_cuda12_plugin"
_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/nvhost-gpu", "/dev/nvgpu", "/proc/driver/nvidia")


def hide_plugin() -> None:
    """Keeps JAX from loading the plugin where it cannot work, which JAX tells at length, with a traceback.

    Where there is a GPU or its driver, or JAX_PLATFORMS asks for one, nothing is hidden: what JAX tells then counts.
    Call it before JAX is imported.
    """
    if "jax" in sys.modules or importlib.util.find_spec(_EXTENSIONS) is None or _is_wanted():
        return
    silent = types.ModuleType(_PLUGIN)
    silent.initialize = lambda: None  # type: ignore[attr-defined]
    sys.modules[_PLUGIN] = silent
    sys.modules[_EXTENSIONS] = None  # type: ignore[assignment]


def _is_wanted() -> bool:
    platforms = os.environ.get("JAX_PLATFORMS", "")
    return "cuda" in platforms or "gpu" in platforms or any(map(os.path.exists, _DEVICES)) or _has_driver()


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
