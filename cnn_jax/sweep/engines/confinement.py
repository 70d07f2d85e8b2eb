"""Processes that keep to their share of the machine, and end with the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import filelock

from cnn_jax.run.machine import available_cores

_PR_SET_PDEATHSIG = 1
_ROOT = Path(__file__).parents[3]


def shares(cores: Sequence[int], jobs: int) -> list[tuple[int, ...]]:
    """Deals cores to jobs, as evenly as possible and each core once.

    Args:
      cores: Cores to be dealt.
      jobs: Number of jobs; with more jobs than cores some cores are shared.

    Returns:
      The cores of each job.
    """
    if jobs >= len(cores):
        return [(cores[job % len(cores)],) for job in range(jobs)]
    edges = [job * len(cores) // jobs for job in range(jobs + 1)]
    return [tuple(cores[low:high]) for low, high in itertools.pairwise(edges)]


@contextlib.contextmanager
def claimed(count: int) -> Iterator[list[int]]:
    """Claims processor cores that no other process of this machine has claimed in this way.

    Args:
      count: Number of cores.

    Yields:
      The cores, for as long as the block lasts; where not enough are free, others fill up.
    """
    with contextlib.ExitStack() as locks:
        free, taken = [], []
        for core in available_cores():
            lock = filelock.FileLock(Path(tempfile.gettempdir()) / f"cnn_jax-core-{core}.lock", timeout=0)
            try:
                locks.enter_context(lock)
                free.append(core)
            except filelock.Timeout:
                taken.append(core)
            if len(free) == count:
                break
        yield (free + taken)[:count]


def confined(cores: Sequence[int]) -> Callable[[], None]:
    """Confines a new process before its program starts.

    Args:
      cores: Cores that it may use.

    Returns:
      A function for `subprocess.Popen(preexec_fn=...)`: it sets the cores, asks for SIGTERM when the parent dies, and
      offers itself first when the system runs out of memory. Where the system has none of these, it does nothing.
    """
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def apply() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
                file.write("500")

    return apply


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of this package, wherever it is started from."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **extra}


def resident_bytes(pid: int) -> int:
    """The memory that a process holds; 0 where that cannot be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def total_bytes() -> int | None:
    """The memory of this machine, or of the container this process is in; None where that cannot be told."""
    found = []
    with contextlib.suppress(OSError):
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        found += [int(limit)] if limit.isdigit() else []
    with contextlib.suppress(ValueError, OSError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)
