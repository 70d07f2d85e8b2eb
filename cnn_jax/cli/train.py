"""`launch.py train`: trains a network, tests it and writes its report."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal, cast

from cnn_jax.cli import with_jax
from cnn_jax.cli.command import Arguments, Command, Flag, attempt
from cnn_jax.cli.output import say
from cnn_jax.cli.report import write_run
from cnn_jax.cli.shared_flags import CONFIG, DATA_DIR, REPORT, WORKDIR, default_workdir, read_experiment
from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.errors import RunFailed, explain
from cnn_jax.run.process_group import ProcessGroup

_PROCESSES = (
    Flag(
        "distributed",
        "processes of the run: auto, detected from the cluster; off, a single one; explicit, by the next three flags",
        "auto",
        choices=("auto", "off", "explicit"),
    ),
    Flag("coordinator", "HOST:PORT of the first process, for --distributed=explicit"),
    Flag("num_processes", "number of processes, for --distributed=explicit", None, int, least=1, most=2**20),
    Flag("process_id", "index of this process, from 0, for --distributed=explicit", None, int, least=0),
)
_HEARTBEAT = Flag(
    "heartbeat_timeout",
    "seconds of silence after which a process of the run counts as lost",
    ProcessGroup.heartbeat_timeout,
    int,
    least=1,
    most=86400,
)


@dataclasses.dataclass(frozen=True)
class TrainRequest:
    """Parsed flags of the command.

    Attributes:
      experiment: Resolved config.
      workdir: Folder of the run.
      data_dir: Folder of prepared data; None is the default folder.
      report: Whether to write the report.
      profile: Whether to trace some steps.
      group: Processes that train together.
    """

    experiment: Experiment
    workdir: Path
    data_dir: Path | None
    report: bool
    profile: bool
    group: ProcessGroup


def read(arguments: Arguments) -> TrainRequest:
    """Reads the flags."""
    faults: list[str] = []
    group = attempt(faults, lambda: _read_group(arguments))
    experiment = attempt(faults, lambda: read_experiment(arguments))
    if experiment is None or group is None:
        raise ConfigError(faults)
    workdir = arguments["workdir"] or default_workdir(arguments["config"], experiment)
    return TrainRequest(experiment, workdir, arguments["data_dir"], arguments["report"], arguments["profile"], group)


def _read_group(arguments: Arguments) -> ProcessGroup:
    """Reads the flags of distributed training; those for --distributed=explicit must be given together."""
    helps = {flag.name: flag.help for flag in _PROCESSES[1:]}
    given = [name for name in helps if arguments[name] is not None]
    if arguments["distributed"] != "explicit":
        if given:
            raise ConfigError([f"--{name}: is for --distributed=explicit" for name in given])
        how = cast(Literal["auto", "off"], arguments["distributed"])
        return ProcessGroup(how, heartbeat_timeout=arguments["heartbeat_timeout"])
    if missing := [name for name in helps if name not in given]:
        raise ConfigError([f"--{name}: --distributed=explicit needs it: {helps[name]}" for name in missing])
    coordinator, count, number = (arguments[name] for name in helps)
    host, _, port = coordinator.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 2**16:
        raise ConfigError([f"--coordinator: got {coordinator!r}, expected HOST:PORT, such as 10.0.0.1:8476"])
    if number >= count:
        raise ConfigError([f"--process_id: got {number}, expected 0 to {count - 1}"])
    return ProcessGroup("explicit", coordinator, count, number, arguments["heartbeat_timeout"])


def train(request: TrainRequest) -> None:
    """Trains, then writes the report if this result has none."""
    from cnn_jax.train import distributed
    from cnn_jax.train.loop import train_and_evaluate

    workdir = request.workdir
    result: dict[str, Any] = train_and_evaluate(request.experiment, workdir, request.data_dir, profile=request.profile)
    if not distributed.is_first():
        return
    print(f"test accuracy {result['test_accuracy']:.4f}, test loss {result['test_loss']:.4f}")
    say(f"result: {workdir / 'result.json'}")
    if request.report:
        try:
            write_run(workdir, request.data_dir)
        except OSError as error:
            raise RunFailed(
                f"the run is done, but its report cannot be written: {explain(error)}; once fixed, `launch.py report "
                f"--workdir={workdir}` writes it"
            ) from error


def run(request: TrainRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(train, request), request.experiment, group=request.group)


COMMAND = Command(
    name="train",
    help="train a network; the same command resumes it",
    flags=(
        *(CONFIG, WORKDIR, DATA_DIR, REPORT),
        Flag("profile", "trace steps 10 to 20; the report shows where a step's time goes", False, bool),
        *_PROCESSES,
        _HEARTBEAT,
    ),
    read=read,
    run=run,
    config="fields",
)
