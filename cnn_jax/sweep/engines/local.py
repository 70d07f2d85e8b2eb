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
from cnn_jax.sweep.engines.place import Place
from cnn_jax.sweep.engines.worker_process import Workers
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import DONE, FAILED, PAUSED, RUNNING, STOPPED, WAITING, Status
from cnn_jax.sweep.trial_groups import TrialGroup

Report = Callable[[Entry, Status], None]

_Changes = dict[str, Any]  # of a trial's status at the end of an attempt
_Queue = collections.deque[TrialGroup]

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
          jobs: Trials at a time.
          limits: Limits of every trial.
          devices: Environment variables that give each job its own accelerator; none: they share what there is.
          cores: Cores that the jobs share; None for all that this process may use.
          name: Name of the engine, for the records.
          group: Fields of a `ProcessGroup`, where each trial has several processes and these workers are one of
            each; a worker then trains one trial.
          workers: Pool that starts them, and may have begun; None for a new one.
        """
        self._folder, self._limits, self._name, self._group = folder, limits, name, group
        self._data_dir = str(data_dir.absolute()) if data_dir else None
        shares = confinement.shares(cores or confinement.available_cores(), jobs)
        workers = workers or Workers()
        self._places = [Place(workers, share, devices[job] if devices else {}) for job, share in enumerate(shares)]
        self._attempts: collections.Counter[str] = collections.Counter()

    def run(self, groups: Sequence[TrialGroup], report: Report, stopping: Callable[[], bool]) -> None:
        """Runs trials until none is left, or until a stop is wished for, when the running ones save.

        Args:
          groups: The trials, in the order in which they start.
          report: Is told of each change of a trial's status.
          stopping: Whether no more should start.
        """
        try:
            asyncio.run(self._run(collections.deque(groups), report, stopping))
            for place in self._places:
                place.give_back()
        finally:
            for place in self._places:
                place.kill()

    async def _run(self, queue: _Queue, report: Report, stopping: Callable[[], bool]) -> None:
        await asyncio.gather(*(self._train_queued(place, queue, report, stopping) for place in self._places))

    async def _train_queued(self, place: Place, queue: _Queue, report: Report, stopping: Callable[[], bool]) -> None:
        """Trains one group of trials after another at one place."""
        while queue and not stopping():
            trials = self._next(place, queue)
            if trials is None:
                await asyncio.sleep(_POLL / 5)  # all that are left are busy elsewhere, or need another place's cores
                continue
            statuses = self._begin(place, trials)
            for entry, status in zip(trials, statuses, strict=True):
                report(entry, status)
            ends = await self._end(place, trials, stopping)
            for entry, status, changes in zip(trials, statuses, ends, strict=True):
                seconds = round(status.seconds + place.elapsed(), 3)
                report(entry, dataclasses.replace(status, seconds=seconds, **changes))
            if ends[0]["status"] == WAITING:
                queue.appendleft(trials)

    def _next(self, place: Place, queue: _Queue) -> TrialGroup | None:
        """Takes the next trials for a place; those that an earlier sweep's process still saves wait."""
        for _ in range(len(queue)):
            trials = queue.popleft()
            # Of a trial's several processes, the first holds the folder for all.
            first = not (self._group and self._group["number"])
            busy = first and any(self._folder.is_busy(entry.id) for entry in trials)
            if not busy and self._has_cores(place, trials):
                return trials
            queue.append(trials)
        return None

    def _has_cores(self, place: Place, trials: TrialGroup) -> bool:
        """Whether a place has as many cores as trials began with, or no other place has more than it."""
        most = max(len(each.cores) for each in self._places)
        return len(place.cores) >= min(self._begun_with(trials) or 0, most)

    def _begun_with(self, trials: TrialGroup) -> int | None:
        """Gives the number of cores that trials began with, which the bits of their results depend on."""
        begun = [self._folder.status(entry.id).cores for entry in trials if self._folder.has_checkpoints(entry.id)]
        return begun[0] if begun else None

    def _begin(self, place: Place, trials: TrialGroup) -> list[Status]:
        """Hands trials to a place's worker; gives their statuses while they run."""
        cores = place.cores[: self._begun_with(trials)]
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
        place.begin(task, cores, xla_flags.environment(trials[0].trial.experiment))
        return statuses

    async def _end(self, place: Place, trials: TrialGroup, stopping: Callable[[], bool]) -> list[_Changes]:
        """Waits until trials end, exceed a limit or have saved after a stop; gives the changes of their statuses."""
        saved_by = None  # the latest time, once a stop is wished for
        while True:
            answer = await place.answer(_POLL)
            if answer:
                return self._answered(place, trials, json.loads(answer)["ends"])
            if answer is not None:  # the process is gone
                if saved_by is None:
                    return self._lost(trials, place.kill(patience=10))
                place.kill()
                return [{"status": STOPPED, "message": "stopped before it could save"}] * len(trials)
            if saved_by is None and stopping():
                place.terminate()
                saved_by = time.monotonic() + _SAVING
            elif saved_by is None and (exceeded := self._exceeded(place)):
                place.kill()
                fault, message = exceeded
                return self._failed(trials, fault, message, signal="SIGKILL")
            elif saved_by is not None and time.monotonic() > saved_by:
                place.kill()
                return [{"status": STOPPED, "message": f"did not save within {_SAVING:g} s"}] * len(trials)

    def _answered(self, place: Place, trials: TrialGroup, ends: Sequence[Mapping[str, Any]]) -> list[_Changes]:
        """Gives trials' new statuses by their worker's answer, and ends a worker that should not train others."""
        changes = [self._changes(entry, **end) for entry, end in zip(trials, ends, strict=True)]
        if any(end["exit_code"] not in (exit_codes.DONE, exit_codes.PAUSED) for end in ends):
            place.kill()  # the next trial starts afresh
        elif self._group:
            place.kill(patience=10)  # a trial's several processes leave together
        elif self._limits.bytes and place.resident() > self._limits.bytes / 2:
            place.kill()  # the memory that many trials have left must not count as the next one's
        return changes

    def _changes(self, entry: Entry, exit_code: int, message: str) -> _Changes:
        """Gives the changes of a trial's status by its exit code and message."""
        if exit_code == exit_codes.DONE:
            return {"status": DONE, "exit_code": exit_code, "result_sha256": self._folder.result_sha256(entry.id)}
        if exit_code in (exit_codes.PAUSED, exit_codes.STOPPED):
            status = PAUSED if exit_code == exit_codes.PAUSED else STOPPED
            return {"status": status, "message": message, "exit_code": exit_code}
        tail = self._tail(entry)
        fault, message = faults.of_exit_code(exit_code, message, tail)
        return {"status": FAILED, "fault": fault, "message": message, "log_tail": tail, "exit_code": exit_code}

    def _lost(self, trials: TrialGroup, code: int) -> list[_Changes]:
        """Gives the new statuses of trials whose process has ended under them; other trials do not suffer from it."""
        fault, message, name = faults.of_process_end(code, self._tail(trials[0]))
        if fault == faults.KILLED and self._attempts[trials[0].id] < _ATTEMPTS:
            return [{"status": WAITING, "message": message, "signal": name}] * len(trials)
        return self._failed(trials, fault, message, exit_code=code if code >= 0 else None, signal=name)

    def _exceeded(self, place: Place) -> tuple[str, str] | None:
        """Gives the fault and a message where a place's worker takes more time or memory than it may."""
        limits, resident = self._limits, place.resident()
        if limits.seconds is not None and place.elapsed() > limits.seconds:
            return faults.HANG, f"no end after {limits.seconds / 60:g} minutes (--time_limit)"
        if limits.bytes is not None and resident > limits.bytes:
            taken, allowed = resident / 2**30, limits.bytes / 2**30
            return faults.MEMORY, f"took {taken:.1f} GiB of memory, {allowed:.1f} allowed (--memory_limit)"
        return None

    def _failed(self, trials: TrialGroup, fault: str, message: str, **more: Any) -> list[_Changes]:
        tail = self._tail(trials[0])  # where native libraries write
        return [{"status": FAILED, "fault": fault, "message": message, "log_tail": tail, **more}] * len(trials)

    def _tail(self, entry: Entry) -> tuple[str, ...]:
        return faults.log_tail(self._folder.trial(entry.id).path / "log.txt")
