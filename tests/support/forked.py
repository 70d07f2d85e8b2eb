"""Work in a forked process that kills itself before its n-th change of a file."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.symlink", "os.rmdir", "os.truncate"}
"""Audit events that change files, beside files that are opened to be written."""


def forked(action: Callable[[], None], kill_at: int = 0) -> int:
    """Runs in a process of its own that kills itself before so many changes.

    Args:
      action: The work.
      kill_at: Number of the change before which it is killed, from 1; 0 for none.

    Returns:
      The exit code: 0, 1 after an exception, or minus SIGKILL.
    """
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    count = 0

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wax+"))
        if writes or event in CHANGES:
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
