"""Occlusion and guided backpropagation beside captum: `make bench-inspect`.

The network is torchvision's ResNet-18 with the same random weights for all, in float32. Occlusion covers a photograph's
size of noise, 224x224, with windows of 64 pixels, 32 apart, 36 of them; guided backpropagation is of 8 images.
Starting, compiling and the first computation of a turn are not in the time; the first is told by itself. The
contestants take turns, each in a process of its own; the figures are medians of a turn's repetitions, and ratios are
taken round by round. A contestant whose result is another one has failed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.arena import Contestant, keep, take_turn
from benchmarks.table import OURS, SPREAD
from cnn_jax import models
from cnn_jax.config.model import ResNet
from cnn_jax.pretrained import to_torch
from cnn_jax.run.machine import processor

METHODS = ("occlusion", "guided_backprop")
TOLERANCE = 1e-3  # of the largest value: rectifiers whose inputs are roundings from zero open in one and not in another
CONTESTANTS = (
    Contestant(OURS, "cnn_jax_inspect.py", peer=False),
    Contestant(f"{OURS} lowering=xla", "cnn_jax_inspect.py", peer=False, arguments=("--lowering=xla",)),
    Contestant("captum", "captum_inspect.py"),
    Contestant("captum channels-last", "captum_inspect.py", arguments=("--channels_last",)),
    Contestant("captum compiled", "captum_inspect.py", arguments=("--channels_last", "--compiled")),
)


def main() -> None:
    """Lets the contestants take turns, prints the tables and keeps the figures."""
    options = parse()
    chosen = [each for each in CONTESTANTS if not options.only or any(word in each.name for word in options.only)]
    if not chosen:
        raise SystemExit(f"--only={' '.join(options.only)} is in no contestant's name: {[c.name for c in CONTESTANTS]}")
    turns: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "data.npz", options.images)
        # From the second round on, what has been compiled need not be compiled again.
        environment = {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "torch"),
        }
        for number in range(options.rounds):
            for method in options.methods:
                for contestant in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]:
                    result = folder / f"{method}-{contestant.name}.npy"
                    arguments = [f"--data={folder / 'data.npz'}", f"--method={method}", f"--result={result}"]
                    arguments += [f"--batch_size={options.batch_size}", f"--repetitions={options.repetitions}"]
                    figures = take_turn(contestant, options.peers, arguments, environment)
                    turn = {"method": method, "round": number, "name": contestant.name} | figures
                    turns.append(checked(turn, result, folder / f"{method}-{OURS}.npy"))
                    print(line(turns[-1], options.rounds), flush=True)
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(f"{processor()}, {', '.join(sorted({turn['versions'] for turn in turns if 'versions' in turn}))}")
    for method in options.methods:
        console.print(table(method, options.batch_size, [turn for turn in turns if turn["method"] == method]))
    keep("inspection", processor=processor(), options=vars(options), turns=turns)


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="Python of the environment with the peers")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--only", nargs="+", help="contestants whose name contains one of these words")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant")
    parser.add_argument("--repetitions", type=int, default=3, help="counted computations of a turn")
    parser.add_argument("--batch_size", type=int, default=8, help="images that every contestant computes at once")
    parser.add_argument("--images", type=int, default=8, help="of guided backpropagation")
    return parser.parse_args()


def write_data(path: Path, images: int) -> None:
    """Writes images, and torchvision's entries of a ResNet-18 whose running statistics are not those of the start."""
    model = models.create(ResNet(), 1000)
    entries = to_torch(model.init(jax.random.key(0), (224, 224, 3)), ResNet())
    rng = np.random.default_rng(0)
    for name, array in entries.items():
        if name.endswith(("running_mean", "running_var")):
            entries[name] = array + np.abs(0.1 * rng.standard_normal(array.shape)).astype(np.float32)
    np.savez(path, images=rng.standard_normal((images, 224, 224, 3)).astype(np.float32), **entries)


def checked(turn: dict[str, Any], result: Path, ours: Path) -> dict[str, Any]:
    """A contestant whose result differs from cnn_jax's has failed; before cnn_jax's first turn nothing is compared."""
    if "error" in turn or not ours.exists():
        return turn
    found, expected = np.load(result), np.load(ours)
    if found.shape != expected.shape:
        return turn | {"error": f"its result has the shape {found.shape}, not {expected.shape}"}
    apart = float(np.abs(found - expected).max() / np.abs(expected).max())
    return turn | {"apart": apart} | ({"error": f"its result is {apart:.1e} apart"} if apart > TOLERANCE else {})


def line(turn: dict[str, Any], rounds: int) -> str:
    """Describes a turn while the others are still to come."""
    what = f"{turn['method']}, round {turn['round'] + 1}/{rounds}, {turn['name']}: "
    if "error" in turn:
        return what + turn["error"]
    return what + f"{statistics.median(turn['seconds']):.3f} s, the first {turn['first_seconds']:.1f} s"


def table(method: str, batch_size: int, turns: list[dict[str, Any]]) -> Table:
    """Medians and spreads over the rounds, and by how much cnn_jax is faster, round by round."""
    shown = Table(title=f"{method}, {batch_size} images at once", title_justify="left")
    shown.add_column("contestant")
    for heading in ("seconds", "min - max", "cnn_jax is faster by", "min - max", "first, s", "peak GB", "apart"):
        shown.add_column(heading, justify="right")
    finished = {(turn["name"], turn["round"]): turn for turn in turns if "error" not in turn}
    ours = {number: statistics.median(turn["seconds"]) for (name, number), turn in finished.items() if name == OURS}
    for name in dict.fromkeys(turn["name"] for turn in sorted(turns, key=lambda turn: turn["name"] != OURS)):
        these = {number: turn for (whose, number), turn in finished.items() if whose == name}
        if not these:
            shown.add_row(name, next(turn["error"] for turn in turns if turn["name"] == name))
            continue
        seconds = {number: statistics.median(turn["seconds"]) for number, turn in these.items()}
        ratios = [seconds[number] / ours[number] for number in seconds if number in ours]
        row = [name]
        for figures in (list(seconds.values()), ratios):
            middle, low, high = (f"{each(figures):.3g}" if figures else "" for each in SPREAD)
            row += [middle, f"{low} - {high}"]
        row.append(f"{max(turn['first_seconds'] for turn in these.values()):.1f}")
        row.append(f"{max(turn['peak_bytes'] for turn in these.values()) / 1e9:.2f}")
        row.append(f"{max(turn.get('apart', 0.0) for turn in these.values()):.0e}")
        shown.add_row(*row)
    return shown


if __name__ == "__main__":
    main()
