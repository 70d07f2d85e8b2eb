"""Runs the work of a command with JAX in this process, after checking JAX's settings."""

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
      work: Function that trains or uses a network.
      experiment: Config of the network; None is that of the run in workdir, if there is one.
      workdir: Folder of a run.
      group: Processes that train together, for commands that train.
      computes: Whether the work trains or evaluates, and needs devices and the modules for it.

    Returns:
      Exit code, after printing refusals and failures.
    """
    try:
        set_xla_flags(experiment, workdir)
    except (ConfigError, RunFolderError) as error:
        return refuse(error)
    host_memory.keep_freed()  # before JAX makes threads
    absent_gpu.hide_plugin()
    # JAX and the modules that use it are imported only now, so that errors in the command line appear at once.
    with imports.uncollected():
        try:
            import jax
        except ValueError as error:  # caused by an environment variable
            return refuse(ConfigError([f"JAX does not start: {error}; leave out the JAX_ variable that it names"]))
        from cnn_jax.data.errors import UnreadableRecordError, UnreadPicturesError
        from cnn_jax.geometry import preflight
        from cnn_jax.run.recorder import DivergedError, Stopped
        from cnn_jax.train import distributed

        if computes:
            from cnn_jax.train import loop  # noqa: F401

    try:
        preflight.check_settings()  # an experiment file may have changed some
        if group is not None:  # must precede any use of devices
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
    """Sets the XLA flags that a config, or the config of the run in workdir, needs; must run before JAX starts."""
    if experiment is None and workdir is not None and (workdir / "config.json").exists():
        experiment = RunFolder(workdir).experiment()
    if experiment is not None:
        os.environ.update(xla_flags.environment(experiment))
