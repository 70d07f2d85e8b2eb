"""Parses --topology, the accelerators to compile for, without JAX."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path

from cnn_jax import chips
from cnn_jax.chips import TPUS, Chip
from cnn_jax.config.parsing import ConfigError
from cnn_jax.words import by, nearest

_EXAMPLES = "v5e:4x4, v4:4x4x4, v3:4x4, v5e:1x1, h100, h100:8, cpu or gpu"
_MOST_HOST_DEVICES = 1024
_MOST_GPUS = 8  # per host
_GPU_DESCRIPTIONS = Path(__file__).parent / "gpus"
GPUS = {
    "a100": "NVIDIA A100-SXM4-80GB",
    "h100": "NVIDIA H100 80GB HBM3",
    "h200": "NVIDIA H200",
    "l4": "NVIDIA L4",
    "t4": "Tesla T4",
}  # device kinds, as `chips.of_kind` takes them

Shape = tuple[int, ...]

_PLANES: dict[str, tuple[Shape, ...]] = {
    "v2": ((1, 1), (2, 2), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)),
    "v3": ((1, 1), (2, 2), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32)),
    "v5e": ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)),
    "v6e": ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)),
}
_PARTS_OF_A_CUBE: tuple[Shape, ...] = ((1, 1, 1), (2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
_MOST_OF_CUBES = {"v4": 4096, "v5p": 6144}  # most chips of a slice, which consists of cubes of 4x4x4
_LONGEST = {"v4": 16, "v5p": 24}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Accelerators to compile for.

    Attributes:
      text: Value of --topology.
      platform: JAX's platform: "tpu", "cpu" or "gpu".
      shape: Chips along each side of a TPU slice; (number of devices,) for "cpu" and named GPUs; empty for "gpu", all
        attached GPUs.
      chip: Published peaks; None if unknown, or known only from the attached devices.
    """

    text: str
    platform: str
    shape: Shape
    chip: Chip | None

    @property
    def chips(self) -> int:
        """Number of chips; 0 for "gpu"."""
        return math.prod(self.shape) if self.shape else 0

    @property
    def gpu_description(self) -> Path | None:
        """File that describes a named GPU to XLA; None for other devices."""
        name = self.text.partition(":")[0]
        return _GPU_DESCRIPTIONS / f"{name}.txtpb" if name in GPUS else None


def parse(text: str) -> Topology:
    """Parses a topology.

    Args:
      text: GENERATION:SIDExSIDE for a TPU slice, with a third side for v4 and v5p; "cpu", or "cpu:8" for 8 devices that
        share the host; "gpu" for the attached GPUs; a member of GPUS, or "h100:8" for 8 GPUs of one host.

    Returns:
      The topology.

    Raises:
      ConfigError: If it is not a topology; the message names the nearest one.
    """
    name, _, size = text.partition(":")
    if name == "cpu":
        count = size or "1"
        if not count.isdecimal() or not 1 <= int(count) <= _MOST_HOST_DEVICES:
            raise ConfigError(
                [f"--topology: got {text!r}, expected cpu, or cpu:N with N from 1 to {_MOST_HOST_DEVICES}"]
            )
        return Topology(text, "cpu", (int(count),), None)
    if name == "gpu":
        if size:
            raise ConfigError([f"--topology: got {text!r}; gpu takes all GPUs of this machine: --topology=gpu"])
        return Topology(text, "gpu", (), None)
    if name in GPUS:
        count = size or "1"
        if not count.isdecimal() or not 1 <= int(count) <= _MOST_GPUS or text.endswith(":"):
            raise ConfigError(
                [f"--topology: got {text!r}, expected {name}, or {name}:N with N from 1 to {_MOST_GPUS} GPUs"]
            )
        return Topology(text, "gpu", (int(count),), chips.of_kind(GPUS[name]))
    if name not in TPUS:
        near = nearest(name, [*TPUS, *GPUS, "cpu", "gpu"], least=0.5)
        hint = f"did you mean {near + (':' + size if size and near in TPUS else '')!r}?" if near else ""
        raise ConfigError(
            [
                f"--topology: got {text!r}, expected one of {', '.join(TPUS)} with its sides, or {', '.join(GPUS)}, "
                f"such as {_EXAMPLES}; {hint}"
            ]
        )
    shape = tuple(map(int, size.split("x"))) if re.fullmatch(r"\d+(x\d+)*", size) else ()
    if shape not in set(_legal(name)):
        legal = ", ".join(f"{name}:{by(near)}" for near in _nearest(name, shape))
        raise ConfigError([f"--topology: got {text!r}, which is no slice of {name}; the nearest are {legal}"])
    return Topology(text, "tpu", shape, TPUS[name])


def _legal(generation: str) -> Iterator[Shape]:
    """Yields the shapes of a generation's slices.

    Source: https://cloud.google.com/tpu/docs/supported-tpu-configurations
    """
    if generation in _PLANES:
        yield from _PLANES[generation]
        return
    yield from _PARTS_OF_A_CUBE
    sides = range(4, _LONGEST[generation] + 1, 4)
    for shape in itertools.combinations_with_replacement(sides, 3):
        if math.prod(shape) <= _MOST_OF_CUBES[generation]:
            yield shape


def _nearest(generation: str, shape: Shape) -> list[Shape]:
    """Returns the two legal slices with the nearest number of chips, then with the nearest sides."""
    chips = math.prod(shape) or 1
    folded = sorted(shape)

    def distance(legal: Shape) -> tuple[float, int]:
        sides = itertools.zip_longest(sorted(legal), folded, fillvalue=1)
        return abs(math.log(math.prod(legal) / chips)), sum(abs(mine - theirs) for mine, theirs in sides)

    return sorted(_legal(generation), key=distance)[:2]
