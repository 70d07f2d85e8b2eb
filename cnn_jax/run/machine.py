"""The host that a run is on: its processor, and the memory that this process has held."""

from __future__ import annotations

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
