"""A search killed ten times, each time before another write: `python killed_search.py EXPERIMENT FOLDER`.

Every driver is a forked process with a machine that makes results up. Prints a JSON list of the exit codes; the last
driver is not killed.
"""

import io
import json
import sys
from pathlib import Path

import scipy.stats.qmc  # noqa: F401  once, not in each of the forked processes
from rich.console import Console
from support.forked import forked

from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.search import plan
from cnn_jax.sweep.search.driver import Driver
from sweep.search.stand_in import StandIn


def search(file: Path, workdir: Path, order: int) -> None:
    """Runs the search, or goes on with it."""
    folder = SweepFolder(workdir)
    Driver(plan.read(file, {}), folder, StandIn(folder, order), Console(file=io.StringIO())).run()


def main(file: Path, workdir: Path) -> None:
    if "tpe" in file.read_text():
        from cnn_jax.sweep.search import optuna_samplers  # noqa: F401  likewise
    codes = [forked(lambda: search(file, workdir, number), 30 + 5 * number) for number in range(10)]  # noqa: B023
    codes.append(forked(lambda: search(file, workdir, 11)))
    print(json.dumps(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
