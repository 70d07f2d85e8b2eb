"""The examination of trials, by a process that may hold the devices that they will run on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from cnn_jax import data
from cnn_jax.config import Adam, Checkpoint, Constant, Experiment, ImageFolder, Log
from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.data import DataError, Dataset
from cnn_jax.geometry import preflight
from cnn_jax.ops import GeometryError
from cnn_jax.sweep.feasibility import Examined

# Fields that no check of `preflight` depends on.
_UNCHECKED = {"seed": 0, "optimizer": Adam(), "schedule": Constant(), "checkpoint": Checkpoint(), "log": Log()}


class Examiner:
    """Examines trials one by one, each data set and each network only once."""

    def __init__(self, data_dir: Path | None):
        self._data_dir = data_dir
        self._datasets: dict[str, Dataset | Exception] = {}
        self._networks: dict[str, Examined] = {}

    def __call__(self, experiment: Experiment) -> Examined:
        """Examines a trial."""
        dataset = self._dataset(experiment)
        if isinstance(dataset, Exception):
            return Examined("", fault=str(dataset))
        # Trials that differ in what no check looks at share one; any other field, also a new one, is part of the key.
        key = experiment.model_copy(update=_UNCHECKED).model_dump_json()
        if key not in self._networks:
            try:
                # The devices that a trial gets are its engine's choice.
                summary = preflight.check(experiment, dataset, devices=1)
                found = Examined(dataset.checksum, summary.parameters, summary.multiply_adds)
            except GeometryError as error:
                found = Examined(dataset.checksum, infeasible=str(error))
            except ConfigError as error:
                found = Examined(dataset.checksum, fault=str(error))
            self._networks[key] = found
        return self._networks[key]

    def _dataset(self, experiment: Experiment) -> Dataset | Exception:
        key = experiment.data.model_dump_json()
        if isinstance(experiment.data, ImageFolder):
            key += str(experiment.seed)  # which draws its test images
        if key not in self._datasets:
            try:
                self._datasets[key] = data.load(experiment.data, experiment.seed, self._data_dir)
            except (ConfigError, DataError) as error:
                self._datasets[key] = error
        return self._datasets[key]


@functools.cache  # a search asks again and again
def _examiner(data_dir: Path | None) -> Examiner:
    return Examiner(data_dir)


def answer(experiments: Sequence[Mapping[str, Any]], data_dir: Path | None) -> dict[str, Any]:
    """Answers what `feasibility.ask` asks.

    Args:
      experiments: resolved configs, as JSON objects.
      data_dir: Folder of prepared data; None is the default folder.

    Returns:
      The fields of `feasibility.Findings`, as a JSON object.
    """
    examine = _examiner(data_dir)
    return {
        "trials": [dataclasses.asdict(examine(parse(each))) for each in experiments],
        "platform": jax.default_backend(),
        "devices": jax.local_device_count(),
    }
