"""Writes the table and the report of a running sweep in a separate process."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from rich.console import Console

from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.sweep.engines import confinement
from cnn_jax.terminal import print_line

LOG = "report.log"  # in the sweep's folder
_PROGRAM = "cnn_jax.report.sweep_writer"
_PAUSE = 50  # minimum pause, in multiples of the time that writing took
_POLL = 0.2  # seconds between checks for a signal


class PeriodicWriter:
    """Rewrites table and report during a sweep, each for at most a fiftieth of the time.

    A separate process does the work. Its failures become warnings, with the traceback in the sweep's report.log; they
    do not affect the trials or the sweep's exit code. A context manager that ends the process.
    """

    def __init__(self, folder: Path, report: bool, console: Console):
        """Initializes the writer; nothing is written yet.

        Args:
          folder: Folder of the sweep.
          report: Whether to write a report too.
          console: Console for warnings.
        """
        self._folder, self._console = folder, console
        self._names = ("table", "report") if report else ("table",)
        self._due: dict[str, float] = {}
        self._requested: tuple[str, ...] = ()
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None
        self._warned: set[str] = set()

    def __enter__(self) -> PeriodicWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def update(self) -> None:
        """Requests the files that are due, unless the process is busy; the first call requests both."""
        if self._requested and self._wait_for_answer(lambda: True) is None:
            return
        now = time.monotonic()
        if due := [name for name in self._names if now >= self._due.get(name, now)]:
            self._request(due)

    def finish(self) -> None:
        """Writes both a last time and prints their paths; a signal skips this."""
        written: dict[str, str] = {}
        with StopSignal() as stop:
            while self._requested and stop.received is None:
                self._wait_for_answer(lambda: stop.received is not None)
            for name in self._names:
                if stop.received is None:
                    self._request([name])
                    written |= self._wait_for_answer(lambda: stop.received is not None) or {}
        for name, path in written.items():
            self._print(f"{name}: {path}")
        if stop.received is not None:
            self._warn(f"{stop.received}: the report is not up to date")
        self._end()

    def _request(self, names: Sequence[str]) -> None:
        self._requested = tuple(names)
        try:
            self._process = self._process or self._start()
            stdin = _pipe(self._process.stdin)
            stdin.write(json.dumps(list(names)) + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # the process has ended; `_wait_for_answer` notices the closed output
        except OSError as error:  # no process can be started
            self._failed(names, str(error), "")
            self._end()

    def _start(self) -> subprocess.Popen[str]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the process
        return subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, str(self._folder.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=confinement.environment({}),
            start_new_session=True,  # so that Ctrl-C only reaches the sweep
        )

    def _wait_for_answer(self, leave: Callable[[], bool]) -> dict[str, str] | None:
        """Waits for the answer and returns the path of each written file; None if `leave` ended the wait."""
        process = self._process
        if process is None:
            self._requested = ()
            return {}
        output = _pipe(process.stdout)
        with selectors.DefaultSelector() as selector:  # `select.select` takes no file number above 1,023
            selector.register(output, selectors.EVENT_READ)
            while not selector.select(0):
                if leave():
                    return None
                selector.select(_POLL)
        line = output.readline()
        asked, self._requested = self._requested, ()
        if not line:
            self._process_died(asked)
            return {}
        return self._read_answers(json.loads(line))

    def _read_answers(self, answers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        written = {}
        for name, answer in answers.items():
            self._due[name] = time.monotonic() + _PAUSE * answer["seconds"]
            if answer["error"] is None:
                written[name] = answer["path"]
            else:
                self._failed([name], answer["error"], answer["trace"])
        return written

    def _process_died(self, names: Sequence[str]) -> None:
        assert self._process is not None
        assert self._errors is not None
        code = self._process.wait()
        self._errors.seek(0)
        last = self._errors.read()[-20_000:].decode(errors="replace")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self._due |= dict.fromkeys(names, time.monotonic() + 60)
        self._failed(names, f"the process that writes it ended {how}", last)
        self._end()

    def _failed(self, names: Sequence[str], error: str, trace: str) -> None:
        """Prints each new warning once, and logs the traceback."""
        log = self._folder / LOG
        when = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{when} {' and '.join(names)}: {error}\n{trace}\n")
        self._warn(f"the {' and the '.join(names)} could not be written: {error}; trace in {log}")

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            fix = f"launch.py report --workdir={self._folder} writes it again"
            self._print(f"warning: {text}; the trials are not affected; {fix}")

    def _print(self, text: str) -> None:
        print_line(self._console, text)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._requested = ()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            with contextlib.suppress(BrokenPipeError):
                _pipe(process.stdin).close()
            _pipe(process.stdout).close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
