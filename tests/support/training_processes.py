"""Experiments trained in one process or two, with any number of devices: forks of one that has imported JAX."""

import io
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import forced_devices

from support import quick_programs
from support.forked_launch import Forked


def train_all(experiments: Mapping[str, Any], workdir: Path, devices: int, processes: int = 1) -> dict[str, Any]:
    """Trains experiments one after another; their programs are compiled quickly.

    Args:
      experiments: By name, as `config.parsing.parse` reads them.
      workdir: Folder of the runs' folders.
      devices: Number of devices, of all processes together.
      processes: Number of processes, one or two.

    Returns:
      Each experiment's result, or why it is refused.
    """
    environment = forced_devices.environment(devices // processes, quick_programs.environment(os.environ))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    groups = [()] if processes == 1 else [("explicit", address, processes, number) for number in range(processes)]
    started = [Forked(_train, experiments, workdir, group, environment=environment) for group in groups]
    ends = [each.communicate(timeout=500) for each in started]
    assert [each.returncode for each in started] == [0] * processes, ends
    count, results = json.loads(ends[0][0].splitlines()[-1])
    assert count == devices
    return results


def train(experiment: Mapping[str, Any], workdir: Path, devices: int, processes: int = 1) -> Any:
    """Trains one experiment; as `train_all`."""
    return train_all({"run": experiment}, workdir, devices, processes)["run"]


def _train(experiments: Mapping[str, Any], workdir: Path, group: tuple[Any, ...]) -> None:
    """Runs in each of the processes; prints the number of devices and the results."""
    import jax  # here and below, as the server of the forks has imported them
    from rich.console import Console

    from cnn_jax.config.parsing import ConfigError, parse
    from cnn_jax.run.process_group import ProcessGroup, join
    from cnn_jax.train.loop import train_and_evaluate

    if group:
        join(ProcessGroup(*group), jax.distributed.initialize)
    results: dict[str, Any] = {}
    for name, raw in experiments.items():
        try:
            results[name] = train_and_evaluate(parse(raw), workdir / name, console=Console(file=io.StringIO()))
        except ConfigError as error:
            results[name] = str(error)
    print(json.dumps([jax.device_count(), results]))
