"""`launch.py eval`: evaluates a finished run's network on its test images again."""

from __future__ import annotations

import functools
import json

from cnn_jax.cli import with_jax
from cnn_jax.cli.command import Command
from cnn_jax.cli.finished_run import FLAGS, FinishedRunRequest, read


def evaluate(request: FinishedRunRequest) -> None:
    """Evaluates the network and prints the figures as JSON."""
    from cnn_jax.train import restore

    finished = restore.load(request.workdir, request.moved)
    test = finished.dataset(request.data_dir).test
    measured = {f"test_{name}": value for name, value in finished.evaluate(test).items()}
    print(json.dumps(measured | {"images": len(test)}, indent=2))


def run(request: FinishedRunRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(evaluate, request), workdir=request.workdir)


COMMAND = Command(
    name="eval",
    help="evaluate a finished run's network on its test images again",
    flags=FLAGS,
    read=read,
    run=run,
    config="moved",
)
