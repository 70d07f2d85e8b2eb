"""A machine that makes the results of trials up, as a pure function of their configs, in any order."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.status import Status
from sweep.search.made_up import train

EXPERIMENT = """
from cnn_jax.sweep import Halving, Hyperband, Named, Search, choice, integers, log_uniform, uniform

RATE = {{"optimizer.learning_rate": log_uniform(1e-4, 1e-1)}}
WIDTH = {{"width": integers(8, 64)}}
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
