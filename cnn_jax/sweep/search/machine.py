"""Machine of a search: examines trials and trains them, each on the search's number of cores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cnn_jax import xla_flags
from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep import feasibility, trial_groups
from cnn_jax.sweep.engines import confinement, from_options
from cnn_jax.sweep.engines.local import LocalEngine, Report
from cnn_jax.sweep.engines.worker_process import COMMAND, Workers
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.trial import Trial

if TYPE_CHECKING:
    from cnn_jax.sweep.engines.ray import RayEngine


class Machine(Protocol):
    """Examines and trains trials."""

    def examine(self, trials: Sequence[Trial]) -> Sequence[Examined]:
        """Examines trials before they train: data, geometry, memory."""

    def run(self, entries: Sequence[Entry], report: Report, stopping: Callable[[], bool]) -> None:
        """Trains trials until none is left. On a stop, running trials save and no more start."""

    def close(self) -> None:
        """Ends all processes."""


class WorkerMachine:
    """Worker processes of this machine, or of a Ray cluster."""

    def __init__(
        self,
        folder: SweepFolder,
        data_dir: Path | None,
        options: Options,
        cores: int,
        command: Sequence[str] = COMMAND,
    ):
        """Stores its arguments; `examine` and `run` start workers.

        Args:
          folder: Folder of the search.
          data_dir: Folder of prepared data; None is the default folder.
          options: Options of the trials.
          cores: Processor cores of a trial.
          command: Command of a worker.
        """
        self._folder, self._data_dir, self._command = folder, data_dir, command
        self._options = dataclasses.replace(options, cpus=cores)
        self._cores = confinement.available_cores()
        self._workers = Workers(command, reused=True)
        self._platform, self._devices = "cpu", 1
        self._ray: RayEngine | None = None  # for all rungs

    def examine(self, trials: Sequence[Trial]) -> Sequence[Examined]:
        """Examines trials in a worker; on this machine the worker then trains the first of them."""
        if not trials:
            return ()
        if not self._workers.waiting:
            variables = xla_flags.environment(trials[0].experiment)
            self._workers.start_ahead([(self._cores[: self._options.cpus], variables)])
        findings = feasibility.ask([trial.experiment for trial in trials], self._data_dir, self._workers)
        self._platform, self._devices = findings.platform, findings.devices
        if self._options.engine != "local":
            self._workers.close()
        return findings.trials

    def run(self, entries: Sequence[Entry], report: Report, stopping: Callable[[], bool]) -> None:
        """Trains trials; with --vectorize=seeds, all seeds of a point in one program."""
        together = self._options.vectorize == "seeds"
        groups = trial_groups.by_point(entries) if together else trial_groups.alone(entries)
        options, wanted, cores = self._options, self._options.cpus, self._cores
        possible = max(1, len(cores) // wanted)
        if self._platform != "cpu":
            possible = self._devices if self._platform == "gpu" else 1
        jobs = options.jobs or possible
        if self._platform == "cpu" and options.engine == "local" and wanted > 1 and jobs * wanted > len(cores):
            raise ConfigError(
                [
                    f"--jobs={jobs}: {jobs} trials of cores={wanted} need more than the {len(cores)} cores here; "
                    f"give --jobs={possible} or less"
                ]
            )
        if options.engine == "ray":
            if self._ray is None:
                self._ray = from_options.ray_engine(self._folder, self._data_dir, options, jobs, self._command)
            self._ray.run_some(groups, report, stopping)
            return
        devices = from_options.gpu_variables(self._platform, self._devices, jobs)
        limits = from_options.limits(options, jobs)
        own = cores[: jobs * wanted]
        engine = LocalEngine(self._folder, self._data_dir, jobs, limits, devices, own, workers=self._workers)
        engine.run(groups, report, stopping)

    def close(self) -> None:
        """Ends the idle workers, and Ray."""
        self._workers.close()
        if self._ray is not None:
            self._ray.close()
            self._ray = None
