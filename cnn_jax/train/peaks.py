"""The peak of a device in the arithmetic that a run's products are done in."""

from __future__ import annotations

from cnn_jax import chips
from cnn_jax.config import Experiment

_EXACT = ("highest", "float32")


def peak(experiment: Experiment, device_kind: str) -> float | None:
    """The peak of one device in the arithmetic that an experiment's products are done in.

    That is bfloat16 for a network computed in it, and on TPUs, which make all products of bfloat16's. Else it is
    TF32, JAX's own choice on a GPU that has it, or float32 where `train.matmul_precision` asks for it. What has no such
    unit takes the next more exact one.

    Args:
      experiment: the resolved config.
      device_kind: as JAX names the device.

    Returns:
      FLOP/s; None for a device that is not in the table, as a CPU never is.
    """
    chip = chips.of_kind(device_kind)
    if chip is None:
        return None
    if experiment.model.compute == "bfloat16" or chip.float32 is None:
        units = (chip.bfloat16, chip.tf32, chip.float32)
    elif experiment.train.matmul_precision in _EXACT:
        units = (None, None, chip.float32)
    else:
        units = (None, chip.tf32, chip.float32)
    return next((unit / chip.devices for unit in units if unit is not None), None)
