"""A search with worker processes, killed ten times: `python killed_machine.py EXPERIMENT WORKDIR PLANTED`.

Every driver is a forked process that kills itself before another write, with its workers, of which some are killed
beside. Prints a JSON list of the exit codes; the last driver is not killed.
"""

import io
import json
import sys
from pathlib import Path

import scipy.stats.qmc  # noqa: F401  once, not in each of the forked processes
from rich.console import Console
from support.forked import forked

from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.search import plan
from cnn_jax.sweep.search.driver import Driver
from cnn_jax.sweep.search.machine import WorkerMachine
from sweep.search import stand_in_worker


def search(file: Path, workdir: Path, planted: Path) -> None:
    """Runs the search with two workers, or goes on with it."""
    folder = SweepFolder(workdir)
    command = (sys.executable, stand_in_worker.__file__, str(planted))
    machine = WorkerMachine(folder, None, Options(jobs=2), cores=1, command=command)
    Driver(plan.read(file, {}), folder, machine, Console(file=io.StringIO())).run()


def main(file: Path, workdir: Path, planted: Path) -> None:
    codes = [forked(lambda: search(file, workdir, planted), 20 + 3 * number) for number in range(10)]
    codes.append(forked(lambda: search(file, workdir, planted)))
    print(json.dumps(codes))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
