"""Faults of trials, from the end of the process and the last lines of its log."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.run import exit_codes

REFUSED, CRASH, KILLED, HANG, MEMORY, DIVERGED = "refused", "crash", "killed", "hang", "memory", "diverged"

TAIL = 15  # lines of a log that tell what happened
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "MemoryError", "std::bad_alloc", "Out of memory")


def log_tail(path: Path) -> tuple[str, ...]:
    """The last lines of a trial's log; none where there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(line[:500] for line in text.splitlines()[-TAIL:])


def of_exit_code(code: int, message: str, tail: Sequence[str]) -> tuple[str, str]:
    """Finds the fault of a trial that ended by itself.

    Args:
      code: Failed or refused.
      message: Message of the worker.
      tail: Last lines of the log.

    Returns:
      The fault, and a message.
    """
    if code == exit_codes.REFUSED:
        return REFUSED, message
    if message.startswith("diverged: "):
        return DIVERGED, message.removeprefix("diverged: ")
    if any(sign in line for line in (message, *tail) for sign in _OUT_OF_MEMORY):
        return MEMORY, message
    return CRASH, message


def of_process_end(code: int, tail: Sequence[str]) -> tuple[str, str, str | None]:
    """Finds the fault of a trial whose process ended.

    Args:
      code: The process's, negative for a signal.
      tail: Last lines of the log.

    Returns:
      The fault, a message, and the signal's name where there was one.
    """
    if code >= 0:
        return CRASH, f"the process left with exit code {code}", None
    name = signal.Signals(-code).name
    if any(sign in line for line in tail for sign in _OUT_OF_MEMORY):
        return MEMORY, f"the process ended by {name}, out of memory", name
    if -code in (signal.SIGKILL, signal.SIGTERM):
        why = "; the system kills so when memory runs out" if -code == signal.SIGKILL else ""
        return KILLED, f"the process was ended by {name} from outside{why}", name
    return CRASH, f"the process ended by {name}", name
