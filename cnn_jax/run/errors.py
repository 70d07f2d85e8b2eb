"""Errors of a run: what refuses it, what ends it, and what the machine says in one line."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


class RunFolderError(Exception):
    """A folder or a file in it cannot be used; the message names it and the fix."""


class RunFailed(Exception):
    """A run that had started could not go on; the message says why and what helps."""


_FIXES = {
    errno.ENOSPC: "the disk is full: free some space there, or name a folder on another disk",
    errno.EDQUOT: "the disk quota is used up: free some space there, or name a folder on another disk",
    errno.EFBIG: "the file would be larger than its file system or `ulimit -f` allows",
    errno.EROFS: "it cannot be written there: name a folder on a file system that can",
    errno.EACCES: "change its permissions, or name a folder of your own",
    errno.EPERM: "change its permissions, or name a folder of your own",
    errno.EMFILE: "too many files are open: raise the limit, `ulimit -n 4096`",
    errno.ENFILE: "too many files are open on this machine: end other programs",
    errno.ENOMEM: "memory is short: end other programs, or lower config.train.batch_size",
    errno.EIO: "the disk or the network drive reports an error: check it",
    errno.ESTALE: "the network drive has lost the file: mount it again",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOTDIR: "there is a file where a folder should be: move it away",
    errno.EEXIST: "something else is there: move it away",
    errno.EISDIR: "there is a folder where a file should be: move it away",
    errno.ENOTEMPTY: "there is a folder where a file should be: move it away",
}


def explain(error: BaseException) -> str | None:
    """Says in one line what the machine has refused and what helps.

    Args:
      error: Any exception.

    Returns:
      The line, with the file's name; None if the exception is not about files or memory.
    """
    if isinstance(error, OSError):
        place = error.filename2 or error.filename
        where = f"{os.fsdecode(place)}: " if isinstance(place, str | bytes | os.PathLike) else ""
        return where + reason(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and str(error).startswith("RESOURCE_EXHAUSTED")  # what JAX raises
    ):
        text = (str(error).splitlines() or [""])[0]
        return f"Out of memory{text and f' ({text})'}; lower config.train.batch_size, or end other programs"
    return None


def reason(error: OSError) -> str:
    """Says what the system has refused and what helps, without the file's name."""
    fix = _FIXES.get(error.errno or 0)
    return f"{error.strerror or error}" + (f"; {fix}" if fix else "")


def os_error(error: BaseException | None, path: Path) -> OSError | None:
    """Finds the system's error that an exception stands for; TensorStore names it in a text.

    Args:
      error: Any exception; those that it was raised from are looked at too.
      path: File that the error is about, if it does not name one.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error if error.filename is not None else OSError(error.errno, error.strerror, str(path))
        text = str(error).partition("[tensorstore_spec=")[0]
        for number in errno.errorcode:
            if f": {os.strerror(number)}" in text or f"[OS error {number}:" in text:
                return OSError(number, os.strerror(number), str(path))
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def started(*others: type[Exception]) -> Iterator[None]:
    """Inside the `with` a run has started: what the machine refuses there is a failure of the run.

    Args:
      others: Further exceptions that are failures there.

    Raises:
      RunFailed: In place of one of these, and of an exception that `explain` can tell in a line.
    """
    try:
        yield
    except Exception as error:
        text = str(error) if isinstance(error, others) else explain(error)
        if text is None:
            raise
        raise RunFailed(f"{text}; the last checkpoint is kept, and the same command continues from it") from error
