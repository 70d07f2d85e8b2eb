"""The examination of trials, by a process that may hold the devices that they will run on."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from cnn_jax import data
from cnn_jax.config import Adam, Checkpoint, Constant, Experiment, ImageFolder, Log
from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.data import DataError, Dataset, Split
from cnn_jax.geometry import preflight
from cnn_jax.ops import GeometryError
from cnn_jax.sweep.feasibility import Examined

_MOST_BYTES = 400 * 2**20  # of images that are kept while trials are examined
# Fields that no check of `preflight` depends on.
_UNCHECKED = {"seed": 0, "optimizer": Adam(), "schedule": Constant(), "checkpoint": Checkpoint(), "log": Log()}


class Examiner:
    """Examines trials one by one, each data set and each network only once."""

    def __init__(self, data_dir: Path | None):
        self._data_dir = data_dir
        self._datasets: collections.OrderedDict[str, Dataset] = collections.OrderedDict()
        self._checksums: dict[str, str | Exception] = {}
        self._networks: dict[str, Examined] = {}

    def __call__(self, experiment: Experiment) -> Examined:
        """Examines a trial."""
        data_key = experiment.data.model_dump_json()
        if isinstance(experiment.data, ImageFolder):
            data_key += str(experiment.seed)  # which draws its test images
        if data_key not in self._checksums:
            try:
                self._checksums[data_key] = self._dataset(data_key, experiment).checksum
            except (ConfigError, DataError) as error:
                self._checksums[data_key] = error
        checksum = self._checksums[data_key]
        if isinstance(checksum, Exception):
            return Examined("", fault=str(checksum))
        # Trials that differ in what no check looks at share one; any other field, also a new one, is part of the key.
        key = experiment.model_copy(update=_UNCHECKED).model_dump_json()
        if key not in self._networks:
            try:
                # The devices that a trial gets are its engine's choice.
                summary = preflight.check(experiment, self._dataset(data_key, experiment), devices=1)
                found = Examined(checksum, summary.parameters, summary.multiply_adds)
            except GeometryError as error:
                found = Examined(checksum, infeasible=str(error))
            except ConfigError as error:
                found = Examined(checksum, fault=str(error))
            self._networks[key] = found
        found = self._networks[key]
        return found if found.checksum == checksum else dataclasses.replace(found, checksum=checksum)

    def _dataset(self, key: str, experiment: Experiment) -> Dataset:
        """Loads a data set, or gives one of the last, of which a few hundred megabytes are kept."""
        if key not in self._datasets:
            self._datasets[key] = data.load(experiment.data, experiment.seed, self._data_dir)
        self._datasets.move_to_end(key)
        while len(self._datasets) > 1 and sum(map(_size, self._datasets.values())) > _MOST_BYTES:
            self._datasets.popitem(last=False)
        return self._datasets[key]


def _size(dataset: Dataset) -> int:
    """Bytes of a data set's images in memory."""
    return sum(split.images.nbytes for split in dataset.measured.values() if isinstance(split, Split)) + (
        dataset.train.images.nbytes if isinstance(dataset.train, Split) else 0
    )


@functools.cache  # a search asks again and again
def _examiner(data_dir: Path | None) -> Examiner:
    return Examiner(data_dir)


def answer(experiments: Sequence[Mapping[str, Any]], data_dir: Path | None) -> dict[str, Any]:
    """Answers what `feasibility.ask` asks.

    Args:
      experiments: Resolved configs, as JSON objects.
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
