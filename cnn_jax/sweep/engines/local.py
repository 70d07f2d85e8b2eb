"""Trials in worker processes of this machine, each on its own share of the processor cores."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from cnn_jax import xla_flags
from cnn_jax.run import exit_codes
from cnn_jax.sweep import faults
from cnn_jax.sweep.engines import confinement, worker_process
from cnn_jax.sweep.engines.worker_process import Workers
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import DONE, FAILED, PAUSED, RUNNING, STOPPED, WAITING, Status
from cnn_jax.sweep.trial_groups import TrialGroup

Report = Callable[[Entry, Status], None]

_End = dict[str, Any]  # of a trial, by its worker: "exit_code" and "message"

_ATTEMPTS = 3  # of a trial whose process was killed from outside, in one command
_SAVING = 60.0  # seconds that a stopped trial may take to save
_POLL = 0.5  # seconds between looks at clocks and memory


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of one trial, or of those that are trained together.

    Attributes:
      seconds: Time limit of one attempt; None for none.
      bytes: Memory limit; None for none.
    """

    seconds: float | None = None
    bytes: int | None = None


class LocalEngine:
    """Runs trials on this machine."""

    # More than seven parameters: a sweep's choices, and those of Ray's workers, whose defaults are a plain sweep's.
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
        workers: Workers | None = None,
    ):
        """Prepares the workers' places; none is started yet.

        Args:
          folder: Folder of the sweep.
          data_dir: Folder of prepared data; None is the default folder.
          jobs: trials at a time.
          limits: Limits of every trial.
          devices: environment variables that give each job its own accelerator; none: they share what there is.
          cores: Cores that the jobs share; None for all that this process may use.
          name: Name of the engine, for the records.
          group: fields of a `ProcessGroup`, where each trial has several processes and these workers are one of
            each; a worker then trains one trial.
          workers: Pool that starts them, and may have begun; None for a new one.
        """
        self._folder, self._limits, self._name, self._group = folder, limits, name, group
        self._data_dir = str(data_dir.absolute()) if data_dir else None
        shares = confinement.shares(cores or confinement.available_cores(), jobs)
        workers = workers or Workers()
        self._slots = [_Slot(workers, share, devices[job] if devices else {}) for job, share in enumerate(shares)]
        self._attempts: collections.Counter[str] = collections.Counter()

    def run(self, groups: Sequence[TrialGroup], report: Report, stopping: Callable[[], bool]) -> None:
        """Runs trials until none is left, or until a stop is wished for, when the running ones save.

        Args:
          groups: the trials, in the order in which they start.
          report: is told of each change of a trial's status.
          stopping: whether no more should start.
        """
        queue = collections.deque(groups)
        with selectors.DefaultSelector() as ready:
            try:
                while (queue or any(slot.trials for slot in self._slots)) and not stopping():
                    self._fill(queue, report, ready)
                    self._wait(queue, report, ready)
                self._stop(report, ready)
                for slot in self._slots:
                    slot.give_back(ready)
            finally:
                for slot in self._slots:
                    slot.kill(ready)

    def _fill(self, queue: collections.deque[TrialGroup], report: Report, ready: selectors.BaseSelector) -> None:
        """Gives every idle worker trials; those that an earlier sweep's process still saves wait."""
        for slot in self._slots:
            if slot.trials:
                continue
            for _ in range(len(queue)):
                trials = queue.popleft()
                # Of a trial's several processes, the first holds the folder for all.
                busy = not (self._group and self._group["number"]) and any(
                    self._folder.is_busy(each.id) for each in trials
                )
                if not busy and self._has_cores(slot, trials):
                    self._start(slot, trials, report, ready)
                    break
                queue.append(trials)

    def _has_cores(self, slot: _Slot, trials: TrialGroup) -> bool:
        """Whether a worker has as many cores as trials began with, or no other worker has more than it."""
        most = max(len(each.cores) for each in self._slots)
        return len(slot.cores) >= min(self._begun_with(trials) or 0, most)

    def _begun_with(self, trials: TrialGroup) -> int | None:
        """Gives the number of cores that trials began with, which the bits of their results depend on."""
        begun = [self._folder.status(entry.id).cores for entry in trials if self._folder.has_checkpoints(entry.id)]
        return begun[0] if begun else None

    def _start(self, slot: _Slot, trials: TrialGroup, report: Report, ready: selectors.BaseSelector) -> None:
        slot.statuses = []
        cores = slot.cores[: self._begun_with(trials)]
        for entry in trials:
            self._folder.prepare(entry)
            self._attempts[entry.id] += 1
            before = self._folder.status(entry.id)
            status = Status(
                RUNNING,
                attempts=before.attempts + 1,
                seconds=before.seconds,
                engine=self._name,
                host=socket.gethostname(),
                cores=len(cores),
            )
            slot.statuses.append(status)
        folders = [str(self._folder.trial(entry.id).path.absolute()) for entry in trials]
        task = {"folders": folders, "data_dir": self._data_dir, "group": self._group}
        slot.begin(trials, task | {"until_epoch": trials[0].until_epoch}, ready, cores)
        for entry, status in zip(trials, slot.statuses, strict=True):
            report(entry, status)

    def _wait(self, queue: collections.deque[TrialGroup], report: Report, ready: selectors.BaseSelector) -> None:
        """Waits for answers for a moment, then looks at clocks and memory."""
        if not ready.get_map():
            time.sleep(_POLL / 5)  # all that are left are busy elsewhere
        for key, _ in ready.select(_POLL) if ready.get_map() else ():
            slot: _Slot = key.data
            line = slot.answer()
            if line:
                self._answered(slot, json.loads(line)["ends"], report, ready)
            else:
                self._ended(slot, queue, report, ready)
        for slot in self._slots:
            self._check(slot, report, ready)

    def _answered(self, slot: _Slot, ends: Sequence[_End], report: Report, ready: selectors.BaseSelector) -> None:
        self._close(slot, report, [self._ending(entry, end) for entry, end in zip(slot.trials, ends, strict=True)])
        if all(end["exit_code"] in (exit_codes.DONE, exit_codes.PAUSED) for end in ends):
            if self._group or (self._limits.bytes and slot.resident() > self._limits.bytes / 2):
                # What is left of many trials must not count as the next one's; a group's processes leave together.
                slot.kill(ready, patience=10 if self._group else 0)
        else:
            slot.kill(ready)  # the next trial starts afresh

    def _ending(self, entry: Entry, end: _End) -> dict[str, Any]:
        """Gives a trial's new status, by its worker's answer."""
        code, message = end["exit_code"], end["message"]
        if code == exit_codes.DONE:
            return {"status": DONE, "exit_code": code, "result_sha256": self._folder.result_sha256(entry.id)}
        if code == exit_codes.PAUSED:
            return {"status": PAUSED, "message": message, "exit_code": code}
        if code == exit_codes.STOPPED:
            return {"status": STOPPED, "message": message, "exit_code": code}
        tail = self._tail(entry)
        fault, message = faults.of_exit_code(code, message, tail)
        return {"status": FAILED, "fault": fault, "message": message, "log_tail": tail, "exit_code": code}

    def _ended(
        self, slot: _Slot, queue: collections.deque[TrialGroup], report: Report, ready: selectors.BaseSelector
    ) -> None:
        """A worker's process is gone: with it its trials, which others do not suffer from."""
        trials = slot.trials
        code = slot.kill(ready, patience=10)
        if not trials:
            return
        tail = self._tail(trials[0])  # where native libraries write
        fault, message, name = faults.of_process_end(code, tail)
        if fault == faults.KILLED and self._attempts[trials[0].id] < _ATTEMPTS:
            self._close_all(slot, report, status=WAITING, message=message, signal=name)
            queue.appendleft(trials)
            return
        ended = {"exit_code": code if code >= 0 else None, "signal": name}
        self._close_all(slot, report, status=FAILED, fault=fault, message=message, log_tail=tail, **ended)

    def _check(self, slot: _Slot, report: Report, ready: selectors.BaseSelector) -> None:
        """Ends trials that take more than they may."""
        if not slot.trials:
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
        tail = self._tail(slot.trials[0])
        self._close_all(slot, report, status=FAILED, fault=fault, message=message, log_tail=tail, signal="SIGKILL")

    def _stop(self, report: Report, ready: selectors.BaseSelector) -> None:
        """Lets running trials save; what does not end in time is ended."""
        for slot in self._slots:
            if slot.trials:
                slot.send(signal.SIGTERM)
        deadline = time.monotonic() + _SAVING
        while any(slot.trials for slot in self._slots) and time.monotonic() < deadline:
            for key, _ in ready.select(_POLL):
                slot = key.data
                if line := slot.answer():
                    self._answered(slot, json.loads(line)["ends"], report, ready)
                else:
                    slot.kill(ready)
                    self._close_all(slot, report, status=STOPPED, message="stopped before it could save")
        for slot in self._slots:
            if slot.trials:
                slot.kill(ready)
                self._close_all(slot, report, status=STOPPED, message=f"did not save within {_SAVING:g} s")

    def _tail(self, entry: Entry) -> tuple[str, ...]:
        return faults.log_tail(self._folder.trial(entry.id).path / "log.txt")

    def _close_all(self, slot: _Slot, report: Report, **changes: Any) -> None:
        """Ends the attempt at all of a worker's trials in the same way."""
        self._close(slot, report, [changes] * len(slot.trials))

    def _close(self, slot: _Slot, report: Report, changes: Sequence[dict[str, Any]]) -> None:
        """Ends the attempt at a worker's trials."""
        trials, slot.trials = slot.trials, ()
        for entry, status, change in zip(trials, slot.statuses, changes, strict=True):
            seconds = round(status.seconds + slot.elapsed(), 3)
            report(entry, dataclasses.replace(status, seconds=seconds, **change))


class _Slot:
    """A place for one worker: its cores and accelerator, the process where there is one, and its trials."""

    def __init__(self, workers: Workers, cores: Sequence[int], variables: dict[str, str]):
        self.workers, self.cores, self.variables = workers, cores, variables
        self.trials: TrialGroup = ()
        self.statuses: list[Status] = []
        self._process: subprocess.Popen[str] | None = None
        self._started_with: tuple[tuple[int, ...], dict[str, str]] = ((), {})
        self._started = 0.0

    def begin(
        self,
        trials: TrialGroup,
        task: dict[str, object],
        ready: selectors.BaseSelector,
        cores: Sequence[int] | None = None,
    ) -> None:
        """Hands trials to the worker; a new one where there is none, or one that was started in another way.

        Args:
          trials: The trials.
          task: What the worker is told.
          ready: Where its answers are waited for.
          cores: Those of this place that it may use; None: all.
        """
        started_with = (
            tuple(self.cores if cores is None else cores),
            self.variables | xla_flags.environment(trials[0].trial.experiment),
        )
        if started_with != self._started_with:
            self.kill(ready)
        if self._process is None:
            self._started_with = started_with
            self._process = self.workers.start(*started_with)
            ready.register(_pipe(self._process.stdout), selectors.EVENT_READ, self)
        self.trials, self._started = trials, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # it has just ended, which its closed output tells
            _pipe(self._process.stdin).write(json.dumps(task) + "\n")
            _pipe(self._process.stdin).flush()

    def answer(self) -> str:
        """A line that has come; empty where the process has ended."""
        assert self._process is not None
        return _pipe(self._process.stdout).readline()

    def elapsed(self) -> float:
        """Seconds since the trials began."""
        return time.monotonic() - self._started

    def resident(self) -> int:
        """Bytes of memory that the worker holds."""
        return confinement.resident_bytes(self._process.pid) if self._process else 0

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the worker."""
        if self._process is not None:
            self._process.send_signal(number)

    def give_back(self, ready: selectors.BaseSelector) -> None:
        """Gives an idle worker to those who ask the pool for one of this place; the pool's owner ends it."""
        if self.workers.reused and self._process is not None and not self.trials:
            ready.unregister(_pipe(self._process.stdout))
            self.workers.give_back(self._started_with, self._process)
            self._process = None

    def kill(self, ready: selectors.BaseSelector, patience: float = 0) -> int:
        """Ends the worker, after some seconds of patience, with all that it has started; gives its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        ready.unregister(_pipe(process.stdout))
        return worker_process.end(process, patience)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
