"""Images that a process keeps between runs, where it trains many: the trials of a sweep read the same files."""

from __future__ import annotations

import collections
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from cnn_jax.run import host_memory

T = TypeVar("T")

_MOST = 2  # a folder of training pictures and one of test pictures
_SHARE = 0.25  # of the free memory

_keeps = False
_kept: collections.OrderedDict[Hashable, Any] = collections.OrderedDict()


def keep(on: bool = True) -> None:
    """Makes this process keep what it reads from now on, the last two sources that are small beside its memory.

    Args:
      on: False forgets what is kept, and keeps no more.
    """
    global _keeps
    _keeps = on
    if not on:
        _kept.clear()


def read(key: Hashable, read_anew: Callable[[], T], size: Callable[[T], int]) -> T:
    """Gives what is kept under a key, or reads it.

    Args:
      key: All that the images depend on: how they are read, and the sizes and times of their files.
      read_anew: Reads them.
      size: Gives their bytes.
    """
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key]
    if len(_kept) == _MOST:
        _kept.popitem(last=False)  # before the next is read, which may need the memory
    found = read_anew()
    free = host_memory.free_bytes()
    if _keeps and (free is None or size(found) <= _SHARE * free):
        _kept[key] = found
    return found
