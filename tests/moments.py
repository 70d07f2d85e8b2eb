"""Moments in the life of another process, counted in events and never in seconds.

A test plants a moment into the environment of a command. The process that it names counts what it does, by this file
as its `sitecustomize`, and at the moment it kills itself or waits until the test has done what it wants. So the moment
comes on a quick machine, on a slow one and on a busy one alike.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_VARIABLE = "TEST_MOMENT"
_PATIENCE = 600  # seconds, after which a test fails: for machines that are very busy


class Moment:
    """A moment of a process; at first it begins to count, then it counts to the moment."""

    def __init__(
        self, folder: Path, process: str, *, action: str = "wait", which: Sequence[int] | None = (0,), **when: Any
    ):
        """Plants nothing yet.

        Args:
          folder: Where this object may make files, and no other moment does.
          process: A word of the command line of the process that counts.
          action: "wait" to wait for `release`, the name of a signal that the process sends itself, or "count" to go on
            and keep the number of events.
          which: Which processes with the word do this, by the order in which they come to it; None for all of them.
          when: Where the count begins: `opened`, the end of a file's path, and `mode`, a letter of the mode in which it
            is opened, for the `nth` time (1); without it, where Python starts. If `lines` is given, where that file
            then has so many. What is counted from there: `events`, Python's audit events of all threads; or `calls`,
            of Python's functions in the thread that opened the file. Without both the moment is where the count begins.
            "count" goes on to the end of the process, or to where the file `until` is opened or renamed to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._reached, self._released = folder / "reached", folder / "released"
        shutil.copy(__file__, folder / "sitecustomize.py")
        planted = {"process": process, "action": action, "which": which, "reached": str(self._reached)} | when
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = os.environ | {_VARIABLE: json.dumps(planted), "PYTHONPATH": os.pathsep.join(paths)}

    @property
    def processes(self) -> list[int]:
        """The processes that have reached the moment."""
        return [int(line) for line in self._reached.read_text().split()] if self._reached.exists() else []

    def wait(self, command: Any, processes: int = 1) -> int:
        """Waits until the moment has come; gives the process that came to it last.

        Args:
          command: Which starts that process, or is it: if it ends, the moment cannot come any more.
          processes: How many must have come to it.
        """
        wait_until(lambda: len(self.processes) >= processes or command.poll() is not None, "the moment")
        assert len(self.processes) >= processes, f"the command ended with {command.returncode} before the moment"
        return self.processes[processes - 1]

    def release(self) -> None:
        """Lets the process go on."""
        self._released.touch()

    @property
    def counted(self) -> list[int]:
        """After "count": of each process the events from the beginning of the count to its end."""
        return [json.loads(line) for line in self._reached.with_name("counted").read_text().splitlines()]


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Waits for what must come, however slow the machine is; fails where it does not come at all."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < _PATIENCE, f"{what} has not come"
        time.sleep(0.01)


def parent(pid: int) -> int:
    """The process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent to hear of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- in the process that counts ---


class _Count:
    def __init__(self, planted: dict[str, Any]):
        self._planted = planted
        self._reached = Path(planted["reached"])
        self._openings = self._events = self._calls = 0
        self._counts = "opened" not in planted
        self._size = -1
        self._inside = threading.local()
        self._over = False
        if self._counts and not planted.get("events") and planted["action"] != "count":
            self._act()

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hears of every audit event."""
        if self._over or getattr(self._inside, "here", False):
            return
        if not self._counts:
            if event == "open" and self._is_it(*arguments[:2]):
                self._openings += 1
                if self._openings == self._planted.get("nth", 1):
                    self._begin(str(arguments[0]))
            return
        self._events += 1
        if 0 < self._planted.get("events", 0) <= self._events:
            self._act()
        elif "until" in self._planted and event in ("open", "os.rename"):
            file = arguments[0] if event == "open" else arguments[1]
            if str(file).endswith(self._planted["until"]):
                self.keep()

    def _is_it(self, path: Any, mode: Any) -> bool:
        named = isinstance(path, str) and path.endswith(self._planted["opened"])
        return named and self._planted.get("mode", "") in str(mode or "")

    def _begin(self, path: str) -> None:
        self._path = path
        if "lines" in self._planted or "calls" in self._planted:
            sys.setprofile(self._profile)
        elif self._planted.get("events") or self._planted["action"] == "count":
            self._counts = True
        else:
            self._act()

    def _profile(self, frame: Any, event: str, argument: Any) -> None:
        """Hears of every call in the thread that opened the file."""
        if event != "call":
            return
        if self._calls or self._lines() >= self._planted.get("lines", 0):
            self._calls += 1
            if self._calls > self._planted.get("calls", 0):
                sys.setprofile(None)
                self._act()

    def _lines(self) -> int:
        try:
            size = os.stat(self._path).st_size
        except FileNotFoundError:
            return 0
        if size != self._size:
            self._size = size
            with self._unheard():
                self._lines_then = Path(self._path).read_bytes().count(b"\n")
        return self._lines_then

    @contextlib.contextmanager
    def _unheard(self) -> Any:
        self._inside.here = True
        try:
            yield
        finally:
            self._inside.here = False

    def _act(self) -> None:
        self._over = True
        with self._unheard():
            with self._reached.open("ab", buffering=0) as file:
                mine = f"{os.getpid()}\n".encode()
                file.write(mine)
            which, action = self._planted["which"], self._planted["action"]
            if which is not None and self._reached.read_bytes().split(b"\n").index(mine.strip()) not in which:
                return
            if action == "wait":
                began = time.monotonic()
                while not self._reached.with_name("released").exists() and time.monotonic() - began < _PATIENCE:
                    time.sleep(0.01)
            else:
                os.kill(os.getpid(), signal.Signals[action])

    def keep(self) -> None:
        """Keeps the number of events, at the end of what a process is to count."""
        if self._over:
            return
        self._over = True
        with self._reached.with_name("counted").open("ab", buffering=0) as file:
            file.write(f"{self._events}\n".encode())


def hear() -> None:
    """Begins to count if the environment has a moment for this process."""
    if _VARIABLE not in os.environ:
        return
    planted = json.loads(os.environ[_VARIABLE])
    if not any(planted["process"] in word for word in getattr(sys, "orig_argv", ())):
        return
    count = _Count(planted)
    sys.addaudithook(count.audit)
    if planted["action"] == "count":
        import atexit

        atexit.register(count.keep)


if __name__ == "sitecustomize":
    hear()
