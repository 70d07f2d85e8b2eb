"""What a trial's network is on its data, or why there can be none: asked of a process of its own.

The process that runs a sweep imports no JAX: it would hold the accelerators that its trials need.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax.config import Experiment, ImageFolder
from cnn_jax.sweep.engines import confinement


class ExaminationError(Exception):
    """The process that examines the trials failed by itself; the message holds its last lines."""


@dataclasses.dataclass(frozen=True)
class Examined:
    """What is known of a trial before it runs.

    Attributes:
      checksum: of its data; empty where these cannot be had.
      parameters, multiply_adds: of its network, the latter for one image, forward; None where there is none.
      infeasible: why no network can be built on the images, with the nearest settings that work.
      fault: why it cannot run for another reason.
    """

    checksum: str
    parameters: int | None = None
    multiply_adds: int | None = None
    infeasible: str | None = None
    fault: str | None = None


@dataclasses.dataclass(frozen=True)
class Findings:
    """Of all trials, in their order, and of the machine.

    Attributes:
      trials: what is known of each.
      platform: "cpu", "gpu" or "tpu".
      devices: how many of that platform there are.
    """

    trials: tuple[Examined, ...]
    platform: str
    devices: int


def ask(experiments: Sequence[Experiment], data_dir: Path | None) -> Findings:
    """Examines trials in a process of its own.

    Args:
      experiments: their configs.
      data_dir: of prepared data; None is the default folder.

    Returns:
      The findings.

    Raises:
      ExaminationError: where that process fails.
    """
    question = {
        "experiments": [each.model_dump(mode="json") for each in experiments],
        "data_dir": str(data_dir) if data_dir else None,
    }
    done = subprocess.run(
        [sys.executable, "-m", "cnn_jax.sweep.feasibility"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        env=confinement.environment({}),
    )
    if done.returncode != 0:
        raise ExaminationError(f"examining the trials failed:\n{done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return Findings(tuple(Examined(**each) for each in answer["trials"]), answer["platform"], answer["devices"])


def answer() -> None:
    """The other process: reads the question from standard input, and answers on standard output."""
    import jax

    from cnn_jax.config_parse import parse

    question = json.load(sys.stdin)
    data_dir = Path(question["data_dir"]) if question["data_dir"] else None
    examine = Examiner(data_dir)
    found = [examine(parse(each)) for each in question["experiments"]]
    content = {
        "trials": [dataclasses.asdict(each) for each in found],
        "platform": jax.default_backend(),
        "devices": jax.local_device_count(),
    }
    print(json.dumps(content))


class Examiner:
    """Examines trials one by one, each data set and each network only once."""

    def __init__(self, data_dir: Path | None):
        self._data_dir = data_dir
        self._datasets: dict[str, Any] = {}
        self._networks: dict[str, Examined] = {}

    def __call__(self, experiment: Experiment) -> Examined:
        """What is known of a trial."""
        from cnn_jax import data
        from cnn_jax.config_parse import ConfigError
        from cnn_jax.ops import GeometryError
        from cnn_jax.train import preflight

        section = experiment.data.model_dump_json()
        if isinstance(experiment.data, ImageFolder):
            section += str(experiment.seed)  # which draws its test images
        if section not in self._datasets:
            try:
                self._datasets[section] = data.load(experiment.data, experiment.seed, self._data_dir)
            except (ConfigError, data.DataError) as error:
                self._datasets[section] = error
        dataset = self._datasets[section]
        if isinstance(dataset, Exception):
            return Examined("", fault=str(dataset))
        # Of a trial's config, the seed, the schedule and the like play no part.
        parts = (experiment.data, experiment.model, experiment.augment, experiment.pretrained)
        key = "|".join([*(part.model_dump_json() for part in parts), str(experiment.train.batch_size)])
        if key not in self._networks:
            try:
                summary = preflight.check(experiment, dataset, devices=1)
                found = Examined(dataset.checksum, summary.parameters, summary.multiply_adds)
            except GeometryError as error:
                found = Examined(dataset.checksum, infeasible=str(error))
            except ConfigError as error:
                found = Examined(dataset.checksum, fault=str(error))
            self._networks[key] = found
        return self._networks[key]


if __name__ == "__main__":
    answer()
