"""The process that examines trials: reads configs from standard input, answers on standard output."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import jax

from cnn_jax import data
from cnn_jax.config import Experiment, ImageFolder
from cnn_jax.config_parse import ConfigError, parse
from cnn_jax.data import DataError, Dataset
from cnn_jax.ops import GeometryError
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.train import preflight


class Examiner:
    """Examines trials one by one, each data set and each network only once."""

    def __init__(self, data_dir: Path | None):
        self._data_dir = data_dir
        self._datasets: dict[str, Dataset | Exception] = {}
        self._networks: dict[str, Examined] = {}

    def __call__(self, experiment: Experiment) -> Examined:
        """What is known of a trial."""
        dataset = self._dataset(experiment)
        if isinstance(dataset, Exception):
            return Examined("", fault=str(dataset))
        # The seed, the schedule and the like play no part.
        parts = (experiment.data, experiment.model, experiment.augment, experiment.pretrained)
        key = "|".join([*(part.model_dump_json() for part in parts), str(experiment.train.batch_size)])
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


def main() -> None:
    """Answers one question."""
    question = json.load(sys.stdin)
    examine = Examiner(Path(question["data_dir"]) if question["data_dir"] else None)
    content = {
        "trials": [dataclasses.asdict(examine(parse(each))) for each in question["experiments"]],
        "platform": jax.default_backend(),
        "devices": jax.local_device_count(),
    }
    print(json.dumps(content))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # an orderly end takes JAX a third of a second, and nothing here needs one
