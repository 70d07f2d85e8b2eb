"""A sweep from its plan to its table: examine all trials, run those that are left, tell how each ended."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console

from cnn_jax import xla_flags
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.sweep import faults, feasibility, trial_groups
from cnn_jax.sweep.engines import confinement, from_options
from cnn_jax.sweep.engines.local import LocalEngine, Report
from cnn_jax.sweep.engines.worker_process import Workers
from cnn_jax.sweep.feasibility import Findings
from cnn_jax.sweep.folder import Entry, SweepFolder, entries_of
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.plan import Plan, some_of
from cnn_jax.sweep.status import (
    CHANGED,
    DAMAGED,
    DONE,
    ENDED,
    FAILED,
    INFEASIBLE,
    RUNNING,
    STOPPED,
    UNREADABLE,
    WAITING,
    Status,
)
from cnn_jax.sweep.trial import Trial
from cnn_jax.sweep.trial_groups import TrialGroup
from cnn_jax.sweep.view import SweepView
from cnn_jax.terminal import print_line


class Engine(Protocol):
    """Runs trials."""

    def run(self, groups: Sequence[TrialGroup], report: Report, stopping: Callable[[], bool]) -> None:
        """Runs trials until none is left, or until a stop is wished for, when the running ones save."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Statuses of the trials at the end of a command.

    Attributes:
      statuses: Statuses of the trials, by id.
      stopped: The signal that ended the sweep early; None where it ran to its end.
    """

    statuses: dict[str, Status]
    stopped: str | None

    @property
    def failed(self) -> int:
        """Number of failed trials."""
        return sum(status.status == FAILED for status in self.statuses.values())


@dataclasses.dataclass(frozen=True)
class OpenSweep:
    """A sweep whose folder this process holds, and whose trials are known to be able to run.

    Attributes:
      plan: Plan of the sweep.
      folder: Folder of the sweep, with its sweep.json.
      entries: All trials, in declared order.
      findings: Findings about the data, the networks and the machine.
      workers: Pool of the workers for this machine's trials.
    """

    plan: Plan
    folder: SweepFolder
    entries: tuple[Entry, ...]
    findings: Findings
    workers: Workers


@contextlib.contextmanager
def opened(plan: Plan, workdir: Path, data_dir: Path | None, options: Options | None = None) -> Iterator[OpenSweep]:
    """Claims a sweep's folder and examines all trials before any runs.

    Args:
      plan: The sweep.
      workdir: Its folder.
      data_dir: Folder of prepared data; None is the default folder.
      options: Options of the trials; where these run in workers of this machine, the first starts now and examines the
        trials. None: none will run.

    Yields:
      The sweep, until whose end no other process may run it.

    Raises:
      ConfigError: where a trial cannot run; with all such trials.
      ExaminationError: where that could not be found out.
      RunFolderError: where the folder cannot be used.
    """
    folder = SweepFolder(workdir)
    folder.claim(plan)
    workers = Workers()
    try:
        # What contradicts the user's own flags is refused now.
        variables = [xla_flags.environment(trial.experiment) for trial in plan.trials]
        _start_ahead(workers, options, variables)
        findings = feasibility.ask([trial.experiment for trial in plan.trials], data_dir, workers)
        if options is None or options.engine != "local":
            workers.close()
        entries = entries_of(plan, findings.trials)
        _refuse(plan, entries)
        folder.declare(plan, entries)
        yield OpenSweep(plan, folder, entries, findings, workers)
    finally:
        workers.close()
        folder.release()


def run(
    sweep: OpenSweep,
    chosen: Sequence[Trial],
    data_dir: Path | None,
    options: Options,
    console: Console,
    on_change: Callable[[], None] = lambda: None,
) -> Outcome:
    """Runs a sweep's trials that are not done, or goes on with them.

    Args:
      sweep: Opened.
      chosen: Its trials that are to run.
      data_dir: Folder of prepared data; None is the default folder.
      options: Options of the trials.
      console: Console for messages.
      on_change: Called whenever a trial has begun, or has ended while others run and none waits to begin.

    Returns:
      How the chosen trials stand.
    """
    folder, numbers = sweep.folder, {trial.number for trial in chosen}
    mine = [entry for entry in sweep.entries if entry.trial.number in numbers]
    all_statuses = {entry.id: _status_before(folder, entry) for entry in sweep.entries}
    statuses = {entry.id: all_statuses[entry.id] for entry in mine}
    left = [entry for entry in mine if _is_left(statuses[entry.id], options.retry_failed)]
    _begin(console, sweep.plan, mine, statuses, left)
    unlinked = folder.link_events([entry for entry in sweep.entries if entry.examined.infeasible is None])
    for warning in [*folder.warnings, *filter(None, [unlinked])]:
        print_line(console, f"warning: {warning}")
    with StopSignal() as stop, SweepView(console, folder, mine, statuses) as view, folder.marking_stopped(statuses):
        # Counted and not searched for, or ten thousand trials would be looked through for each of them.
        tally = collections.Counter(_kind(status) for status in statuses.values())

        def report(entry: Entry, status: Status) -> None:
            tally[_kind(statuses[entry.id])] -= 1
            tally[_kind(status)] += 1
            statuses[entry.id] = status
            folder.write_status(entry.id, status)
            view.changed(entry, status)
            # Where others wait, the next begins at once, and should not have to wait for this.
            if status.status == RUNNING or (not tally["left"] and tally[RUNNING]):
                on_change()

        if left:
            group = trial_groups.by_point if options.vectorize == "seeds" else trial_groups.alone
            # A trial has the cores that it would have among all, however many are left: its bits depend on them.
            feasible = [entry for entry in sweep.entries if entry.examined.infeasible is None]
            engine = _engine(sweep, data_dir, options, len(group(feasible)))
            formed = group(left)
            engine.run(formed, report, stopping=lambda: stop.received is not None)
    print_line(console, view.counts())
    return Outcome(statuses, stop.received)


def _refuse(plan: Plan, entries: Sequence[Entry]) -> None:
    """Raises one error for all trials that cannot run; infeasible ones count unless the sweep skips them."""
    messages = []
    for entry in entries:
        known, label = entry.examined, f"trial {entry.trial.number} of {plan.trials[-1].number} ({entry.trial})"
        if known.fault is not None:
            messages.append(f"{label}: {known.fault}")
        elif known.infeasible is not None and not plan.sweep.skip_infeasible:
            messages.append(f"{label}: {known.infeasible}")
    if messages:
        hint = []
        if any(entry.examined.infeasible for entry in entries) and not plan.sweep.skip_infeasible:
            hint = ["points without a network can stay in the table: Sweep(..., skip_infeasible=True)"]
        raise ConfigError(some_of(messages) + hint)


def _status_before(folder: SweepFolder, entry: Entry) -> Status:
    """Status of a trial before this command. A trial that an earlier command left running becomes stopped."""
    if entry.examined.infeasible is not None:
        return Status(INFEASIBLE, message=entry.examined.infeasible)
    status = folder.status(entry.id)
    if status.status == RUNNING:
        status = dataclasses.replace(status, status=STOPPED, message=ENDED)
        if not folder.is_busy(entry.id):
            folder.write_status(entry.id, status)
    return status


def _is_left(status: Status, retry_failed: bool) -> bool:
    """Whether a trial is to run: a failed one only where it was not its own fault, or where that is wished."""
    if status.status == FAILED:
        return status.fault in (faults.KILLED, DAMAGED) or (retry_failed and status.fault != CHANGED)
    return status.status in (WAITING, STOPPED)


def _kind(status: Status) -> str:
    """Gives "left" for a trial that is to run, else its status."""
    return "left" if _is_left(status, retry_failed=False) else status.status


def _begin(
    console: Console, plan: Plan, mine: Sequence[Entry], statuses: dict[str, Status], left: Sequence[Entry]
) -> None:
    """Says what is going to happen."""
    parts = [f"{len(plan.trials)} trials"]
    if plan.repeated:
        parts.append(f"{plan.repeated} more were copies of these")
    if len(mine) < len(plan.trials):
        parts.append(f"{len(mine)} chosen")
    names = [status.status for status in statuses.values()]
    parts += [f"{count} {status}" for status in (DONE, FAILED, INFEASIBLE) if (count := names.count(status))]
    print_line(console, f"{', '.join(parts)}; {len(left)} to run")
    again = {entry.id for entry in left}
    skipped = [status for name, status in statuses.items() if status.status == FAILED and name not in again]
    for status in skipped:
        if status.fault in (CHANGED, UNREADABLE):
            print_line(console, f"{status.fault}: {status.message}")
    if skipped:
        print_line(console, f"{len(skipped)} failed before and do not run again; --retry_failed runs them")


def _start_ahead(workers: Workers, options: Options | None, variables: Sequence[dict[str, str]]) -> None:
    """Starts the first worker, and the others whose number is given: they are wanted unless accelerators are shared."""
    cores, jobs = confinement.available_cores(), 1
    if options is not None and options.engine == "local" and options.vectorize != "seeds":
        jobs = min(options.jobs or len(cores), len(variables))
    places = list(zip(confinement.shares(cores, jobs), variables[:jobs], strict=True))
    workers.start_ahead(places if options is not None and options.jobs else places[:1])


def _engine(sweep: OpenSweep, data_dir: Path | None, options: Options, num_groups: int) -> Engine:
    """The engine, with as many jobs as the machine has cores, or accelerators; seeds together share them all."""
    folder, findings = sweep.folder, sweep.findings
    cores = len(confinement.available_cores())
    if options.engine == "ray":
        possible = max(1, cores // (options.cpus * options.processes))
    elif options.vectorize == "seeds":
        possible = 1
    else:
        possible = {"cpu": cores, "gpu": findings.devices}.get(findings.platform, 1)
    jobs = min(options.jobs or possible, num_groups)
    if options.engine == "ray":
        return from_options.ray_engine(folder, data_dir, options, jobs)
    devices = from_options.gpu_variables(findings.platform, findings.devices, jobs)
    limits = from_options.limits(options, jobs)
    return LocalEngine(folder, data_dir, jobs, limits, devices, workers=sweep.workers)
