"""Folder of compiled programs, which is kept below a size: what was used longest ago is removed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import filelock
import platformdirs

from cnn_jax.config.parsing import ConfigError

LIMIT = "CNN_JAX_CACHE_GIB"  # environment variable
_DEFAULT_GIB = 2.0
_EVERY = 600.0  # seconds between two looks at all files
_PROGRAM, _LAST_USE = "-cache", "-atime"  # how the names of JAX's files end


def folder() -> Path:
    """Names the folder of compiled programs, where JAX_COMPILATION_CACHE_DIR does not name another one."""
    return Path(platformdirs.user_cache_dir("cnn_jax")) / "compiled"


def limit(environment: Mapping[str, str] = os.environ) -> float:
    """Reads the largest size of the folder.

    Returns:
      Bytes.

    Raises:
      ConfigError: If CNN_JAX_CACHE_GIB is no number from 0.
    """
    given = environment.get(LIMIT, "").strip()
    try:
        gib = float(given) if given else _DEFAULT_GIB
    except ValueError:
        gib = -1.0
    if not gib >= 0:
        raise ConfigError(
            [f"{LIMIT}={given}: expected the most GiB of compiled programs to keep, such as {LIMIT}={_DEFAULT_GIB:g}"]
        )
    return gib * 2**30


def trim(directory: Path, most: float, every: float = _EVERY) -> int:
    """Removes the programs that were used longest ago, until those that are left take nine tenths of the limit.

    The last use is the time of reading that the file system keeps, to a day on most. Any number of processes may call
    this while others compile: a program that one of them misses is compiled again. JAX has a limit of its own, which
    looks at all files for every program, and keeps none any more once a process was killed between its two files.

    Args:
      directory: Folder of the programs; it may be missing.
      most: Limit in bytes.
      every: Seconds since the last look at all files in which nothing is done.

    Returns:
      Number of the programs that were removed.
    """
    stamp, removed = directory / ".trimmed", 0
    with contextlib.suppress(OSError, filelock.Timeout):
        if stamp.exists() and abs(time.time() - stamp.stat().st_mtime) < every:
            return 0
        with filelock.FileLock(stamp, timeout=0):
            os.utime(stamp)
            programs = []
            for entry in os.scandir(directory):
                if entry.name.endswith(_PROGRAM):
                    with contextlib.suppress(FileNotFoundError):
                        found = entry.stat()
                        programs.append((max(found.st_atime, found.st_mtime), entry.name, found.st_size))
            size = sum(each[2] for each in programs)
            for _, name, own in sorted(programs) if size > most else ():
                if size <= 0.9 * most:
                    break
                with contextlib.suppress(FileNotFoundError):
                    (directory / name).unlink()
                    removed += 1
                (directory / f"{name.removesuffix(_PROGRAM)}{_LAST_USE}").unlink(missing_ok=True)
                size -= own
    return removed
