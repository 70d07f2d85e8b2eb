"""Loading ImageNet's kind of pictures, beside peers: `make bench-loader`.

All contestants make batches of random-resized, mirrored 224x224 bytes of the same JPEGs (`scripts/imagenet_shaped.py`),
on the same number of cores, with as many workers or threads. This project and Pillow, for PyTorch, filter what they
make smaller; TensorFlow does so only where it is asked to, and is there both ways. This project's records have restart
markers, for which jpegtran must be there, or the files as they came, which the peers read. They take turns, each in a
process of its own; starting is not in the time. The figures are medians with their spread, and ratios round by round.
Beside the clock's figure stands what a second of processor time gives, counted over all of a contestant's processes,
which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.arena import Contestant, keep, take_turn
from benchmarks.table import OURS, SPREAD
from cnn_jax.data.sources import prepare_records
from cnn_jax.run.machine import available_cores
from scripts import imagenet_shaped

CONTESTANTS = (
    Contestant(OURS, "loader_cnn_jax.py", peer=False, arguments=("--kind=marked",)),
    Contestant(
        "cnn_jax, worker processes", "loader_cnn_jax.py", peer=False, arguments=("--kind=marked", "--processes")
    ),
    Contestant("cnn_jax, JPEGs as they came", "loader_cnn_jax.py", peer=False, arguments=("--kind=plain",)),
    Contestant("PyTorch DataLoader, Pillow", "loader_torch.py"),
    Contestant("tf.data", "loader_tf.py"),
    Contestant("tf.data, antialiased", "loader_tf.py", arguments=("--antialias",)),
)
FIGURES = {
    "images_per_second_and_core": "images/s and core",
    "images_per_processor_second": "images per processor second",
}


def main() -> None:
    """Makes the pictures, lets the contestants take turns, prints the table and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="Python of the environment with the peers")
    parser.add_argument("--pictures", type=int, default=2000, help="JPEGs that are made")
    parser.add_argument("--cores", type=int, default=1, help="of each contestant")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contestant")
    parser.add_argument("--batches", type=int, default=30, help="counted ones of a turn")
    parser.add_argument("--batch_size", type=int, default=64)
    options = parser.parse_args()
    if options.cores > (cores := len(available_cores())):
        raise SystemExit(f"--cores={options.cores}: there are {cores}")
    turns: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        pictures, records = Path(folder) / "pictures", Path(folder) / "records"
        imagenet_shaped.main([f"--target={pictures}", f"--pictures={options.pictures}"])
        for kind in ("plain", "marked"):
            silent = Console(file=io.StringIO())
            prepare_records.prepare(pictures, records / kind, 0.0, silent, restart_markers=kind == "marked")
        arguments = [f"--pictures={pictures / 'train'}", f"--records={records}", f"--cores={options.cores}"]
        arguments += [f"--batches={options.batches}", f"--batch_size={options.batch_size}"]
        for number in range(options.rounds):
            first = number % len(CONTESTANTS)
            for contestant in CONTESTANTS[first:] + CONTESTANTS[:first]:
                figures = take_turn(contestant, options.peers, arguments)
                turns.append({"round": number, "name": contestant.name} | figures)
                told = ", ".join(f"{figures[key]:,.0f} {words}" for key, words in FIGURES.items() if key in figures)
                print(
                    f"round {number + 1}/{options.rounds}, {contestant.name}: {figures.get('error', told)}", flush=True
                )
    Console(width=None if sys.stdout.isatty() else 130).print(table(turns, options.cores))
    keep("loader", options=vars(options), turns=turns)


def table(turns: Sequence[dict[str, Any]], cores: int) -> Table:
    """Medians and spreads, and how much faster this project is, round by round."""
    shown = Table(title=f"random-resized 224x224 bytes from JPEGs of 500x375, {cores} core(s)", title_justify="left")
    shown.add_column("contestant")
    for words in FIGURES.values():
        for heading in (words, "min - max", "cnn_jax is faster by", "min - max"):
            shown.add_column(heading, justify="right")
    finished = {
        contestant.name: {
            turn["round"]: turn for turn in turns if turn["name"] == contestant.name and "error" not in turn
        }
        for contestant in CONTESTANTS
    }
    for name, rounds in finished.items():
        if not rounds:
            shown.add_row(name, next(turn["error"] for turn in turns if turn["name"] == name))
            continue
        row = [name]
        for key in FIGURES:
            ratios = [
                finished[OURS][number][key] / turn[key] for number, turn in rounds.items() if number in finished[OURS]
            ]
            for figures, digits in (([turn[key] for turn in rounds.values()], 0), (ratios, 2)):
                middle, low, high = (f"{figure(figures):,.{digits}f}" if figures else "" for figure in SPREAD)
                row += [middle, f"{low} - {high}"]
        shown.add_row(*row)
    return shown


if __name__ == "__main__":
    main()
