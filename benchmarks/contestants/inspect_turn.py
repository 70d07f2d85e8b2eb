"""A turn of inspecting a network: what is measured, the clock, and the line that it ends with. It needs NumPy alone."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from turn import peak_memory

WINDOW, STRIDE = 64, 32  # of occlusion, pixels
OCCLUDED_CLASS = 207
METHODS = ("occlusion", "guided_backprop")


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every contestant has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--data", required=True, help=".npz with images [n, h, w, c], and torchvision's entries")
    options.add_argument("--method", choices=METHODS, required=True)
    options.add_argument("--batch_size", type=int, required=True, help="images computed at once")
    options.add_argument("--repetitions", type=int, required=True, help="counted ones; one before them is not")
    options.add_argument("--result", required=True, help=".npy to write: the attributions")
    return options


def data(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Images, their classes, and the network's weights."""
    with np.load(options.data) as file:
        entries = dict(file)
    images = entries.pop("images")
    return images, np.full(len(images), OCCLUDED_CLASS), entries


def end(options: argparse.Namespace, compute: Callable[[], np.ndarray], versions: str) -> None:
    """Times a computation and prints the figures as one line of JSON; its first run is told by itself."""
    seconds = []
    for _ in range(options.repetitions + 1):
        begun = time.monotonic()
        result = compute()
        seconds.append(time.monotonic() - begun)
    np.save(options.result, result)
    figures = {"first_seconds": seconds[0], "seconds": seconds[1:], "peak_bytes": peak_memory(), "versions": versions}
    print(json.dumps(figures))
