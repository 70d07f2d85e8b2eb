"""`launch.py eval`: measures a finished run's network on its test images again."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

from cnn_jax.cli import with_jax
from cnn_jax.cli.command import Arguments, Command
from cnn_jax.cli.common import DATA_DIR, FINISHED


@dataclasses.dataclass(frozen=True)
class EvalRequest:
    """Request of the command line.

    Attributes:
      workdir: Folder of a finished run.
      data_dir: Folder of prepared data; None is the default folder.
      moved: Where the run's data lie now, by the field of config.data.
    """

    workdir: Path
    data_dir: Path | None
    moved: dict[str, str]


def read(arguments: Arguments) -> EvalRequest:
    """Reads the flags."""
    return EvalRequest(arguments["workdir"], arguments["data_dir"], dict(arguments.overrides))


def evaluate(request: EvalRequest) -> None:
    """Measures the network and prints the figures as JSON."""
    from cnn_jax.train import restore

    finished = restore.load(request.workdir, request.moved)
    test = finished.dataset(request.data_dir).test
    measured = {f"test_{name}": value for name, value in finished.evaluate(test).items()}
    print(json.dumps(measured | {"images": len(test)}, indent=2))


def run(request: EvalRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(evaluate, request), workdir=request.workdir)


COMMAND = Command(
    name="eval",
    help="measure a finished run's network on its test images again",
    flags=(FINISHED, DATA_DIR),
    read=read,
    run=run,
    config="moved",
)
