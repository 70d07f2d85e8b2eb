"""Published peak performance of accelerators."""

from __future__ import annotations

import dataclasses

from cnn_jax.config import Experiment


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published peaks of one chip. FLOP/s are those of dense matrix products, None if the chip has no such unit.

    Attributes:
      name: Name of the generation or model.
      kinds: Exact values of `jax.Device.device_kind`; a longer name, such as a laptop GPU's or a MIG slice's, has
        another peak.
      bfloat16: FLOP/s of bfloat16 products with float32 sums.
      tf32: FLOP/s of float32 products rounded to TF32.
      float32: FLOP/s of full float32 products.
      bandwidth: Memory bandwidth in bytes per second.
      memory: Memory in bytes.
      matrix_unit: Rows and columns of the systolic array; None if there is none.
      devices: JAX devices on one chip; TPU v2 and v3 have two, each with half of everything.
      source: Source of the figures.
    """

    name: str
    kinds: tuple[str, ...]
    bfloat16: float | None
    tf32: float | None
    float32: float | None
    bandwidth: float
    memory: int
    matrix_unit: int | None
    devices: int
    source: str

    @property
    def flops(self) -> float:
        """FLOP/s of the narrowest supported type."""
        return next(peak for peak in (self.bfloat16, self.tf32, self.float32) if peak is not None)

    @property
    def narrowest(self) -> str:
        """Name of the type that `flops` refers to."""
        return "bfloat16" if self.bfloat16 is not None else "TF32" if self.tf32 is not None else "float32"


_EXACT = ("highest", "float32")
_TERA, _GIGA, _GIB = 1e12, 1e9, 2**30
_SUPERCOMPUTER = "Jouppi et al., A domain-specific supercomputer for training deep neural networks, 2020, table 3"
_CLOUD = "https://cloud.google.com/tpu/docs/"
_SHEET, _ADA, _GA102 = "NVIDIA's data sheet", "NVIDIA's white paper of Ada", "NVIDIA's white paper of GA102"


# More than seven parameters: one for each column of the table below.
def _tpu(
    name: str, kinds: tuple[str, ...], tera: float, giga: float, gib: int, side: int, devices: int, source: str
) -> Chip:
    return Chip(name, kinds, tera * _TERA, None, None, giga * _GIGA, gib * _GIB, side, devices, source)


def _gpu(
    kind: str, tera: tuple[float | None, float | None, float | None], giga: float, gib: int, source: str = _SHEET
) -> Chip:
    bfloat16, tf32, float32 = (None if each is None else each * _TERA for each in tera)
    return Chip(kind, (kind,), bfloat16, tf32, float32, giga * _GIGA, gib * _GIB, None, 1, source)


TPUS = {
    chip.name: chip
    for chip in (
        _tpu("v2", ("TPU v2",), 46, 700, 16, 128, 2, _SUPERCOMPUTER),
        _tpu("v3", ("TPU v3",), 123, 900, 32, 128, 2, _SUPERCOMPUTER),
        _tpu("v4", ("TPU v4",), 275, 1228, 32, 128, 1, _CLOUD + "v4"),
        _tpu("v5e", ("TPU v5 lite", "TPU v5e"), 197, 819, 16, 128, 1, _CLOUD + "v5e"),
        _tpu("v5p", ("TPU v5", "TPU v5p"), 459, 2765, 95, 128, 1, _CLOUD + "v5p"),
        _tpu("v6e", ("TPU v6 lite", "TPU v6e"), 918, 1640, 32, 256, 1, _CLOUD + "v6e"),
    )
}

# Without sparsity, for which NVIDIA's figures are twice as high.
_H100, _A100, _V100 = (989, 495, 67), (312, 156, 19.5), (None, None, 15.7)
_GPUS = (
    _gpu("Tesla V100-SXM2-16GB", _V100, 900, 16),
    _gpu("Tesla V100-SXM2-32GB", _V100, 900, 32),
    _gpu("Tesla T4", (None, None, 8.1), 320, 16),
    _gpu("NVIDIA A10", (125, 62.5, 31.2), 600, 24),
    _gpu("NVIDIA A100-SXM4-40GB", _A100, 1555, 40),
    _gpu("NVIDIA A100-SXM4-80GB", _A100, 2039, 80),
    _gpu("NVIDIA A100-PCIE-40GB", _A100, 1555, 40),
    _gpu("NVIDIA A100 80GB PCIe", _A100, 1935, 80),
    _gpu("NVIDIA L4", (121, 60, 30.3), 300, 24),
    _gpu("NVIDIA L40S", (362, 183, 91.6), 864, 48),
    _gpu("NVIDIA H100 80GB HBM3", _H100, 3350, 80),
    _gpu("NVIDIA H100 PCIe", (756, 378, 51), 2000, 80),
    _gpu("NVIDIA H100 NVL", (835, 418, 60), 3900, 94),
    _gpu("NVIDIA H200", _H100, 4800, 141),
    _gpu("NVIDIA GeForce RTX 3090", (71, 35.6, 35.6), 936, 24, _GA102),
    _gpu("NVIDIA GeForce RTX 4090", (165, 82.6, 82.6), 1008, 24, _ADA),
)
_OF_KIND = {kind: chip for chip in (*TPUS.values(), *_GPUS) for kind in chip.kinds}


def of_kind(kind: str) -> Chip | None:
    """Returns the chip with a `jax.Device.device_kind`; None if it is not in the table, like all CPUs."""
    return _OF_KIND.get(kind)


def arithmetic_fault(experiment: Experiment, device_kind: str) -> str | None:
    """Returns an error if a device lacks arithmetic for the config's type, where XLA would silently use float32.

    Args:
      experiment: The resolved config.
      device_kind: The device's `jax.Device.device_kind`.

    Returns:
      The message; None if the device has the arithmetic or is not in the table.
    """
    chip = of_kind(device_kind)
    if chip is None or chip.bfloat16 is not None or experiment.model.compute != "bfloat16":
        return None
    return f"config.model.compute=bfloat16: {device_kind} has no bfloat16 arithmetic; use config.model.compute=float32"


def peak(experiment: Experiment, device_kind: str) -> float | None:
    """Returns the peak FLOP/s of one device in the arithmetic of an experiment's products.

    The arithmetic is bfloat16 for a bfloat16 network, and on TPUs, which compute all products from bfloat16 values.
    Otherwise it is TF32, JAX's default on GPUs that have it, or float32 if `train.matmul_precision` asks for it. A chip
    without the unit uses the next more precise one.

    Args:
      experiment: The resolved config.
      device_kind: The device's `jax.Device.device_kind`.

    Returns:
      FLOP/s; None for a device that is not in the table, like all CPUs.
    """
    chip = of_kind(device_kind)
    if chip is None:
        return None
    if experiment.model.compute == "bfloat16" or chip.float32 is None:
        units = (chip.bfloat16, chip.tf32, chip.float32)
    elif experiment.train.matmul_precision in _EXACT:
        units = (None, None, chip.float32)
    else:
        units = (None, chip.tf32, chip.float32)
    return next((unit / chip.devices for unit in units if unit is not None), None)
