"""Hides JAX's CUDA plugin on machines without an NVIDIA GPU, where only `compile --topology=h100` uses it."""

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
    """Keeps JAX from loading the plugin if it cannot work, for which JAX would log a traceback.

    Does nothing if there is a GPU or a driver, or JAX_PLATFORMS asks for a GPU, so that JAX reports real problems. Must
    be called before JAX is imported.
    """
    if "jax" in sys.modules or importlib.util.find_spec(_EXTENSIONS) is None or _is_wanted():
        return
    stub = types.ModuleType(_PLUGIN)
    stub.initialize = lambda: None  # type: ignore[attr-defined]
    sys.modules[_PLUGIN] = stub
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
