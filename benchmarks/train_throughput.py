"""Training speed of the lecture's recipe beside its peers: `make bench`.

Every contestant trains the 93,322 parameters of the lecture's network on the 60,000 images of Fashion-MNIST in
float32 with Adam, and measures all 10,000 test images after every epoch; both are in the time. Starting,
compiling and the peers' first epoch are not. The contestants take turns, each in a process of its own, so that a
machine whose speed drifts drifts for all; the figures are medians with their spread, and ratios round by round.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from cnn_jax import data
from cnn_jax.config import FashionMnist

FOLDER = Path(__file__).parent
# Multiplications and additions of one training image: three times those of the forward pass, less the gradient
# of the first layer's input, which nobody needs.
FLOP_PER_IMAGE = 2 * (2 * 26**2 * 9 * 32 + 3 * (11**2 * 9 * 32 * 64 + 3**2 * 9 * 64 * 64 + 576 * 64 + 64 * 10))


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One program: its script, which environment runs it, and with what."""

    name: str
    script: str
    peer: bool = True
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


OURS = Contestant("cnn_jax", "cnn_jax_launch.py", peer=False)
CONTESTANTS = (
    OURS,
    Contestant("Keras on TensorFlow", "keras_fit.py", environment=(("KERAS_BACKEND", "tensorflow"),)),
    Contestant("PyTorch eager", "torch_eager.py"),
    Contestant("PyTorch channels-last", "torch_eager.py", arguments=("--channels_last",)),
)


def run(contestant: Contestant, peers: str, arrays: Path, batch_size: int, epochs: int) -> dict[str, object]:
    """Runs a contestant once, and reads the line that it ends with."""
    words = [peers if contestant.peer else sys.executable, str(FOLDER / "contestants" / contestant.script)]
    words += [f"--data={arrays}", f"--batch_size={batch_size}", f"--epochs={epochs}", *contestant.arguments]
    environment = os.environ | dict(contestant.environment) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if not contestant.peer:
        environment["PYTHONPATH"] = str(FOLDER.parent)
    done = subprocess.run(words, env=environment, cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{contestant.name} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def matmul_gflops() -> float:
    """Speed of the matrix product that all of this is made of: the best of some repetitions, in GFLOP/s."""
    size, repetitions = 1024, 20
    product = jax.jit(jnp.dot)
    a = jnp.ones((size, size), jnp.float32)
    product(a, a).block_until_ready()
    seconds = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        product(a, a).block_until_ready()
        seconds.append(time.perf_counter() - begun)
    return 2 * size**3 / min(seconds) / 1e9


def main() -> None:
    """Lets the contestants take turns, prints the table and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="Python of the environment with the peers")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contestant")
    parser.add_argument("--epochs", type=int, default=2, help="counted epochs of one turn")
    parser.add_argument("--only", nargs="*", help="contestants whose name contains one of these words")
    options = parser.parse_args()
    chosen = [each for each in CONTESTANTS if not options.only or any(word in each.name for word in options.only)]

    dataset = data.load(FashionMnist(), seed=0)
    ceiling = matmul_gflops() * 1e9 / FLOP_PER_IMAGE
    turns: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "fashion_mnist.npz"
        splits = {"train": dataset.train, "test": dataset.test}
        np.savez(
            arrays,
            **{f"{name}_images": split.images for name, split in splits.items()},
            **{f"{name}_labels": split.labels for name, split in splits.items()},
        )
        for batch_size in options.batch_sizes:
            for turn in range(options.rounds):
                for contestant in chosen[turn % len(chosen) :] + chosen[: turn % len(chosen)]:
                    figures = run(contestant, options.peers, arrays, batch_size, options.epochs)
                    turns.append({"name": contestant.name, "batch_size": batch_size, "round": turn} | figures)
                    print(json.dumps(turns[-1]), flush=True)

    console = Console(width=None if sys.stdout.isatty() else 120)
    for batch_size in options.batch_sizes:
        console.print(table([turn for turn in turns if turn["batch_size"] == batch_size], batch_size, ceiling))
    results = FOLDER / "results" / f"train_throughput-{time.strftime('%Y%m%d-%H%M%S')}.json"
    results.parent.mkdir(exist_ok=True)
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "matmul_images_per_second": ceiling}
    results.write_text(json.dumps({"machine": machine, "turns": turns}, indent=2), encoding="utf-8")
    print(f"figures: {results}")


def table(turns: list[dict[str, object]], batch_size: int, ceiling: float) -> Table:
    """Medians, spreads and ratios at one batch size."""
    title = f"Training and testing, batch {batch_size}; matrix products alone would allow {ceiling:,.0f} images/s"
    shown = Table(title=title, title_justify="left")
    headings = (
        "contestant",
        "images/s (median)",
        "min",
        "max",
        "cnn_jax is faster by (median)",
        "min",
        "max",
        "test acc.",
    )
    for heading in headings:
        shown.add_column(heading, justify="left" if heading == "contestant" else "right")
    speeds: dict[str, list[float]] = {}
    for turn in turns:
        speeds.setdefault(str(turn["name"]), []).append(float(str(turn["images_per_second"])))
    for name, speed in speeds.items():
        ratios = [ours / theirs for ours, theirs in zip(speeds.get(OURS.name, []), speed, strict=False)]
        accuracy = statistics.median(float(str(turn["accuracy"])) for turn in turns if turn["name"] == name)
        row = [name, *(f"{figure(speed):,.0f}" for figure in (statistics.median, min, max))]
        row += [f"{figure(ratios):.2f}x" if ratios else "" for figure in (statistics.median, min, max)]
        shown.add_row(*row, f"{accuracy:.4f}")
    return shown


if __name__ == "__main__":
    main()
