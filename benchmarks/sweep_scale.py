"""Measures what a sweep costs apart from its trials, by their number: `make bench-sweep-scale`.

Sweeps of 100, 1,000 and 10,000 trials with made-up results: a grid of fields with few values, a random sweep over
fields of many numbers, and a search with halving over the same. Nothing is trained; each trial leaves the files that a
finished one leaves. For each the driver's seconds and processor seconds for a finished trial, and those, memory and
size of table and report. Each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.arena import FOLDER, keep

COUNTS = (100, 1_000, 10_000)
KINDS = ("grid", "random", "search")
PARTS = ("driver", "again", "table", "report")

GRID = """
from cnn_jax.sweep import product, repeat_seeds

def get_config():
    return {{"data": {{"name": "fashion_mnist"}}, "log": {{"tensorboard": False}}}}

def get_sweep():
    return product(
        {{"model.padding": ["VALID", "SAME"], "model.kernel_size": [1, 2, 3, 4, 5], "train.batch_size": [32, 64]}},
        repeat_seeds({trials} // 20),
    )
"""

RANDOM = """
from cnn_jax.sweep import choice, halton, log_uniform, uniform

def get_config():
    return {{"data": {{"name": "fashion_mnist"}}, "log": {{"tensorboard": False}}}}

def get_sweep():
    ranges = {{
        "optimizer.learning_rate": log_uniform(1e-5, 1e-1),
        "train.label_smoothing": uniform(0, 0.3),
        "model.padding": choice(["VALID", "SAME"]),
    }}
    return halton(ranges, {trials})
"""

SEARCH = """
from cnn_jax.sweep import Halving, Search, choice, log_uniform, uniform

def get_config():
    return {{
        "data": {{"name": "fashion_mnist", "validation_fraction": 0.1}},
        "train": {{"epochs": 9}},
        "log": {{"tensorboard": False}},
    }}

def get_search():
    ranges = {{
        "optimizer.learning_rate": log_uniform(1e-5, 1e-1),
        "train.label_smoothing": uniform(0, 0.3),
        "model.padding": choice(["VALID", "SAME"]),
    }}
    return Search(ranges, trials={trials}, sampler="halton", batch=9, stopping=Halving(), confirm=3, seeds=5)
"""
EXPERIMENTS = {"grid": GRID, "random": RANDOM, "search": SEARCH}


def main() -> None:
    """Measures, prints the table and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--part", nargs=3, metavar=("PART", "EXPERIMENT", "FOLDER"), help="for the script's own use")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(_measured(*options.part)))
        return
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, trials in itertools.product(options.kinds, options.trials):
            experiment, workdir = Path(folder) / f"{kind}-{trials}.py", Path(folder) / f"{kind}-{trials}"
            experiment.write_text(EXPERIMENTS[kind].format(trials=trials))
            found: dict[str, Any] = {"kind": kind, "trials": trials}
            for part in PARTS:
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.sweep_scale",
                    "--part",
                    part,
                    str(experiment),
                    str(workdir),
                ]
                done = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=True)
                found[part] = json.loads(done.stdout)
                print(f"{kind}, {trials} trials, {part}: {found[part]}", flush=True)
            measured.append(found)
    Console(width=None if sys.stdout.isatty() else 130).print(_table(measured))
    keep("sweep-scale", options=vars(options), measured=measured)


def _measured(part: str, experiment: str, folder: str) -> dict[str, float]:
    """Runs one part; gives its seconds, and the most memory of this process."""
    drive = _search if "get_search" in Path(experiment).read_text() else _drive
    parts: dict[str, Callable[[Path, Path], dict[str, float]]] = {
        "driver": drive,
        "again": drive,  # all is done
        "table": _write_table,
        "report": _write_report,
    }
    figures = parts[part](Path(experiment), Path(folder))
    return figures | {"MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)}


class _Clock:
    """Wall time and processor time of this process since the clock was made, without what is left out."""

    def __init__(self) -> None:
        self._began = np.array(self._now())

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Leaves out what the block takes."""
        began = np.array(self._now())
        yield
        self._began += np.array(self._now()) - began

    def read(self) -> dict[str, float]:
        """Gives the seconds so far."""
        wall, processor = np.array(self._now()) - self._began
        return {"seconds": round(float(wall), 3), "processor": round(float(processor), 3)}


def _drive(experiment: Path, workdir: Path) -> dict[str, float]:
    """The driver of a sweep with an engine that makes results up."""
    from cnn_jax.sweep import driver, plan
    from cnn_jax.sweep.driver import OpenSweep
    from cnn_jax.sweep.engines.worker_process import Workers
    from cnn_jax.sweep.feasibility import Examined, Findings
    from cnn_jax.sweep.folder import SweepFolder, entries_of
    from cnn_jax.sweep.options import Options

    planning = _Clock()
    found = plan.read(experiment, {})
    planned, clock = planning.read(), _Clock()
    folder = SweepFolder(workdir)
    folder.claim(found)
    known = Examined("made up", 93_322, 5_000_000)
    entries = entries_of(found, [known] * len(found.trials))
    folder.declare(found, entries)
    opened = OpenSweep(found, folder, entries, Findings((known,) * len(entries), "cpu", 1), Workers())
    machine = _Machine(folder, clock)
    driver._engine = lambda *given: machine  # type: ignore[assignment]
    driver.run(opened, found.trials, None, Options(), Console(file=io.StringIO()))
    return clock.read() | {"planning": planned["seconds"]}


def _search(experiment: Path, workdir: Path) -> dict[str, float]:
    """The driver of a search with a machine that makes results up."""
    from cnn_jax.sweep.folder import SweepFolder
    from cnn_jax.sweep.search import plan
    from cnn_jax.sweep.search.driver import Driver

    planning = _Clock()
    found = plan.read(experiment, {})
    planned, clock = planning.read(), _Clock()
    folder = SweepFolder(workdir)
    Driver(found, folder, _Machine(folder, clock), Console(file=io.StringIO())).run()
    return clock.read() | {"planning": planned["seconds"]}


class _Machine:
    """Writes what trained trials leave, which the clock leaves out."""

    def __init__(self, folder: Any, clock: _Clock):
        self.folder, self.clock = folder, clock

    def examine(self, trials: Any) -> Any:
        """Examines trials as a search's machine does."""
        from cnn_jax.sweep.feasibility import Examined

        return [Examined("made up", 93_322, 5_000_000)] * len(trials)

    def run(self, groups: Any, report: Any, stopping: Callable[[], bool]) -> None:
        """Trains groups of a sweep, or entries of a search, as an engine does."""
        from cnn_jax.sweep.status import Status

        for group in groups:
            (entry,) = group if isinstance(group, tuple) else (group,)
            self.folder.prepare(entry)
            report(entry, Status("running", attempts=1))
            with self.clock.stopped():
                for name, content in _files(entry):
                    (self.folder.trial(entry.id).path / name).write_text(content)
            whole = entry.until_epoch is None
            report(entry, Status("done" if whole else "paused", attempts=1, seconds=1.0))

    def close(self) -> None:
        """Ends nothing, since nothing was started."""


def _files(entry: Any) -> Iterator[tuple[str, str]]:
    """Content of a trial's files after its epochs, with figures drawn from its name."""
    digest = hashlib.sha256(entry.id.encode()).digest()
    level = 0.8 + digest[0] / 2560 + digest[1] / 100_000
    experiment = entry.trial.experiment
    epochs = entry.until_epoch or experiment.train.epochs
    metrics = [
        {
            "step": 100 * epoch,
            "epoch": epoch,
            "split": split,
            "values": {"accuracy": level - 0.1 / epoch, "loss": 1 - (level - 0.1 / epoch)},
        }
        for epoch in range(1, epochs + 1)
        for split in (["validation"] if experiment.data.validation_fraction else []) + ["train", "test"]
    ]
    accuracy = level - 0.1 / epochs
    result = {f"test_{name}": accuracy if name == "accuracy" else 1 - accuracy for name in ("accuracy", "loss")}
    result |= {"test_top1_error": 1 - accuracy, "test_top5_error": 0.01, "step": 100 * epochs}
    result |= {"best_epoch": epochs, "final_epoch": epochs}
    seconds = {"compile": 1.0, "training": 20.0 + digest[2], "evaluation": 2.0, "total": 24.0 + digest[2]}
    result |= {"selected_by": "last_epoch", "parameters": 93_322, "images_per_second": 9e3, "seconds": seconds}
    devices = {"platform": "cpu", "kind": "cpu", "count": 1, "processor": "made up", "cores": 2}
    yield "provenance.json", json.dumps({"git": None, "packages": {"jax": "0"}, "devices": devices})
    yield "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in metrics)
    if entry.until_epoch is None:
        yield "result.json", json.dumps(result)


def _write_table(experiment: Path, workdir: Path) -> dict[str, float]:
    from cnn_jax.sweep.table import write_table

    clock = _Clock()
    path = write_table(workdir)
    return clock.read() | {"page_MB": round(path.stat().st_size / 1e6, 2)}


def _write_report(experiment: Path, workdir: Path) -> dict[str, float]:
    from cnn_jax.report.sweep_report import write_sweep_report

    clock = _Clock()
    path = write_sweep_report(workdir)
    return clock.read() | {"page_MB": round(path.stat().st_size / 1e6, 2)}


def _table(measured: list[dict[str, Any]]) -> Table:
    title = "What a sweep costs apart from its trials: seconds of wall time, and of the processor"
    shown = Table(title=title, title_justify="left")
    for heading in ("", "trials", "planning", "driver, ms a trial", "again", "table", "MB", "report", "MB", "page, MB"):
        shown.add_column(heading, justify="right")

    def seconds(part: dict[str, float], scale: float = 1.0) -> str:
        return f"{scale * part['seconds']:.2f} {scale * part['processor']:.2f}"

    for each in measured:
        driver, report = each["driver"], each["report"]
        shown.add_row(
            each["kind"],
            f"{each['trials']:,}",
            f"{driver['planning']:.2f}",
            seconds(driver, 1e3 / each["trials"]),
            seconds(each["again"]),
            seconds(each["table"]),
            f"{each['table']['MB']:,}",
            seconds(report),
            f"{report['MB']:,}",
            f"{report['page_MB']:.2f}",
        )
    return shown


if __name__ == "__main__":
    os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())
    main()
