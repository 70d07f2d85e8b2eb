"""The host that a run is on: its processor, and the memory that this process has held."""

from __future__ import annotations

import os
import platform
import resource
import sys
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


def process_peak_bytes() -> int:
    """The most memory that this process has held so far.

    On Linux ru_maxrss would do, but starts with the peak of the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
