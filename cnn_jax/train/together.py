"""Several runs that differ in their seed alone, trained together, each as `loop.train_and_evaluate` would alone."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cnn_jax.config import Experiment
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import loop
from cnn_jax.train.lanes import Lane
from cnn_jax.train.turns import Turns


@dataclasses.dataclass(frozen=True)
class Run:
    """One of the runs: its config, its folder, and where to tell of it."""

    experiment: Experiment
    workdir: Path
    console: Console


def train_and_evaluate(runs: Sequence[Run], data_dir: Path | None = None) -> list[dict[str, Any] | BaseException]:
    """Trains networks together, or goes on with them.

    Args:
      runs: whose configs differ in the seed alone.
      data_dir: of prepared data; None is the default folder.

    Returns:
      For every run the content of result.json, or what it raised; what ends one does not end the others.
    """
    with StopSignal() as stop:
        turns = Turns(len(runs))

        def train(number: int) -> dict[str, Any]:
            run = runs[number]
            company = Lane(turns, number, len(runs), stop)
            return loop.train_and_evaluate(run.experiment, run.workdir, data_dir, run.console, company=company)

        with concurrent.futures.ThreadPoolExecutor(len(runs)) as threads:
            numbers = range(len(runs))
            ends = [threads.submit(turns.run, number, functools.partial(train, number)) for number in numbers]
        return [end.exception() or end.result() for end in ends]
