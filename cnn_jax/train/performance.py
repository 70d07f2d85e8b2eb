"""What a run made of its machine: speed, memory, the share of the devices' peak."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from cnn_jax.config import Experiment
from cnn_jax.train.peaks import peak


def performance(
    experiment: Experiment, training_flop: int, images_per_second: float, step_seconds: Mapping[str, float] | None
) -> dict[str, Any]:
    """The content of result.json that depends on the machine, besides the times of the whole run.

    Args:
      experiment: the resolved config.
      training_flop: of one training image.
      images_per_second: of training, over all devices.
      step_seconds: percentiles of a step's time, as `Dispatches.step_seconds` gives them.

    Returns:
      step_seconds as given; training_flop; peak_flops, of all devices together, and peak_share, what the training
      made of it, both None where a device's peak is not known; device_peak_bytes, the most that the allocator of this
      process's fullest device has held, None where the platform does not tell, as a CPU does not; process_peak_bytes,
      the most memory of the host that this process has held.
    """
    of_one = peak(experiment, jax.devices()[0].device_kind)
    of_all = None if of_one is None else of_one * jax.device_count()
    held = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.local_devices()]
    return {
        "step_seconds": step_seconds,
        "training_flop": training_flop,
        "peak_flops": of_all,
        "peak_share": None if of_all is None else training_flop * images_per_second / of_all,
        "device_peak_bytes": max((number for number in held if number is not None), default=None),
        "process_peak_bytes": _process_peak(),
    }


def _process_peak() -> int:
    """The most bytes of memory that this process has held so far.

    On Linux ru_maxrss would do, but begins with the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
