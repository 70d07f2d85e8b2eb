"""Processes that share a run, as flags or the environment name them."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ProcessGroup:
    """Processes of a run.

    Attributes:
      how: "auto" joins where Slurm, Open MPI, GKE or Cloud TPU has started several; "off" never; "explicit" as the
        other fields say.
      coordinator: HOST:PORT of the first process.
      count: Number of processes.
      number: Number of this process, from 0.
    """

    how: Literal["auto", "off", "explicit"] = "auto"
    coordinator: str | None = None
    count: int | None = None
    number: int | None = None


def started_by() -> str | None:
    """Names the launcher that has started several processes of this program; None where none has."""
    if _number("SLURM_STEP_NUM_TASKS") > 1 and "SLURM_PROCID" in os.environ:
        return "Slurm"
    if _number("OMPI_COMM_WORLD_SIZE") > 1:
        return "Open MPI"
    if "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        return "GKE"
    on_tpu = any(Path(device).exists() for device in ("/dev/accel0", "/dev/vfio/0"))
    if on_tpu and importlib.util.find_spec("libtpu") is not None:
        return "Cloud TPU"
    return None


def _number(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else 0
