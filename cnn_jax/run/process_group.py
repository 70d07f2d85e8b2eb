"""Processes that share a run, as flags or the environment name them, and how they join."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from cnn_jax.config.parsing import ConfigError


@dataclasses.dataclass(frozen=True)
class ProcessGroup:
    """Processes of a run.

    Attributes:
      how: "auto" joins where Slurm, Open MPI, GKE or Cloud TPU has started several; "off" never; "explicit" as the
        other fields say.
      coordinator: HOST:PORT of the first process.
      count: Number of processes.
      number: Number of this process, from 0.
      heartbeat_timeout: Seconds of silence after which a process counts as lost.
    """

    how: Literal["auto", "off", "explicit"] = "auto"
    coordinator: str | None = None
    count: int | None = None
    number: int | None = None
    heartbeat_timeout: int = 30


# Variables that the launchers' own joining reads, and those of them that are numbers.
_NEEDED = {
    "Slurm": ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    "Open MPI": ("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "GKE": ("TPU_WORKER_ID",),
}
_TEXTS = ("SLURM_STEP_NODELIST", "OMPI_MCA_orte_hnp_uri")
_COUNTS = {"Slurm": "SLURM_STEP_NUM_TASKS", "Open MPI": "OMPI_COMM_WORLD_SIZE"}
_NUMBERS_OF_PROCESS = {"Slurm": "SLURM_PROCID", "Open MPI": "OMPI_COMM_WORLD_RANK"}


def started_by() -> str | None:
    """Names the launcher that has started several processes of this program; None where none has."""
    if _number("SLURM_STEP_NUM_TASKS") > 1:
        return "Slurm"
    if _number("OMPI_COMM_WORLD_SIZE") > 1:
        return "Open MPI"
    if "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        return "GKE"
    on_tpu = any(Path(device).exists() for device in ("/dev/accel0", "/dev/vfio/0"))
    if on_tpu and importlib.util.find_spec("libtpu") is not None:
        return "Cloud TPU"
    return None


def fault() -> str | None:
    """Says what is wrong with the variables of the launcher that has started several processes; None if nothing."""
    launcher = started_by()
    if launcher not in _NEEDED:
        return None
    wrong = [f"{name} is not set" for name in _NEEDED[launcher] if not os.environ.get(name)]
    wrong += [
        f"{name}={os.environ[name]!r} is no number"
        for name in _NEEDED[launcher]
        if os.environ.get(name) and name not in _TEXTS and not _is_number(os.environ[name])
    ]
    if launcher in _COUNTS and not wrong:
        count, number = _COUNTS[launcher], _NUMBERS_OF_PROCESS[launcher]
        if _number(number) >= _number(count):
            wrong.append(f"{number}={os.environ[number]} is not below {count}={os.environ[count]}")
        if launcher == "Slurm" and _number("SLURM_NTASKS") != _number(count):
            wrong.append(f"SLURM_NTASKS={os.environ['SLURM_NTASKS']} differs from {count}={os.environ[count]}")
    if not wrong:
        return None
    return (
        f"--distributed: {launcher} says that it has started several processes, and {', '.join(wrong)}; start them "
        "with its own command, or give --distributed=off for a process alone, or --distributed=explicit with "
        "--coordinator, --num_processes and --process_id"
    )


def join(group: ProcessGroup, initialize: Callable[..., None]) -> None:
    """Joins the processes of a run; call it before any use of a device.

    Args:
      group: The processes.
      initialize: `jax.distributed.initialize`.

    Raises:
      ConfigError: Where the launcher's variables do not say enough, or the processes cannot be joined.
    """
    given: dict[str, Any] = {}
    if group.how == "explicit":
        given = {
            "coordinator_address": group.coordinator,
            "num_processes": group.count,
            "process_id": group.number,
            "cluster_detection_method": "deactivate",
        }
    elif group.how == "off" or started_by() is None:
        return
    elif (wrong := fault()) is not None:
        raise ConfigError([wrong])
    try:
        initialize(**given, heartbeat_timeout_seconds=group.heartbeat_timeout)
    except (ValueError, RuntimeError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError([f"--distributed: the processes of this run cannot be joined: {what}"]) from error


def _number(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if _is_number(text) else 0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
