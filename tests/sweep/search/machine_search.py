"""Searches with stand-in workers: `python machine_search.py EXPERIMENT`, and from standard input a list as JSON.

It has for each search its folder, the folder for what is planted, and its options, one search after another.

A process of its own, since the one of the tests has loaded JAX, after which a process must not fork.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.search import plan
from cnn_jax.sweep.search.driver import Driver
from cnn_jax.sweep.search.machine import WorkerMachine
from sweep.search import stand_in_worker


def search(file: Path, workdir: Path, planted: Path, options: dict[str, Any]) -> None:
    folder = SweepFolder(workdir)
    command = (sys.executable, stand_in_worker.__file__, str(planted))
    machine = WorkerMachine(folder, None, Options(**options), cores=1, command=command)
    Driver(plan.read(file, {}), folder, machine, Console(file=io.StringIO())).run()


if __name__ == "__main__":
    for workdir, planted, options in json.load(sys.stdin):
        search(Path(sys.argv[1]), Path(workdir), Path(planted), options)
