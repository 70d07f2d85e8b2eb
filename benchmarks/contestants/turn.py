"""A contestant's turn: its options and data, its clock, its memory, and the line that it ends with.

Every contestant imports this in an environment of its own, so it needs NumPy alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
ADAM_EPS = 1e-7
MOMENTUM = 0.9


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every contestant has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--network", required=True, help="a name of benchmarks/networks.py")
    options.add_argument("--data", required=True, help=".npz with train_images, train_labels, perhaps test_...")
    options.add_argument("--classes", type=int, required=True)
    options.add_argument("--batch_size", type=int, required=True)
    options.add_argument("--epochs", type=int, required=True, help="counted ones; one before them is not")
    options.add_argument("--optimizer", choices=LEARNING_RATES, required=True)
    options.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of layers' work")
    return options


@dataclasses.dataclass(frozen=True)
class Device:
    """Where a contestant trained.

    Attributes:
      platform: "cpu" or "gpu".
      name: as the framework has it.
      peak_bytes: the most that the framework held in the device's own memory; None where it has none.
    """

    platform: str
    name: str
    peak_bytes: int | None


class Turn:
    """Begins when all is imported and nothing is built.

    Attributes:
      network, classes, batch_size, epochs, optimizer, precision: as the options have them.
      images, labels: Training images and labels of one epoch; uint8 [n, h, w, c] and int32 [n].
      test_images, test_labels: to be measured after every epoch; None where steps alone are timed.
    """

    def __init__(self, options: argparse.Namespace):
        self._memory_before = peak_memory()
        self.network, self.classes = options.network, options.classes
        self.batch_size, self.epochs, self.optimizer = options.batch_size, options.epochs, options.optimizer
        self.precision = options.precision
        arrays = np.load(options.data)
        self.images, self.labels = arrays["train_images"], arrays["train_labels"].astype("int32")
        self.test_images = self.test_labels = None
        if "test_images" in arrays:
            self.test_images, self.test_labels = arrays["test_images"], arrays["test_labels"].astype("int32")

    @property
    def learning_rate(self) -> float:
        return LEARNING_RATES[self.optimizer]

    def clock(self, epoch: Callable[[], object]) -> float:
        """Seconds of the counted epochs, after one that is not counted; an epoch ends when its loss is known."""
        epoch()
        begun = time.monotonic()
        for _ in range(self.epochs):
            epoch()
        return time.monotonic() - begun

    def end(
        self,
        *,
        seconds: float,
        parameters: int,
        loss: float,
        versions: str,
        device: Device,
        accuracy: float | None = None,
    ):
        """Prints the figures as one line of JSON; on a GPU memory is the GPU's."""
        if not math.isfinite(loss):
            raise SystemExit(f"the loss is {loss}")
        peak, before = peak_memory(), self._memory_before
        if device.peak_bytes is not None:
            peak, before = device.peak_bytes, 0
        figures = {
            "images_per_second": len(self.images) * self.epochs / seconds,
            "parameters": parameters,
            "loss": loss,
            "accuracy": accuracy,
            "peak_bytes": peak,
            "net_bytes": peak - before,
            "platform": device.platform,
            "device": device.name,
            "versions": versions,
        }
        print(json.dumps(figures))


def peak_memory() -> int:
    """The most bytes that this process has held in memory so far.

    On Linux ru_maxrss would do, but begins with the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
