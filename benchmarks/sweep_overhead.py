"""Measures the cost of a sweep of short trials beside their training: `make bench-sweep`.

Trials of one shape, the lecture's network for one epoch on a tenth of Fashion-MNIST, each with a seed of its own, run
as `launch.py sweep` runs them: one at a time on all cores, two at a time, each on its own core, and with `--ensemble`
as one program that trains all seeds in lockstep. Every turn begins with an empty compilation cache. Wall time is that
of the whole command, from the start of Python over the checks to the report. It stands beside the sum of the trials'
training times plus one compilation, and beside the same sum with evaluation, which is work too: with
`--test_images=10000` more than half of that of training.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.arena import FOLDER, keep
from benchmarks.table import SPREAD

EXPERIMENT = """
from cnn_jax.sweep import Sweep, repeat_seeds

def get_config():
    return {{
        "data": {{"name": "fashion_mnist", "train_examples": {images}, "test_examples": {test_images}}},
        "model": {{"name": "cnn"}},
        "train": {{"epochs": 1, "batch_size": {batch_size}}},
    }}

def get_sweep():
    return Sweep(repeat_seeds({trials}))
"""


def main() -> None:
    """Runs the sweeps in turns, prints the table and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--images", type=int, default=6000, help="that a trial learns")
    parser.add_argument("--test_images", type=int, default=1000, help="that a trial is measured on")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="trials at a time, one sweep for each")
    parser.add_argument("--ensemble", action="store_true", help="also all seeds in one program, --vectorize=seeds")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way to run")
    options = parser.parse_args()
    ways = [f"--jobs={jobs}" for jobs in options.jobs] + ["--vectorize=seeds"] * options.ensemble
    turns: list[dict[str, Any]] = []
    for number in range(options.rounds):
        first = number % len(ways)
        for way in ways[first:] + ways[:first]:
            turns.append({"round": number, "way": way} | _sweep(way, options))
            print(f"round {number + 1}/{options.rounds}, {way}: {turns[-1]['wall']:.1f} s", flush=True)
    Console(width=None if sys.stdout.isatty() else 130).print(table(turns, options.trials))
    keep("sweep-overhead", options=vars(options), turns=turns)


def _sweep(way: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of one sweep: wall, and of its trials together; an exit with its last lines where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        experiment, workdir = Path(folder) / "experiment.py", Path(folder) / "sweep"
        experiment.write_text(EXPERIMENT.format(**vars(options)))
        command = [sys.executable, "launch.py", "sweep", f"--config={experiment}", f"--workdir={workdir}"]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, way],
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "cache")},
            cwd=FOLDER.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"the sweep ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        with (workdir / "table.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    phases = {name: [float(row[f"{name}_seconds"]) for row in rows] for name in ("training", "evaluation", "compile")}
    longest = max(phases["compile"])
    # The members of an ensemble train at the same time: the seconds of each are those of all.
    training, evaluation = (
        max(phases[name]) if way == "--vectorize=seeds" else sum(phases[name]) for name in ("training", "evaluation")
    )
    return {
        "wall": wall,
        "training": training,
        "evaluation": evaluation,
        "compilation": longest,
        "over_training": wall / (training + longest),
        "over_all": wall / (training + evaluation + longest),
    }


def table(turns: list[dict[str, Any]], trials: int) -> Table:
    """Medians and spreads over the rounds, and the throughput beside the first way, round by round."""
    shown = Table(title=f"{trials} trials of one shape", title_justify="left")
    for heading in ("", "seconds", "training", "evaluation", "compiling"):
        shown.add_column(heading, justify="right")
    for ratio in ("over training + compiling", "over all three", "throughput"):
        shown.add_column(ratio, justify="right")
        shown.add_column("min - max", justify="right")
    ways = sorted({turn["way"] for turn in turns})  # --jobs before --vectorize
    sweeps = {way: [turn for turn in turns if turn["way"] == way] for way in ways}
    walls = {turn["round"]: turn["wall"] for turn in next(iter(sweeps.values()))}
    middle, low, high = SPREAD
    for way, each in sweeps.items():
        row = [f"{middle(turn[key] for turn in each):.1f}" for key in ("wall", "training", "evaluation", "compilation")]
        throughputs = [walls[turn["round"]] / turn["wall"] for turn in each]
        for figures in ([turn["over_training"] for turn in each], [turn["over_all"] for turn in each], throughputs):
            row += [f"{middle(figures):.2f}", f"{low(figures):.2f} - {high(figures):.2f}"]
        shown.add_row(way, *row)
    return shown


if __name__ == "__main__":
    main()
