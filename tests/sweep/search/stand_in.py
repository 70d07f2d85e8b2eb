"""A machine that makes the results of trials up, as a pure function of their configs, in any order.

The validation score after epoch E is 0.9 - (log10(learning_rate) + 2)^2 / 20 - 0.1 / E, and a little that the seed
chooses; the test score is 1 less it, so that whoever decides by the test images chooses the worst. A label smoothing
above 0.15 diverges in the second epoch; a batch size below 16 has no network.
"""

import hashlib
import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.status import Status
from sweep.written_sweep import CPU, PACKAGES, result_of

EXPERIMENT = """
from cnn_jax.sweep import Halving, Hyperband, Search, choice, integers, log_uniform, uniform

RATE = {{"optimizer.learning_rate": log_uniform(1e-4, 1e-1)}}
SPACE = RATE | {{"train.label_smoothing": uniform(0, 0.3), "train.batch_size": integers(8, 64)}}


def get_config():
    return {config}


def get_search():
    return {search}
"""
CONFIG = {"data": {"name": "fashion_mnist", "validation_fraction": 0.1}, "train": {"epochs": 9}}


def write(folder: Path, search: str, config: Mapping[str, Any] = CONFIG) -> Path:
    """Writes an experiment file."""
    path = folder / "searched.py"
    path.write_text(EXPERIMENT.format(config=dict(config), search=search))
    return path


def score(config: Mapping[str, Any], epoch: int) -> float:
    """The accuracy on the validation images after an epoch."""
    rate = config["optimizer"]["learning_rate"]
    noise = int(hashlib.sha256(str(config["seed"]).encode()).hexdigest()[:4], 16) / 2**16 / 100
    return round(0.9 - (math.log10(rate) + 2) ** 2 / 20 - 0.1 / epoch + noise, 6)


def diverges(config: Mapping[str, Any]) -> bool:
    return config["train"]["label_smoothing"] > 0.15


def train(folder: Path, config: Mapping[str, Any], until: int | None) -> str:
    """Leaves what a trial leaves; gives "done", "paused" or "diverged"."""
    path, epochs = folder / "metrics.jsonl", config["train"]["epochs"]
    known = path.read_text().count('"validation"') if path.exists() else 0
    for epoch in range(known + 1, (until or epochs) + 1):
        if epoch == 2 and diverges(config):
            return "diverged"
        found = {"validation": score(config, epoch), "test": 1 - score(config, epoch)}
        with path.open("a") as file:
            for split, accuracy in found.items():
                values = {"accuracy": accuracy, "loss": 1.0}
                file.write(json.dumps({"step": epoch, "epoch": epoch, "split": split, "values": values}) + "\n")
    if until is not None and until < epochs:
        return "paused"
    content = {"git": None, "packages": PACKAGES, "devices": CPU}
    (folder / "provenance.json").write_text(json.dumps(content))
    result = result_of(1 - score(config, epochs)) | {"final_epoch": epochs, "step": epochs}
    (folder / "result.json").write_text(json.dumps(result))
    return "done"


class StandIn:
    """A machine in this process that trains in an order drawn from a seed."""

    def __init__(self, folder: SweepFolder, order: int = 0):
        self.folder, self.random = folder, random.Random(order)
        self.trained: list[str] = []

    def examine(self, trials: Any) -> list[Examined]:
        small = [trial.experiment.train.batch_size < 16 for trial in trials]
        return [Examined("abc", 10, 20, infeasible="too small" if each else None) for each in small]

    def run(self, entries: Any, report: Any, stopping: Callable[[], bool]) -> None:
        shuffled = list(entries)
        self.random.shuffle(shuffled)
        for entry in shuffled:
            self.folder.prepare(entry)
            report(entry, Status("running", attempts=1))
        self.random.shuffle(shuffled)
        for entry in shuffled:
            config = entry.trial.experiment.model_dump(mode="json")
            ended = train(self.folder.trial(entry.id).path, config, entry.until_epoch)
            self.trained.append(entry.id)
            if ended == "diverged":
                report(entry, Status("failed", fault="diverged", message="nan", attempts=1))
            else:
                report(entry, Status(ended, attempts=1))

    def close(self) -> None:
        """There is nothing to end."""
