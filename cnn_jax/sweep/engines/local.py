"""Trials in worker processes of this machine, each on its own share of the processor cores."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax import xla_flags
from cnn_jax.run import exit_codes
from cnn_jax.sweep import faults
from cnn_jax.sweep.engines import confinement
from cnn_jax.sweep.engines.worker_process import Workers
from cnn_jax.sweep.engines.worker_slot import WorkerSlot
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import DONE, FAILED, PAUSED, RUNNING, STOPPED, WAITING, Status
from cnn_jax.sweep.trial_groups import TrialGroup

Report = Callable[[Entry, Status], None]

_Changes = dict[str, Any]  # fields of a trial's status to replace at the end of an attempt
_Queue = collections.deque[TrialGroup]

_ATTEMPTS = 3  # attempts in one command at a trial whose process is killed from outside
_SAVING = 60.0  # seconds that a stopped trial may take to save
_POLL = 0.5  # seconds between looks at clocks and memory


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a worker process, whose trials may be trained together.

    Attributes:
      seconds: Time limit of one attempt; None for none.
      bytes: Memory limit; None for none.
    """

    seconds: float | None = None
    bytes: int | None = None


class LocalEngine:
    """Runs trials on this machine."""

    # More than seven parameters: those with defaults are for searches and Ray.
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
        """Stores its arguments and makes a slot for each job; `run` starts the workers.

        Args:
          folder: Folder of the sweep.
          data_dir: Folder of prepared data; None is the default folder.
          jobs: Number of trials that run at a time.
          limits: Limits of every trial.
          devices: One set of environment variables for each job, naming its own accelerator; empty: all jobs share.
          cores: Cores to share; empty for all that this process may use.
          name: Name of the engine, for the records.
          group: Fields of a `ProcessGroup` if each trial has several processes, of which this engine starts one; a
            worker then trains a single trial.
          workers: Pool that starts the workers, some perhaps ahead; None for a new one.
        """
        self._folder, self._limits, self._name, self._group = folder, limits, name, group
        self._data_dir = str(data_dir.absolute()) if data_dir else None
        shares = confinement.shares(cores or confinement.available_cores(), jobs)
        workers = workers or Workers()
        self._slots = [WorkerSlot(workers, share, devices[job] if devices else {}) for job, share in enumerate(shares)]
        self._attempts: collections.Counter[str] = collections.Counter()

    def run(self, groups: Sequence[TrialGroup], report: Report, stopping: Callable[[], bool]) -> None:
        """Runs trials until none is left. On a stop, running trials save and no more start.

        Args:
          groups: Groups of trials, in the order in which they start.
          report: Called with each new status of a trial.
          stopping: Returns True once the run should stop.
        """
        try:
            asyncio.run(self._run(collections.deque(groups), report, stopping))
            for slot in self._slots:
                slot.give_back()
        finally:
            for slot in self._slots:
                slot.kill()

    async def _run(self, queue: _Queue, report: Report, stopping: Callable[[], bool]) -> None:
        await asyncio.gather(*(self._train_queued(slot, queue, report, stopping) for slot in self._slots))

    async def _train_queued(
        self, slot: WorkerSlot, queue: _Queue, report: Report, stopping: Callable[[], bool]
    ) -> None:
        """Trains one group of trials after another in one slot."""
        while queue and not stopping():
            trials = self._next(slot, queue)
            if trials is None:
                await asyncio.sleep(_POLL / 5)  # the rest are busy elsewhere, or need another slot's cores
                continue
            statuses = self._begin(slot, trials)
            for entry, status in zip(trials, statuses, strict=True):
                report(entry, status)
            ends = await self._wait(slot, trials, stopping)
            for entry, status, changes in zip(trials, statuses, ends, strict=True):
                seconds = round(status.seconds + slot.elapsed(), 3)
                report(entry, dataclasses.replace(status, seconds=seconds, **changes))
            if ends[0]["status"] == WAITING:
                queue.appendleft(trials)

    def _next(self, slot: WorkerSlot, queue: _Queue) -> TrialGroup | None:
        """Takes the next group that a slot can train; trials that another process still saves stay queued."""
        for _ in range(len(queue)):
            trials = queue.popleft()
            # If a trial has several processes, the first one holds its folder.
            first = not (self._group and self._group["number"])
            busy = first and any(self._folder.is_busy(entry.id) for entry in trials)
            if not busy and self._has_cores(slot, trials):
                return trials
            queue.append(trials)
        return None

    def _has_cores(self, slot: WorkerSlot, trials: TrialGroup) -> bool:
        """Whether a slot has as many cores as the trials began with, or the most of all slots."""
        most = max(len(each.cores) for each in self._slots)
        return len(slot.cores) >= min(self._begun_with(trials) or 0, most)

    def _begun_with(self, trials: TrialGroup) -> int | None:
        """Number of cores that trials began with; their exact results depend on it. None if they have no checkpoint."""
        begun = [self._folder.status(entry.id).cores for entry in trials if self._folder.has_checkpoints(entry.id)]
        return begun[0] if begun else None

    def _begin(self, slot: WorkerSlot, trials: TrialGroup) -> list[Status]:
        """Sends trials to a slot's worker; returns their statuses while they run."""
        cores = slot.cores[: self._begun_with(trials)]
        statuses = []
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
            statuses.append(status)
        task = {
            "folders": [str(self._folder.trial(entry.id).path.absolute()) for entry in trials],
            "data_dir": self._data_dir,
            "group": self._group,
            "until_epoch": trials[0].until_epoch,
        }
        slot.begin(task, cores, xla_flags.environment(trials[0].trial.experiment))
        return statuses

    async def _wait(self, slot: WorkerSlot, trials: TrialGroup, stopping: Callable[[], bool]) -> list[_Changes]:
        """Waits until trials end, exceed a limit or have saved after a stop; returns the changes of their statuses."""
        save_deadline = None  # set on a stop
        while True:
            answer = await slot.answer(_POLL)
            if answer:
                return self._changes_from_answer(slot, trials, json.loads(answer)["ends"])
            if answer is not None:  # the process is gone
                if save_deadline is None:
                    return self._changes_of_lost(trials, slot.kill(patience=10))
                slot.kill()
                return [{"status": STOPPED, "message": "stopped before it could save"}] * len(trials)
            if save_deadline is None and stopping():
                slot.terminate()
                save_deadline = time.monotonic() + _SAVING
            elif save_deadline is None and (exceeded := self._exceeded(slot)):
                slot.kill()
                fault, message = exceeded
                return self._changes_of_failed(trials, fault, message, signal="SIGKILL")
            elif save_deadline is not None and time.monotonic() > save_deadline:
                slot.kill()
                return [{"status": STOPPED, "message": f"did not save within {_SAVING:g} s"}] * len(trials)

    def _changes_from_answer(
        self, slot: WorkerSlot, trials: TrialGroup, ends: Sequence[Mapping[str, Any]]
    ) -> list[_Changes]:
        """Changes from the worker's answer. Ends the worker if it should not train other trials."""
        changes = [self._changes_of_end(entry, **end) for entry, end in zip(trials, ends, strict=True)]
        if any(end["exit_code"] not in (exit_codes.DONE, exit_codes.PAUSED) for end in ends):
            slot.kill()  # the next trial starts afresh
        elif self._group:
            slot.kill(patience=10)  # the processes of one trial exit together
        elif self._limits.bytes and slot.resident() > self._limits.bytes / 2:
            slot.kill()  # memory left over from earlier trials must not count against the next
        return changes

    def _changes_of_end(self, entry: Entry, exit_code: int, message: str) -> _Changes:
        """Changes of a trial's status, from its exit code and message."""
        if exit_code == exit_codes.DONE:
            return {"status": DONE, "exit_code": exit_code, "result_sha256": self._folder.result_sha256(entry.id)}
        if exit_code in (exit_codes.PAUSED, exit_codes.STOPPED):
            status = PAUSED if exit_code == exit_codes.PAUSED else STOPPED
            return {"status": status, "message": message, "exit_code": exit_code}
        tail = self._tail(entry)
        fault, message = faults.of_exit_code(exit_code, message, tail)
        return {"status": FAILED, "fault": fault, "message": message, "log_tail": tail, "exit_code": exit_code}

    def _changes_of_lost(self, trials: TrialGroup, code: int) -> list[_Changes]:
        """Changes of trials whose process died; they wait for another attempt if it was killed from outside."""
        fault, message, name = faults.of_process_end(code, self._tail(trials[0]))
        if fault == faults.KILLED and self._attempts[trials[0].id] < _ATTEMPTS:
            return [{"status": WAITING, "message": message, "signal": name}] * len(trials)
        return self._changes_of_failed(trials, fault, message, exit_code=code if code >= 0 else None, signal=name)

    def _exceeded(self, slot: WorkerSlot) -> tuple[str, str] | None:
        """Fault and message if a slot's worker exceeds its time or memory limit; None if not."""
        limits, resident = self._limits, slot.resident()
        if limits.seconds is not None and slot.elapsed() > limits.seconds:
            return faults.HANG, f"no end after {limits.seconds / 60:g} minutes (--time_limit)"
        if limits.bytes is not None and resident > limits.bytes:
            taken, allowed = resident / 2**30, limits.bytes / 2**30
            return faults.MEMORY, f"took {taken:.1f} GiB of memory, {allowed:.1f} allowed (--memory_limit)"
        return None

    def _changes_of_failed(self, trials: TrialGroup, fault: str, message: str, **more: Any) -> list[_Changes]:
        tail = self._tail(trials[0])  # native libraries write their errors there
        return [{"status": FAILED, "fault": fault, "message": message, "log_tail": tail, **more}] * len(trials)

    def _tail(self, entry: Entry) -> tuple[str, ...]:
        return faults.log_tail(self._folder.trial(entry.id).path / "log.txt")
