"""Trials in worker processes of this machine, each on its own share of the processor cores."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from cnn_jax import exit_codes, xla_flags
from cnn_jax.sweep import faults
from cnn_jax.sweep.engines import confinement
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import DONE, FAILED, RUNNING, STOPPED, WAITING, Status

Report = Callable[[Entry, Status], None]

_ATTEMPTS = 3  # of a trial whose process was killed from outside, in one command
_SAVING = 60.0  # seconds that a stopped trial may take to save
_POLL = 0.5  # seconds between looks at clocks and memory


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one trial may take.

    Attributes:
      seconds: of one attempt; None: any time.
      bytes: of memory; None: any amount.
    """

    seconds: float | None = None
    bytes: int | None = None


class LocalEngine:
    """Runs trials on this machine."""

    def __init__(
        self,
        folder: SweepFolder,
        data_dir: Path | None,
        jobs: int,
        limits: Limits,
        devices: Sequence[dict[str, str]] = (),
        cores: Sequence[int] = (),
        name: str = "local",
        group: Mapping[str, Any] | None = None,
    ):
        """Prepares the workers' places; none is started yet.

        Args:
          folder: of the sweep.
          data_dir: of prepared data; None is the default folder.
          jobs: trials at a time.
          limits: of every trial.
          devices: environment variables that give each job its own accelerator; none: they share what there is.
          cores: that the jobs share; none: all that this process may use.
          name: of the engine, for the records.
          group: fields of a `processes.Group`, where each trial has several processes and these workers are one of
            each; a worker then trains one trial.
        """
        self._folder, self._limits, self._name, self._group = folder, limits, name, group
        self._data_dir = str(data_dir.absolute()) if data_dir else None
        shares = confinement.shares(cores or confinement.available_cores(), jobs)
        self._slots = [_Slot(share, devices[job] if devices else {}) for job, share in enumerate(shares)]
        self._attempts: collections.Counter[str] = collections.Counter()

    def run(self, entries: Sequence[Entry], report: Report, stopping: Callable[[], bool]) -> None:
        """Runs trials until none is left, or until a stop is wished for, when the running ones save.

        Args:
          entries: the trials, in the order in which they start.
          report: is told of each change of a trial's status.
          stopping: whether no more should start.
        """
        queue = collections.deque(entries)
        with selectors.DefaultSelector() as ready:
            try:
                while (queue or any(slot.entry for slot in self._slots)) and not stopping():
                    self._fill(queue, report, ready)
                    self._wait(queue, report, ready)
                self._stop(report, ready)
            finally:
                for slot in self._slots:
                    slot.kill(ready)

    def _fill(self, queue: collections.deque[Entry], report: Report, ready: selectors.BaseSelector) -> None:
        """Gives every idle worker a trial; those that an earlier sweep's process still saves wait."""
        for slot in self._slots:
            if slot.entry is not None:
                continue
            for _ in range(len(queue)):
                entry = queue.popleft()
                # Of a trial's several processes, the first holds the folder for all.
                if (self._group and self._group["number"]) or not self._folder.is_busy(entry.id):
                    self._start(slot, entry, report, ready)
                    break
                queue.append(entry)

    def _start(self, slot: _Slot, entry: Entry, report: Report, ready: selectors.BaseSelector) -> None:
        self._folder.prepare(entry)
        self._attempts[entry.id] += 1
        before = self._folder.status(entry.id)
        slot.status = Status(
            RUNNING,
            attempts=before.attempts + 1,
            seconds=before.seconds,
            engine=self._name,
            host=socket.gethostname(),
            cores=len(slot.cores),
        )
        folder = self._folder.trial(entry.id).path.absolute()
        slot.begin(entry, {"folder": str(folder), "data_dir": self._data_dir, "group": self._group}, ready)
        report(entry, slot.status)

    def _wait(self, queue: collections.deque[Entry], report: Report, ready: selectors.BaseSelector) -> None:
        """Waits for answers for a moment, then looks at clocks and memory."""
        if not ready.get_map():
            time.sleep(_POLL / 5)  # all that are left are busy elsewhere
        for key, _ in ready.select(_POLL) if ready.get_map() else ():
            slot: _Slot = key.data
            line = slot.answer()
            if line:
                self._answered(slot, json.loads(line), report, ready)
            else:
                self._ended(slot, queue, report, ready)
        for slot in self._slots:
            self._check(slot, report, ready)

    def _answered(self, slot: _Slot, answer: dict[str, object], report: Report, ready: selectors.BaseSelector) -> None:
        code, message = answer["exit_code"], str(answer["message"])
        assert isinstance(code, int)
        if code == exit_codes.DONE:
            self._close(slot, report, status=DONE, exit_code=code)
            if self._group or (self._limits.bytes and slot.resident() > self._limits.bytes / 2):
                # What is left of many trials must not count as the next one's; a group's processes leave together.
                slot.kill(ready, patience=10 if self._group else 0)
            return
        if code == exit_codes.STOPPED:
            self._close(slot, report, status=STOPPED, message=message, exit_code=code)
        else:
            tail = self._tail(slot)
            fault, message = faults.of_exit_code(code, message, tail)
            self._close(slot, report, status=FAILED, fault=fault, message=message, log_tail=tail, exit_code=code)
        slot.kill(ready)  # the next trial starts afresh

    def _ended(
        self, slot: _Slot, queue: collections.deque[Entry], report: Report, ready: selectors.BaseSelector
    ) -> None:
        """A worker's process is gone: with it the trial, which others do not suffer from."""
        entry = slot.entry
        code = slot.kill(ready, patience=10)
        if entry is None:
            return
        tail = self._tail(slot)
        fault, message, name = faults.of_process_end(code, tail)
        if fault == faults.KILLED and self._attempts[entry.id] < _ATTEMPTS:
            self._close(slot, report, status=WAITING, message=message, signal=name)
            queue.appendleft(entry)
            return
        ended = {"exit_code": code if code >= 0 else None, "signal": name}
        self._close(slot, report, status=FAILED, fault=fault, message=message, log_tail=tail, **ended)

    def _check(self, slot: _Slot, report: Report, ready: selectors.BaseSelector) -> None:
        """Ends a trial that takes more than it may."""
        if slot.entry is None:
            return
        limits, resident = self._limits, slot.resident()
        if limits.seconds is not None and slot.elapsed() > limits.seconds:
            fault, message = faults.HANG, f"no end after {limits.seconds / 60:g} minutes (--time_limit)"
        elif limits.bytes is not None and resident > limits.bytes:
            told = f"{resident / 2**30:.1f} GiB of memory, {limits.bytes / 2**30:.1f} allowed (--memory_limit)"
            fault, message = faults.MEMORY, f"took {told}"
        else:
            return
        slot.kill(ready)
        self._close(
            slot, report, status=FAILED, fault=fault, message=message, log_tail=self._tail(slot), signal="SIGKILL"
        )

    def _stop(self, report: Report, ready: selectors.BaseSelector) -> None:
        """Lets running trials save; what does not end in time is ended."""
        for slot in self._slots:
            if slot.entry is not None:
                slot.send(signal.SIGTERM)
        deadline = time.monotonic() + _SAVING
        while any(slot.entry for slot in self._slots) and time.monotonic() < deadline:
            for key, _ in ready.select(_POLL):
                slot = key.data
                if line := slot.answer():
                    self._answered(slot, json.loads(line), report, ready)
                else:
                    slot.kill(ready)
                    self._close(slot, report, status=STOPPED, message="stopped before it could save")
        for slot in self._slots:
            if slot.entry is not None:
                slot.kill(ready)
                self._close(slot, report, status=STOPPED, message=f"did not save within {_SAVING:g} s")

    def _tail(self, slot: _Slot) -> tuple[str, ...]:
        return faults.log_tail(self._folder.trial(slot.entry.id).path / "log.txt") if slot.entry else ()

    def _close(self, slot: _Slot, report: Report, **changes: object) -> None:
        """Ends a trial's attempt."""
        if slot.entry is None:
            return
        entry, slot.entry = slot.entry, None
        seconds = round(slot.status.seconds + slot.elapsed(), 3)
        report(entry, dataclasses.replace(slot.status, seconds=seconds, **changes))  # type: ignore[arg-type]


class _Slot:
    """A place for one worker: its cores and accelerator, the process where there is one, and its trial."""

    def __init__(self, cores: Sequence[int], variables: dict[str, str]):
        self.cores, self.variables = cores, variables
        self.entry: Entry | None = None
        self.status = Status()
        self._process: subprocess.Popen[str] | None = None
        self._started_with: dict[str, str] = {}
        self._started = 0.0

    def begin(self, entry: Entry, task: dict[str, object], ready: selectors.BaseSelector) -> None:
        """Hands a trial to the worker; a new one where there is none, or one that was started with other XLA flags."""
        variables = self.variables | xla_flags.environment(entry.trial.experiment)
        if variables != self._started_with:
            self.kill(ready)
        if self._process is None:
            self._started_with = variables
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cnn_jax.sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=confinement.environment(variables),
                start_new_session=True,  # Ctrl-C is for the sweep, which tells its workers
                preexec_fn=confinement.confined(self.cores),
            )
            ready.register(_pipe(self._process.stdout), selectors.EVENT_READ, self)
        self.entry, self._started = entry, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # it has just ended, which its closed output tells
            _pipe(self._process.stdin).write(json.dumps(task) + "\n")
            _pipe(self._process.stdin).flush()

    def answer(self) -> str:
        """A line that has come; empty where the process has ended."""
        assert self._process is not None
        return _pipe(self._process.stdout).readline()

    def elapsed(self) -> float:
        """Seconds since the trial began."""
        return time.monotonic() - self._started

    def resident(self) -> int:
        """Bytes of memory that the worker holds."""
        return confinement.resident_bytes(self._process.pid) if self._process else 0

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the worker."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self, ready: selectors.BaseSelector, patience: float = 0) -> int:
        """Ends the worker, after some seconds of patience, with all that it has started; gives its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        ready.unregister(_pipe(process.stdout))
        with contextlib.suppress(BrokenPipeError):
            _pipe(process.stdin).close()  # no more trials come
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        _pipe(process.stdout).close()
        return code


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
