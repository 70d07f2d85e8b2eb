"""The processor of the host that a run is on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """Names the model of the processor; may be empty."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def available_cores() -> list[int]:
    """Lists the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores_of_xla() -> int:
    """Counts the cores among which XLA divides its work on a CPU, which its last bits depend on.

    These are the ones that this process may use, unless the environment variable NPROC gives another number.
    """
    try:
        return max(1, int(os.environ.get("NPROC", "")))
    except ValueError:
        return len(available_cores())
