"""The memory that this process may still take."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

_SYSTEM, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# Of a control group: its limit, what it uses, and the entry of memory.stat that counts pages it can give back.
_VERSION_2 = "memory.max", "memory.current", "inactive_file"
_VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


def free_bytes(system: Path = _SYSTEM, groups: Path = _GROUPS) -> int | None:
    """Gives the least of what the machine, the control groups (of a container) and `ulimit -v` leave.

    Args:
      system: Folder of the proc file system.
      groups: Folder of the control groups.

    Returns:
      Bytes; None where the system does not tell.
    """
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
