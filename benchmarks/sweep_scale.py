"""Measures what a sweep costs apart from its trials, by their number: `make bench-sweep-scale`.

Sweeps of 100, 1,000 and 10,000 trials with made-up results: a grid of fields with few values, and a random search over
fields of many numbers. Nothing is trained; each trial leaves the files that a finished one leaves. For each the
driver's seconds for a finished trial, and seconds, memory and size of table and report. Each part runs in a process
of its own.
"""

from __future__ import annotations

import argparse
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

from rich.console import Console
from rich.table import Table

from benchmarks.arena import FOLDER, keep

COUNTS = (100, 1_000, 10_000)
KINDS = ("grid", "random")
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
            experiment.write_text((GRID if kind == "grid" else RANDOM).format(trials=trials))
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
    parts: dict[str, Callable[[Path, Path], dict[str, float]]] = {
        "driver": _drive,
        "again": _drive,  # all is done
        "table": _write_table,
        "report": _write_report,
    }
    figures = parts[part](Path(experiment), Path(folder))
    return figures | {"MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)}


def _drive(experiment: Path, workdir: Path) -> dict[str, float]:
    """The driver with an engine that makes results up."""
    from cnn_jax.sweep import driver, plan
    from cnn_jax.sweep.driver import OpenSweep
    from cnn_jax.sweep.engines.worker_process import Workers
    from cnn_jax.sweep.feasibility import Examined, Findings
    from cnn_jax.sweep.folder import SweepFolder, entries_of
    from cnn_jax.sweep.options import Options

    began = time.perf_counter()
    found = plan.read(experiment, {})
    planned = time.perf_counter()
    folder = SweepFolder(workdir)
    folder.claim(found)
    known = Examined("made up", 93_322, 5_000_000)
    entries = entries_of(found, [known] * len(found.trials))
    folder.declare(found, entries)
    opened = OpenSweep(found, folder, entries, Findings((known,) * len(entries), "cpu", 1), Workers())
    engine = _Engine(folder)
    driver._engine = lambda *given: engine  # type: ignore[assignment]
    driver.run(opened, found.trials, None, Options(), Console(file=io.StringIO()))
    ended = time.perf_counter()
    return {"seconds": round(ended - planned - engine.seconds, 3), "planning": round(planned - began, 3)}


class _Engine:
    """Writes what trained trials leave, and keeps the time that this takes apart."""

    def __init__(self, folder: Any):
        self.folder, self.seconds = folder, 0.0

    def run(self, groups: Any, report: Any, stopping: Callable[[], bool]) -> None:
        """Runs as an engine does."""
        from cnn_jax.sweep.status import Status

        for (entry,) in groups:
            report(entry, Status("running", attempts=1))
            began = time.perf_counter()
            for name, content in _files(entry):
                (self.folder.trial(entry.id).path / name).write_text(content)
            self.seconds += time.perf_counter() - began
            report(entry, Status("done", attempts=1, seconds=1.0))


def _files(entry: Any) -> Iterator[tuple[str, str]]:
    """Content of a finished trial's files, with figures drawn from its name."""
    digest = hashlib.sha256(entry.id.encode()).digest()
    accuracy = 0.8 + digest[0] / 2560 + digest[1] / 100_000
    metrics = [
        {
            "step": 100 * epoch,
            "epoch": epoch,
            "split": split,
            "values": {"accuracy": accuracy - 0.1 / epoch, "loss": 1 - accuracy},
        }
        for epoch in range(1, 6)
        for split in ("train", "test")
    ]
    accuracy = metrics[-1]["values"]["accuracy"]  # type: ignore[index]
    result = {f"test_{name}": accuracy if name == "accuracy" else 1 - accuracy for name in ("accuracy", "loss")}
    result |= {"test_top1_error": 1 - accuracy, "test_top5_error": 0.01, "step": 500, "best_epoch": 5, "final_epoch": 5}
    seconds = {"compile": 1.0, "training": 20.0 + digest[2], "evaluation": 2.0, "total": 24.0 + digest[2]}
    result |= {"selected_by": "last_epoch", "parameters": 93_322, "images_per_second": 9e3, "seconds": seconds}
    devices = {"platform": "cpu", "kind": "cpu", "count": 1, "processor": "made up", "cores": 2}
    yield "provenance.json", json.dumps({"git": None, "packages": {"jax": "0"}, "devices": devices})
    yield "config.json", json.dumps(entry.trial.experiment.model_dump(mode="json"))
    yield "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in metrics)
    yield "result.json", json.dumps(result)


def _write_table(experiment: Path, workdir: Path) -> dict[str, float]:
    from cnn_jax.sweep.table import write_table

    began = time.perf_counter()
    path = write_table(workdir)
    return {"seconds": round(time.perf_counter() - began, 3), "page_MB": round(path.stat().st_size / 1e6, 2)}


def _write_report(experiment: Path, workdir: Path) -> dict[str, float]:
    from cnn_jax.report.sweep_report import write_sweep_report

    began = time.perf_counter()
    path = write_sweep_report(workdir)
    return {"seconds": round(time.perf_counter() - began, 3), "page_MB": round(path.stat().st_size / 1e6, 2)}


def _table(measured: list[dict[str, Any]]) -> Table:
    shown = Table(title="What a sweep costs apart from its trials", title_justify="left")
    for heading in ("", "trials", "planning (s)", "driver (ms a trial)", "again (s)", "table (s)", "MB"):
        shown.add_column(heading, justify="right")
    for heading in ("report (s)", "MB", "page (MB)"):
        shown.add_column(heading, justify="right")
    for each in measured:
        driver, report = each["driver"], each["report"]
        shown.add_row(
            each["kind"],
            f"{each['trials']:,}",
            f"{driver['planning']:.2f}",
            f"{1e3 * driver['seconds'] / each['trials']:.2f}",
            f"{each['again']['seconds']:.2f}",
            f"{each['table']['seconds']:.2f}",
            f"{each['table']['MB']:,}",
            f"{report['seconds']:.2f}",
            f"{report['MB']:,}",
            f"{report['page_MB']:.2f}",
        )
    return shown


if __name__ == "__main__":
    os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())
    main()
