"""Machine of a search: examines trials and trains them, each on the search's number of cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cnn_jax import xla_flags
from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep import feasibility, trial_groups
from cnn_jax.sweep.engines import confinement
from cnn_jax.sweep.engines.local import Limits, LocalEngine, Report
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
          options: How trials run.
          cores: Processor cores of a trial.
          command: Command of a worker.
        """
        self._folder, self._data_dir, self._options = folder, data_dir, options
        self._wanted, self._command = cores, command
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
            self._workers.start_ahead([(self._cores[: self._wanted], variables)])
        findings = feasibility.ask([trial.experiment for trial in trials], self._data_dir, self._workers)
        self._platform, self._devices = findings.platform, findings.devices
        if self._options.engine != "local":
            self._workers.close()
        return findings.trials

    def run(self, entries: Sequence[Entry], report: Report, stopping: Callable[[], bool]) -> None:
        """Trains trials; with --vectorize=seeds, all seeds of a point in one program."""
        together = self._options.vectorize == "seeds"
        groups = trial_groups.by_point(entries) if together else trial_groups.alone(entries)
        options, wanted, cores = self._options, self._wanted, self._cores
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
        total = confinement.total_bytes()
        allowed = options.memory_limit * 2**30 if options.memory_limit else total and total * 0.9 / jobs
        limits = Limits(options.time_limit * 60 if options.time_limit else None, int(allowed) if allowed else None)
        if options.engine == "ray":
            self._ray = self._ray or self._ray_engine(limits, jobs)
            self._ray.run_some(groups, report, stopping)
            return
        devices = []
        if self._platform == "gpu" and jobs > 1:
            devices = [{"CUDA_VISIBLE_DEVICES": str(job % self._devices)} for job in range(jobs)]
        own = cores[: jobs * wanted]
        engine = LocalEngine(self._folder, self._data_dir, jobs, limits, devices, own, workers=self._workers)
        engine.run(groups, report, stopping)

    def _ray_engine(self, limits: Limits, jobs: int) -> RayEngine:
        options = self._options
        if options.address is None:
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # as in a sweep
        try:
            from cnn_jax.sweep.engines.ray import Needs, RayEngine
        except ImportError as error:
            raise ConfigError([f"--engine=ray: {error}; pip install -r requirements-ray.txt"]) from error
        needs = Needs(self._wanted, options.gpus, options.tpus)
        return RayEngine(self._folder, self._data_dir, limits, needs, options.address, jobs, self._command)

    def close(self) -> None:
        """Ends the idle workers, and Ray."""
        self._workers.close()
        if self._ray is not None:
            self._ray.close()
            self._ray = None
