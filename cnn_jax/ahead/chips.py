"""Published peaks of accelerators."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """What one chip can do at most, as its maker publishes it.

    Attributes:
      name: of the generation or model.
      flops: of dense matrix products of bfloat16 with float32 sums, per second.
      bandwidth: of its memory, bytes per second.
      memory: bytes.
      matrix_unit: rows and columns of the systolic array; None where there is none.
      devices: of JAX on one chip; TPU v2 and v3 have two, each with half of everything.
      source: where the figures stand.
    """

    name: str
    flops: float
    bandwidth: float
    memory: int
    matrix_unit: int | None
    devices: int
    source: str


_TERA, _GIGA, _GIB = 1e12, 1e9, 2**30
_SUPERCOMPUTER = "Jouppi et al., A domain-specific supercomputer for training deep neural networks, 2020, table 3"
_CLOUD = "https://cloud.google.com/tpu/docs/"
_NVIDIA = "https://www.nvidia.com/en-us/data-center/"

TPUS = {
    chip.name: chip
    for chip in (
        Chip("v2", 46 * _TERA, 700 * _GIGA, 16 * _GIB, 128, 2, _SUPERCOMPUTER),
        Chip("v3", 123 * _TERA, 900 * _GIGA, 32 * _GIB, 128, 2, _SUPERCOMPUTER),
        Chip("v4", 275 * _TERA, 1228 * _GIGA, 32 * _GIB, 128, 1, _CLOUD + "v4"),
        Chip("v5e", 197 * _TERA, 819 * _GIGA, 16 * _GIB, 128, 1, _CLOUD + "v5e"),
        Chip("v5p", 459 * _TERA, 2765 * _GIGA, 95 * _GIB, 128, 1, _CLOUD + "v5p"),
        Chip("v6e", 918 * _TERA, 1640 * _GIGA, 32 * _GIB, 256, 1, _CLOUD + "v6e"),
    )
}

# By a part of the name that the driver gives; the first that fits counts.
GPUS = {
    "H200": Chip("H200", 989 * _TERA, 4800 * _GIGA, 141 * 10**9, None, 1, _NVIDIA + "h200"),
    "H100 80GB HBM3": Chip("H100 SXM", 989 * _TERA, 3350 * _GIGA, 80 * _GIB, None, 1, _NVIDIA + "h100"),
    "A100-SXM4-80GB": Chip("A100 80GB SXM", 312 * _TERA, 2039 * _GIGA, 80 * _GIB, None, 1, _NVIDIA + "a100"),
    "A100-SXM4-40GB": Chip("A100 40GB SXM", 312 * _TERA, 1555 * _GIGA, 40 * _GIB, None, 1, _NVIDIA + "a100"),
    "L4": Chip("L4", 121 * _TERA, 300 * _GIGA, 24 * _GIB, None, 1, _NVIDIA + "l4"),
}


def gpu(kind: str) -> Chip | None:
    """The published peaks of a GPU by the name that the driver gives; None where it is not in the table."""
    return next((chip for part, chip in GPUS.items() if part in kind), None)
