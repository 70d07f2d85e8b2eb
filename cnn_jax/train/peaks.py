"""The most that accelerators can do, as their makers publish it."""

from __future__ import annotations

from typing import NamedTuple

from cnn_jax.config import Experiment


class Peak(NamedTuple):
    """Multiplications and additions per second of one JAX device, in tera; None where it has no such unit.

    Attributes:
      bfloat16: of bfloat16 numbers, summed in float32.
      tf32: of float32 numbers rounded to TF32.
      float32: of float32 numbers as they are.
    """

    bfloat16: float | None
    tf32: float | None
    float32: float | None


_A100, _H100, _V100 = Peak(312, 156, 19.5), Peak(989, 495, 67), Peak(None, None, 15.7)

# By `jax.Device.device_kind`, to the letter: where a name goes on, as of a laptop's card or a part of one,
# the peak is another. A device of TPU v2 and v3 is a core, half a chip. The figures are dense ones; NVIDIA's
# with sparsity are twice as high.
#
# Sources: Cloud TPU's pages of each version; NVIDIA's data sheets of V100, T4, A10, A100, L4, L40S, H100 and H200, and
# its white papers of the GA102 and Ada architectures for the GeForce cards.
_PEAKS = {
    "TPU v2": Peak(23, None, None),
    "TPU v3": Peak(61.5, None, None),
    "TPU v4": Peak(275, None, None),
    "TPU v5 lite": Peak(197, None, None),
    "TPU v5e": Peak(197, None, None),
    "TPU v5": Peak(459, None, None),
    "TPU v5p": Peak(459, None, None),
    "TPU v6 lite": Peak(918, None, None),
    "TPU v6e": Peak(918, None, None),
    "Tesla V100-SXM2-16GB": _V100,
    "Tesla V100-SXM2-32GB": _V100,
    "Tesla T4": Peak(None, None, 8.1),
    "NVIDIA A10": Peak(125, 62.5, 31.2),
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    "NVIDIA L4": Peak(121, 60, 30.3),
    "NVIDIA L40S": Peak(362, 183, 91.6),
    "NVIDIA H100 80GB HBM3": _H100,
    "NVIDIA H100 PCIe": Peak(756, 378, 51),
    "NVIDIA H100 NVL": Peak(835, 418, 60),
    "NVIDIA H200": _H100,
    "NVIDIA GeForce RTX 3090": Peak(71, 35.6, 35.6),
    "NVIDIA GeForce RTX 4090": Peak(165, 82.6, 82.6),
}
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
    known = _PEAKS.get(device_kind)
    if known is None:
        return None
    if experiment.model.compute == "bfloat16" or known.float32 is None:
        units = (known.bfloat16, known.tf32, known.float32)
    elif experiment.train.matmul_precision in _EXACT:
        units = (None, None, known.float32)
    else:
        units = (None, known.tf32, known.float32)
    return next((1e12 * unit for unit in units if unit is not None), None)
