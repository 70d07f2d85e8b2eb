"""Size of a trial's network on its data, or why there can be none; a worker finds out.

The process that runs a sweep imports no JAX: it would hold the accelerators that its trials need.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.config import Experiment
from cnn_jax.sweep.engines.worker_process import WorkerEnded, Workers


class ExaminationError(Exception):
    """The worker that examines the trials failed by itself; the message holds its last lines."""


@dataclasses.dataclass(frozen=True)
class Examined:
    """Findings about a trial before it runs.

    Attributes:
      checksum: Checksum of its data; empty where these cannot be had.
      parameters, multiply_adds: Size of its network, the latter for one image, forward; None where there is none.
      infeasible: Why no network can be built on the images, with the nearest settings that work.
      fault: Why it cannot run for another reason.
    """

    checksum: str
    parameters: int | None = None
    multiply_adds: int | None = None
    infeasible: str | None = None
    fault: str | None = None


@dataclasses.dataclass(frozen=True)
class Findings:
    """Findings about all trials, in their order, and about the machine.

    Attributes:
      trials: Validity and cost of each.
      platform: "cpu", "gpu" or "tpu".
      devices: Number of devices of that platform.
    """

    trials: tuple[Examined, ...]
    platform: str
    devices: int


def ask(experiments: Sequence[Experiment], data_dir: Path | None, workers: Workers) -> Findings:
    """Lets a worker examine trials.

    Args:
      experiments: Their configs.
      data_dir: Folder of prepared data; None is the default folder.
      workers: Pool of workers, one of which was started ahead.

    Returns:
      The findings.

    Raises:
      ExaminationError: where the worker fails.
    """
    question = {
        "experiments": [each.model_dump(mode="json") for each in experiments],
        "data_dir": str(data_dir) if data_dir else None,
    }
    try:
        answer = workers.ask(question)
    except WorkerEnded as error:
        raise ExaminationError(f"examining the trials failed: {error}") from error
    return Findings(tuple(Examined(**each) for each in answer["trials"]), answer["platform"], answer["devices"])
