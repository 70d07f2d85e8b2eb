"""Trials as tasks of a Ray cluster, or of a Ray that is started here; all nodes share the path of their folder."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep import faults
from cnn_jax.sweep.engines import confinement
from cnn_jax.sweep.engines.local import Limits, LocalEngine, Report
from cnn_jax.sweep.engines.needs import Needs, capacity, unmet
from cnn_jax.sweep.engines.worker_process import COMMAND, Workers
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import DONE, FAILED, RUNNING, STOPPED, Status
from cnn_jax.sweep.trial_groups import TrialGroup

_RETRIES = 3  # of a trial whose node or Ray process is lost, each from the last checkpoint
_SAVING = 90.0  # seconds that stopped trials may take to save
_POLL = 1.0  # seconds
_LONGEST_FOLDER = 24  # characters; the name of a socket may have 107


class RayEngine:
    """Runs each group of trials as a task: Ray chooses the node, a process of its own there trains."""

    def __init__(
        self,
        folder: SweepFolder,
        data_dir: Path | None,
        limits: Limits,
        needs: Needs,
        address: str | None,
        jobs: int | None,
        command: Sequence[str] = COMMAND,
    ):
        """Stores its arguments; `run` starts Ray.

        Args:
          folder: Folder of the sweep, on a path that is the same on all nodes.
          data_dir: Folder of prepared data, likewise; None is each node's default folder.
          limits: Limits of every trial.
          needs: Resources of every trial.
          address: Address of a Ray cluster, "auto" for the one of this machine; None starts one for this sweep, which
            has the GPUs and TPUs of this machine.
          jobs: Number of trials at a time, known if Ray is started here; None for as many as a cluster can hold.
          command: Command of a worker on each node.
        """
        self._folder, self._data_dir, self._limits, self._needs = folder, data_dir, limits, needs
        self._address, self._jobs, self._command = address, jobs, tuple(command)
        self._stop_file = folder.path.absolute() / ".stop"
        self._reported: dict[str, Status] = {}  # last reported status of each running trial
        self._started = contextlib.ExitStack()  # closed with Ray; empty until it starts
        self._is_started = False

    def run(self, groups: Sequence[TrialGroup], report: Report, stopping: Callable[[], bool]) -> None:
        """Runs trials until none is left. On a stop, running trials save and no more start.

        Args:
          groups: Groups of trials, in the order in which Ray gets them.
          report: Called with each new status of a trial.
          stopping: Returns True once the run should stop.
        """
        try:
            self.run_some(groups, report, stopping)
        finally:
            self.close()

    def run_some(self, groups: Sequence[TrialGroup], report: Report, stopping: Callable[[], bool]) -> None:
        """Runs trials as `run` does, but leaves Ray running for the next call, until `close`."""
        self._stop_file.unlink(missing_ok=True)
        if not self._is_started:
            self._start_ray()
        try:
            path, data_dir = self._folder.path.absolute(), self._data_dir and self._data_dir.absolute()
            alone = self._needs.processes == 1
            # The task that only leads several processes takes nothing for itself.
            options = self._needs.options if alone else {"num_cpus": 0}
            attempt = ray.remote(_attempt if alone else _attempt_by_several).options(**options, max_retries=_RETRIES)
            given = data_dir, self._limits, self._needs, self._command
            queue = collections.deque(groups)
            tasks: dict[ray.ObjectRef, TrialGroup] = {}
            while (queue or tasks) and not stopping():
                most = self._most_tasks()
                while queue and len(tasks) < most:
                    trials = queue.popleft()
                    tasks[attempt.remote(path, trials, *given)] = trials
                self._wait(tasks, report)
            self._stop(tasks, report)
        finally:
            self._stop_file.unlink(missing_ok=True)

    def close(self) -> None:
        """Leaves the cluster, or ends the Ray that was started here."""
        self._started.close()
        self._is_started = False

    def _start_ray(self) -> None:
        # Ray lets all users write into its folder; nobody else gets into the one around it.
        own = Path(
            self._started.enter_context(
                tempfile.TemporaryDirectory(prefix="cnn_jax-", dir=_short_folder(), ignore_cleanup_errors=True)
            )
        )
        self._started.callback(ray.shutdown)
        self._is_started = True
        where: dict[str, Any] = {"address": self._address}
        if self._address is None:
            # "local", or Ray would take the address of a cluster from the environment.
            where = {"address": "local", "include_dashboard": False, "_temp_dir": str(own / "ray")}
            assert self._jobs is not None
            where["num_cpus"] = self._jobs * self._needs.processes * self._needs.cpus
            where["num_gpus"] = None if self._needs.gpus else 0  # None: those that Ray finds
        path = confinement.environment({})["PYTHONPATH"]
        environment = {"env_vars": {"PYTHONPATH": path}}
        try:
            ray.init(**where, runtime_env=environment, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, ValueError, RuntimeError, OSError, RayError) as error:
            self.close()
            what = f"--address={self._address}" if self._address else "--engine=ray"
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError([f"{what}: Ray cannot be reached or started: {first}"]) from error
        # Ray itself would wait for such nodes for ever.
        if (fault := unmet(self._needs, _nodes())) is not None:
            self.close()
            raise ConfigError([f"--engine=ray: {fault}"])

    def _most_tasks(self) -> int:
        """Number of tasks that Ray has at a time: one more for each place, or only those that --jobs allows a cluster.

        Ray and the driver look at all of them again and again.
        """
        if self._address is not None and self._jobs is not None:
            return self._jobs
        return max(1, 2 * capacity(self._needs, _nodes()))

    def _wait(self, tasks: dict[ray.ObjectRef, TrialGroup], report: Report) -> None:
        """Reports the trials of ended tasks, and new statuses of running ones."""
        ended, others = ray.wait(list(tasks), num_returns=len(tasks), timeout=_POLL)
        for task in ended:
            for entry in tasks.pop(task):
                report(entry, self._status(task, entry))
        for entry in (entry for task in others for entry in tasks[task]):
            status = self._folder.status(entry.id)
            if status.status == RUNNING and self._reported.get(entry.id) != status:
                self._reported[entry.id] = status
                report(entry, status)

    def _status(self, task: ray.ObjectRef, entry: Entry) -> Status:
        """Status of a trial after its task; failed if the task left none."""
        known = self._folder.status(entry.id)
        try:
            statuses: dict[str, Status] = ray.get(task)
            return statuses[entry.id]
        except RayTaskError as error:
            fault, message = faults.CRASH, str(error.cause)
        except RayError as error:
            fault, message = faults.KILLED, f"Ray: {str(error).splitlines()[0]}"
        if known.status == DONE:
            return known
        tail = faults.log_tail(self._folder.trial(entry.id).path / "log.txt")
        return dataclasses.replace(known, status=FAILED, fault=fault, message=message, log_tail=tail)

    def _stop(self, tasks: dict[ray.ObjectRef, TrialGroup], report: Report) -> None:
        """Lets running trials save, and cancels the tasks that have not started."""
        if not tasks:
            return
        self._stop_file.touch()
        deadline = time.monotonic() + _SAVING
        while tasks and time.monotonic() < deadline:
            self._wait(tasks, report)
        for task in tasks:
            ray.cancel(task, force=True)
        for entry in (entry for trials in tasks.values() for entry in trials):
            report(entry, dataclasses.replace(self._folder.status(entry.id), status=STOPPED, message="did not save"))


def _nodes() -> list[dict[str, float]]:
    """Resources of each live node of the cluster, in use or not."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _short_folder() -> str | None:
    """A folder whose path is short enough for the names of Ray's sockets below it; None is the usual one."""
    return "/tmp" if len(tempfile.gettempdir()) > _LONGEST_FOLDER and os.path.isdir("/tmp") else None


def _attempt(
    path: Path,
    trials: TrialGroup,
    data_dir: Path | None,
    limits: Limits,
    needs: Needs,
    command: Sequence[str],
    group: dict[str, Any] | None = None,
) -> dict[str, Status]:
    """Ray task of a group: waits until no lost attempt holds its trials, then trains them in a worker process."""
    folder, stop = SweepFolder(path), path / ".stop"
    first = not group or group["number"] == 0
    while first and any(folder.is_busy(entry.id) for entry in trials) and not stop.exists():
        time.sleep(_POLL / 2)
    last = {entry.id: folder.status(entry.id) for entry in trials}
    left = tuple(entry for entry in trials if last[entry.id].status != DONE)
    if not left or stop.exists():
        return last

    def report(entry: Entry, status: Status) -> None:
        last[entry.id] = status
        if first:
            folder.write_status(entry.id, status)

    with confinement.claimed(needs.cpus) as held:
        workers = Workers(command)
        engine = LocalEngine(folder, data_dir, 1, limits, cores=held, name="ray", group=group, workers=workers)
        engine.run([left], report, stopping=stop.exists)
    return last


def _attempt_by_several(
    path: Path, trials: TrialGroup, data_dir: Path | None, limits: Limits, needs: Needs, command: Sequence[str]
) -> dict[str, Status]:
    """Ray task of a trial with several processes: reserves resources for all at once, then starts and awaits them."""
    places = placement_group([needs.bundle] * needs.processes, strategy="SPREAD")
    try:
        ray.get(places.ready())

        def at(number: int) -> dict[str, Any]:
            strategy = PlacementGroupSchedulingStrategy(places, placement_group_bundle_index=number)
            return {**needs.options, "scheduling_strategy": strategy, "max_retries": 0}

        coordinator = ray.get(ray.remote(_free_address).options(**at(0)).remote())
        group = {"how": "explicit", "coordinator": coordinator, "count": needs.processes}
        member = ray.remote(_attempt)
        members = [
            member.options(**at(number)).remote(
                path, trials, data_dir, limits, needs, command, {**group, "number": number}
            )
            for number in range(needs.processes)
        ]
        statuses: dict[str, Status] = ray.get(members[0])
        for other in members[1:]:
            ray.cancel(other, force=True)  # it has ended, or waits for the first process, which has
        return statuses
    finally:
        remove_placement_group(places)


def _free_address() -> str:
    """A free address of this node."""
    host = ray.util.get_node_ip_address()
    with socket.socket() as free:
        free.bind((host, 0))
        return f"{host}:{free.getsockname()[1]}"
