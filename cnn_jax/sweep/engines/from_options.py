"""Parts of an engine that the command line chooses: limits of the trials, their GPUs, and the Ray that runs them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep import cards
from cnn_jax.sweep.engines import confinement
from cnn_jax.sweep.engines.local import Limits
from cnn_jax.sweep.engines.needs import Needs
from cnn_jax.sweep.engines.worker_process import COMMAND
from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.options import Options

if TYPE_CHECKING:
    from cnn_jax.sweep.engines.ray import RayEngine

_STARTED_HERE = "local"  # Ray's word for a cluster that the program itself starts


def limits(options: Options, jobs: int) -> Limits:
    """Limits of a trial, by default its share of nine tenths of the machine's memory and any time.

    Args:
      options: Options of the trials.
      jobs: Number of trials at a time.
    """
    total = confinement.total_bytes()
    allowed = options.memory_limit * 2**30 if options.memory_limit else total and total * 0.9 / jobs
    return Limits(
        seconds=options.time_limit * 60 if options.time_limit else None, bytes=int(allowed) if allowed else None
    )


def gpu_variables(platform: str, devices: int, jobs: int) -> list[dict[str, str]]:
    """Environment variables of each job that give it a GPU of its own; none where there is nothing to share out.

    Args:
      platform: "cpu", "gpu" or "tpu".
      devices: Number of devices of that platform.
      jobs: Number of trials at a time.
    """
    return cards.share(jobs, devices) if platform == "gpu" and jobs > 1 else []


def cluster_address(given: str | None) -> str | None:
    """Address of the Ray cluster that runs the trials.

    Args:
      given: Value of --address; None if it was not given. RAY_ADDRESS then counts, which Ray sets for its jobs.

    Returns:
      The address; None if a Ray is to be started for this command.

    Raises:
      ConfigError: where RAY_ADDRESS names a job server.
    """
    address = given or os.environ.get("RAY_ADDRESS") or _STARTED_HERE
    if address.startswith(("http://", "https://")):
        name = "--address" if given else "RAY_ADDRESS"
        raise ConfigError(
            [
                f"{name}: got {address!r}, which is a server of jobs, expected HOST:PORT of a cluster, auto or local; "
                "to run this command in the cluster: ray job submit -- COMMAND"
            ]
        )
    return None if address == _STARTED_HERE else address


def ray_engine(
    folder: SweepFolder, data_dir: Path | None, options: Options, jobs: int, command: Sequence[str] = COMMAND
) -> RayEngine:
    """Makes the engine that runs trials on Ray.

    Args:
      folder: Folder of the sweep.
      data_dir: Folder of prepared data; None is the default folder.
      options: Options of the trials.
      jobs: Number of trials at a time if Ray is started here; a cluster holds as many as --jobs, or its nodes, allow.
      command: Command of a worker.

    Raises:
      ConfigError: where Ray is not installed.
    """
    address = cluster_address(options.address)
    if address is None:
        # Ray reads this when it is imported: without a cluster it listens to this machine alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        from cnn_jax.sweep.engines.ray import RayEngine
    except ImportError as error:
        raise ConfigError([f"--engine=ray: {error}; pip install -r requirements-ray.txt"]) from error
    needs = Needs(options.cpus, options.gpus, options.tpus, options.processes, options.accelerator)
    own = limits(options, jobs)
    return RayEngine(folder, data_dir, own, needs, address, jobs if address is None else options.jobs, command)
