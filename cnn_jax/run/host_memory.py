"""The memory that this process has held and may still take, and what becomes of memory that it has freed."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_SYSTEM, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# Of a control group: its limit, what it uses, and the entry of memory.stat that counts pages it can give back.
_VERSION_2 = "memory.max", "memory.current", "inactive_file"
_VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"

# Parameters of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed() -> None:
    """Makes glibc keep memory that is freed for what is asked for next; other systems are left as they are.

    The temporaries of a training step are one block, of up to gigabytes. glibc would get it from the system and give it
    back in every step, and the system would clear its pages anew each time, which takes longer than a step's
    elementwise arithmetic. Only the main thread's arena can grow so far; other threads' blocks come from the system as
    before. A single arena for all threads would keep theirs too, but they wait for each other: a step of ResNet-18 on
    32x32 images takes 1.2 times as long.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1)):
            mallopt(parameter, value)


def release_freed() -> None:
    """Gives freed memory back to the system, such as the compiler's, which is half a gigabyte for ResNet-50."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def free_bytes(system: Path = _SYSTEM, groups: Path = _GROUPS) -> int | None:
    """Gives the least of what the machine, the control groups (of a container) and `ulimit -v` leave.

    Args:
      system: Folder of the proc file system.
      groups: Folder of the control groups.

    Returns:
      Bytes; None where the system does not tell. Memory that was freed counts: it is given back first.
    """
    release_freed()
    lines = _entries(system / "meminfo")
    free = []
    if "MemAvailable:" in lines:
        free.append(1024 * (lines["MemAvailable:"] + lines.get("SwapFree:", 0)))
    free += _free_in_groups(system, groups)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    status = _entries(system / "self" / "status")
    if limit != resource.RLIM_INFINITY and "VmSize:" in status:
        free.append(limit - 1024 * status["VmSize:"])
    return max(0, min(free)) if free else None


def process_peak_bytes() -> int:
    """The most memory that this process has held so far.

    On Linux ru_maxrss would do, but starts with the peak of the parent process.
    """
    status = _entries(_SYSTEM / "self" / "status")
    if "VmHWM:" in status:
        return 1024 * status["VmHWM:"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _free_in_groups(system: Path, groups: Path) -> Iterator[int]:
    """The bytes that each control group of this process with a limit has left; a group lies within its parents."""
    for line in _read(system / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, names = (groups / "memory", _VERSION_1) if controllers else (groups, _VERSION_2)
        # In a container the path may be the host's, where its own group is mounted as the root.
        for folder in {root, *(root / part for part in (Path(path.strip("/")), *Path(path.strip("/")).parents))}:
            limit, used = (_read(folder / name).strip() for name in names[:2])
            if limit.isdigit() and used.isdigit():
                yield int(limit) - int(used) + _entries(folder / "memory.stat").get(names[2], 0)


def _entries(path: Path) -> dict[str, int]:
    """The numbers of a file of lines `name number ...`."""
    words = (line.split() for line in _read(path).splitlines())
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
