"""Figures of a run that depend on its machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnn_jax import chips
from cnn_jax.config import Experiment
from cnn_jax.run import host_memory
from cnn_jax.run.records import Percentiles, Performance


def performance(
    experiment: Experiment,
    training_flop: int,
    images_per_second: float,
    step_seconds: Percentiles | None,
    devices: Sequence[Any],
    device_count: int,
) -> Performance:
    """Describes what a run made of its machine.

    Args:
      experiment: The resolved config.
      training_flop: FLOP of one training image.
      images_per_second: Training speed over all devices.
      step_seconds: Percentiles of a step's time.
      devices: JAX's devices of this process.
      device_count: Number of devices of all processes.
    """
    of_one = chips.peak(experiment, devices[0].device_kind)
    of_all = None if of_one is None else of_one * device_count
    in_use = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in devices]
    return Performance(
        step_seconds=step_seconds,
        training_flop=training_flop,
        peak_flops=of_all,
        mfu=None if of_all is None else training_flop * images_per_second / of_all,
        device_peak_bytes=max((number for number in in_use if number is not None), default=None),
        process_peak_bytes=host_memory.process_peak_bytes(),
    )
