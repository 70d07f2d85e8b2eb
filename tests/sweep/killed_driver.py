"""A sweep's driver killed at each of its file operations: `python killed_driver.py EXPERIMENT FOLDER`.

Every driver is a forked process with a stand-in for the engine, so that none of them takes longer than its files do.
Prints a JSON list with an object for each kill: what the tables said then, and what they said when the same command had
been given again.
"""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from support.forked import forked

from cnn_jax.run.errors import RunFolderError
from cnn_jax.sweep import driver, plan
from cnn_jax.sweep.driver import OpenSweep
from cnn_jax.sweep.engines.worker_process import Workers
from cnn_jax.sweep.feasibility import Examined, Findings
from cnn_jax.sweep.folder import SweepFolder, entries_of
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.rows import read_rows
from cnn_jax.sweep.status import Status
from sweep.written_sweep import CPU, PACKAGES, result_of


class Engine:
    """Writes what trained trials leave."""

    def __init__(self, folder: SweepFolder):
        self.folder = folder

    def run(self, groups: Any, report: Any, stopping: Callable[[], bool]) -> None:
        for (entry,) in groups:
            self.folder.prepare(entry)
            report(entry, Status("running", attempts=1))
            run = self.folder.trial(entry.id)
            data = {"name": "idx", "checksum": entry.examined.checksum}
            run.write("provenance.json", {"git": None, "packages": PACKAGES, "devices": CPU, "data": data})
            run.write("result.json", result_of(0.9))
            report(entry, Status("done", attempts=1))


def sweep(experiment: Path, workdir: Path) -> None:
    """The driver: as `driver.opened` and `driver.run`, without workers."""
    found, folder = plan.read(experiment, {}), SweepFolder(workdir)
    folder.claim(found)
    known = Examined("abc", 10, 20)
    entries = entries_of(found, [known] * len(found.trials))
    folder.declare(found, entries)
    opened = OpenSweep(found, folder, entries, Findings((known,) * len(entries), "cpu", 1), Workers())
    driver._engine = lambda *given: Engine(folder)  # type: ignore[assignment]
    driver.run(opened, found.trials, None, Options(), Console(file=io.StringIO()))


def told(workdir: Path) -> list[str]:
    """Reads the statuses of the tables."""
    try:
        return [row.status for row in read_rows(workdir)[1]]
    except RunFolderError as error:
        return [str(error)]


def main(experiment: Path, folder: Path) -> None:
    sweep(experiment, folder / "whole")  # builds, once for all forks, what checks a config
    answers = []
    for kill_at in range(1, 1000):
        workdir = folder / str(kill_at)
        code = forked(lambda: sweep(experiment, workdir), kill_at)  # noqa: B023  called at once
        if code == 0:
            break
        answer = {"code": code, "killed": told(workdir)}
        answer["again"] = forked(lambda: sweep(experiment, workdir))  # noqa: B023
        answer["done"] = told(workdir)
        answer["links"] = len(list((workdir / "tensorboard").iterdir()))
        answers.append(answer)
    print(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
