"""Measures what a command costs before it does anything: `make bench-start`.

`--help`, a refusal, `summary`, and `train` up to the record of its first step, on the lecture's network with prepared
data and a warm compilation cache, alternating with imports of the libraries that they use. `--beside=FOLDER` adds the
same commands of another checkout. Each command is a process of its own: processor time of all its threads,
which other programs on the machine change little, and time by the clock.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.arena import FOLDER, keep
from benchmarks.table import SPREAD

_LECTURE = "--config=experiments/fashion_mnist_lecture.py"
IMPORTS = {"import jax": "import jax", "import jax, flax.linen": "import jax, flax.linen"}
COMMANDS = {
    "--help": ("--help",),
    "refusal": ("train", _LECTURE, "--config.train.epochs=0"),
    "summary": ("summary", _LECTURE),
    "first step": ("train", _LECTURE, "--config.train.steps_per_dispatch=1", "--config.log.every_steps=1"),
}
_LONGEST = 120.0  # seconds until the first step


def main() -> None:
    """Runs the commands alternately, prints the table and saves the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=9, help="measured runs of each command, after one that is not counted"
    )
    parser.add_argument("--beside", type=Path, help="another checkout whose commands are measured too")
    options = parser.parse_args()
    turns: list[dict[str, Any]] = []
    for number in range(options.rounds + 1):  # the first one fills caches
        taken = [{"name": name} | _turn([sys.executable, "-c", code], FOLDER.parent) for name, code in IMPORTS.items()]
        for checkout in filter(None, (FOLDER.parent, options.beside)):
            beside = f", {checkout}" * (checkout is options.beside)
            taken += [{"name": name + beside} | _command(name, checkout) for name in COMMANDS]
        if number:
            turns += taken
    Console(width=None if sys.stdout.isatty() else 130).print(table(turns))
    keep("start", options={name: str(value) for name, value in vars(options).items()}, turns=turns)


def _command(name: str, checkout: Path) -> dict[str, float]:
    command = [sys.executable, "launch.py", *COMMANDS[name]]
    if name != "first step":
        return _turn(command, checkout)
    with tempfile.TemporaryDirectory() as folder:
        return _turn([*command, f"--workdir={folder}/run"], checkout, Path(folder) / "run" / "metrics.jsonl")


def _turn(command: Sequence[str], folder: Path, until: Path | None = None) -> dict[str, float]:
    """Seconds of a process, to its end or until it has written the first line of a file; then it is killed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if until is None:
        process.wait()
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        return {"wall": wall, "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
    while not (until.exists() and "\n" in until.read_text()):
        if process.poll() is not None or time.perf_counter() - started > _LONGEST:
            raise SystemExit(f"{' '.join(command)}: no step in {_LONGEST:.0f} s")
        time.sleep(0.002)
    wall, processor = time.perf_counter() - started, _processor_seconds(process.pid)
    process.kill()
    process.wait()
    return {"wall": wall, "processor": processor}


def _processor_seconds(pid: int) -> float:
    """Processor time of a running process so far, user's and system's, as Linux counts it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(turns: Sequence[Mapping[str, Any]]) -> Table:
    """Medians, and the least and the most, of each kind of turn."""
    shown = Table(title="seconds", title_justify="left")
    shown.add_column("")
    for heading in ("processor", "least - most", "by the clock", "least - most"):
        shown.add_column(heading, justify="right")
    for name in dict.fromkeys(turn["name"] for turn in turns):
        row = [name]
        for kind in ("processor", "wall"):
            middle, low, high = (figure([turn[kind] for turn in turns if turn["name"] == name]) for figure in SPREAD)
            row += [f"{middle:.2f}", f"{low:.2f} - {high:.2f}"]
        shown.add_row(*row)
    return shown


if __name__ == "__main__":
    main()
