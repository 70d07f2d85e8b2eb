"""Training speed and memory beside peers: `make bench`.

The lecture's network trains on the 60,000 images of Fashion-MNIST with Adam and measures all 10,000 test images
after every epoch; both are in the time. The others train on synthetic images by SGD with momentum 0.9, and their
epochs are a few steps. All is float32, or the layers work in bfloat16 with float32 parameters. Starting, compiling
and the first epoch are not in the time. The contestants take turns, each in a process of its own, so that a machine
whose speed drifts drifts for all; the figures are medians with their spread, and ratios round by round. Every round
begins with the matrix product alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.arena import Contestant, keep, take_turn
from benchmarks.networks import NETWORKS, Network
from benchmarks.table import OURS, table
from cnn_jax import data
from cnn_jax.config import FashionMnist
from cnn_jax.run.machine import processor

CEILING = Contestant("the matrix product", "matrix_product.py", peer=False)
CONTESTANTS = (
    Contestant(OURS, "cnn_jax_train.py", peer=False),
    Contestant("PyTorch", "torch_train.py"),
    Contestant("PyTorch channels-last", "torch_train.py", arguments=("--channels_last",)),
    Contestant("PyTorch compiled", "torch_train.py", arguments=("--channels_last", "--compiled"), by_default=False),
    Contestant("Keras on TensorFlow", "keras_fit.py", environment=(("KERAS_BACKEND", "tensorflow"),)),
    Contestant("Keras on JAX", "keras_fit.py", environment=(("KERAS_BACKEND", "jax"),)),
    Contestant("plain Flax", "flax_plain.py", peer=False),
)


def written(name: str, batch_size: int, options: argparse.Namespace, folder: Path) -> Path:
    """Writes what all contestants of a network read."""
    network, path = NETWORKS[name], folder / f"{name}-{batch_size}.npz"
    arrays: dict[str, np.ndarray] = {}
    if network.steps is None:
        dataset = data.load(FashionMnist(train_examples=options.images), seed=0)
        for split, these in (("train", dataset.train), ("test", dataset.test)):
            arrays |= {f"{split}_images": these.images, f"{split}_labels": these.labels}
    else:
        rng, count = np.random.default_rng(0), (options.steps or network.steps) * batch_size
        arrays["train_images"] = rng.integers(0, 256, (count, *network.image_shape), np.uint8)
        arrays["train_labels"] = rng.integers(0, network.classes, count, np.int32)
    np.savez(path, **arrays)
    return path


def main() -> None:
    """Lets the contestants take turns, prints the tables and keeps the figures."""
    options = parse()
    chosen = [each for each in CONTESTANTS if each.by_default]
    if options.only:
        chosen = [each for each in CONTESTANTS if any(word in each.name for word in options.only)]
    if not chosen:
        raise SystemExit(f"--only={' '.join(options.only)} is in no contestant's name: {[c.name for c in CONTESTANTS]}")
    flop = {name: NETWORKS[name].training_flop() for name in options.networks}
    competitions = [
        (name, size) for name in options.networks for size in options.batch_sizes or NETWORKS[name].batch_sizes
    ]
    turns: list[dict[str, Any]] = []
    ceilings: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        # From the second round on, what JAX has compiled need not be compiled again.
        environment = {"JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "compiled")}
        for name, size in competitions:
            network, precision = NETWORKS[name], f"--precision={options.precision}"
            arguments = [
                f"--network={name}",
                f"--data={written(name, size, options, Path(folder))}",
                f"--batch_size={size}",
            ]
            arguments += [f"--classes={network.classes}", f"--optimizer={network.optimizer}"]
            arguments += [f"--epochs={options.epochs}", precision]
            ceilings[name, size] = []
            for number in range(options.rounds):
                ceiling = take_turn(CEILING, options.peers, [precision], environment)
                ceilings[name, size].append(ceiling["flop_per_second"])
                for contestant in network.among(chosen[number % len(chosen) :] + chosen[: number % len(chosen)]):
                    begun = time.monotonic()
                    figures = take_turn(contestant, options.peers, arguments, environment)
                    figures = checked(figures, network, options.device)
                    took = {"turn_seconds": time.monotonic() - begun}
                    where = {"network": name, "batch_size": size, "round": number, "name": contestant.name}
                    turns.append(where | figures | took)
                    print(line(network, turns[-1], options.rounds), flush=True)

    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(f"{processor()}, {os.cpu_count()} cores, {options.precision}")
    for name, size in competitions:
        these = [turn for turn in turns if (turn["network"], turn["batch_size"]) == (name, size)]
        console.print(table(NETWORKS[name], size, flop[name], these, ceilings[name, size]))
    products = [
        {"network": name, "batch_size": size, "flop_per_second": each} for (name, size), each in ceilings.items()
    ]
    keep("train_throughput", flop_per_image=flop, matrix_product=products, turns=turns)


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="Python of the environment with the peers")
    default = [name for name, network in NETWORKS.items() if network.by_default]
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=default)
    parser.add_argument("--only", nargs="+", help="contestants whose name contains one of these words")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant")
    parser.add_argument("--batch_sizes", nargs="+", type=int, help="in place of each network's own")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the layers' work")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="a contestant that trains elsewhere has failed")
    parser.add_argument("--epochs", type=int, default=1, help="counted epochs of one turn")
    parser.add_argument("--steps", type=int, help="of an epoch of synthetic images; as a rule 4 to 8, by the network")
    parser.add_argument("--images", type=int, help="of Fashion-MNIST, to train on; all by default")
    return parser.parse_args()


def checked(figures: dict[str, Any], network: Network, device: str | None) -> dict[str, Any]:
    """A contestant whose network is another one has failed, and one that trains on another kind of device."""
    if device and figures.get("platform", device) != device:
        return {"error": f"trains on {figures['platform']}, not on {device}"}
    if figures.get("parameters", network.parameters) != network.parameters:
        return {"error": f"has {figures['parameters']:,} parameters, not {network.parameters:,}"}
    return figures


def line(network: Network, turn: dict[str, Any], rounds: int) -> str:
    """Describes a turn while the others are still to come."""
    what = f"{network.title}, batch {turn['batch_size']}, round {turn['round'] + 1}/{rounds}, {turn['name']}: "
    if "error" in turn:
        return what + turn["error"]
    speed, memory = turn["images_per_second"], turn["peak_bytes"]
    return f"{what}{speed:,.1f} images/s, {memory / 1e9:.2f} GB, loss {turn['loss']:.3f} ({turn['turn_seconds']:.0f} s)"


if __name__ == "__main__":
    main()
