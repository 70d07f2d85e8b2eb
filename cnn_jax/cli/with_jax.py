"""Runs the work of a command in this process's JAX, whose settings are checked before it starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cnn_jax import absent_gpu, xla_flags
from cnn_jax.cli import imports
from cnn_jax.cli.output import fail, refuse
from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run import host_memory, process_group
from cnn_jax.run.exit_codes import DONE, STOPPED
from cnn_jax.run.folder import RunFolder, RunFolderError
from cnn_jax.run.process_group import ProcessGroup


def run(
    work: Callable[[], None],
    experiment: Experiment | None = None,
    workdir: Path | None = None,
    group: ProcessGroup | None = None,
    computes: bool = True,
) -> int:
    """Runs the work of a command.

    Args:
      work: Trains or uses a network.
      experiment: Config of the network; None is that of the run in workdir, where there is one.
      workdir: Folder of a run.
      group: Processes that train together, for the commands that train.
      computes: Whether the work trains or uses a network; what that needs is imported with the rest. Work that computes
        nothing asks for no devices either.

    Returns:
      Exit code; refusals and failures have been printed.
    """
    try:
        set_xla_flags(experiment, workdir)
    except (ConfigError, RunFolderError) as error:
        return refuse(error)
    host_memory.keep_freed()  # before JAX makes threads
    absent_gpu.hide_plugin()
    # JAX and all that stands on it come only now: a bad command line is answered at once.
    with imports.uncollected():
        try:
            import jax
        except ValueError as error:  # of an environment variable
            return refuse(ConfigError([f"JAX does not start: {error}; leave out the JAX_ variable that it names"]))
        from cnn_jax.data.errors import UnreadableRecordError, UnreadPicturesError
        from cnn_jax.geometry import preflight
        from cnn_jax.run.recorder import DivergedError, Stopped
        from cnn_jax.train import distributed

        if computes:
            from cnn_jax.train import loop  # noqa: F401

    try:
        preflight.check_settings()  # an experiment file may have made some
        if group is not None:  # before the devices are asked for
            process_group.join(group, jax.distributed.initialize)
        if computes:
            preflight.check_devices()
        work()
    except preflight.REFUSALS as error:
        return refuse(error)
    except (DivergedError, distributed.OtherProcessFailed, UnreadPicturesError, UnreadableRecordError) as error:
        return fail(error)
    except Stopped:
        return STOPPED
    return DONE


def set_xla_flags(experiment: Experiment | None, workdir: Path | None = None) -> None:
    """Sets the flags that a config, or that of the run in workdir, needs, before JAX starts and reads them."""
    if experiment is None and workdir is not None and (workdir / "config.json").exists():
        experiment = RunFolder(workdir).experiment()
    if experiment is not None:
        os.environ.update(xla_flags.environment(experiment))
