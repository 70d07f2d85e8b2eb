"""Compilation results of one step, compared with the chip's peaks, and advice if the step does not fit."""

from __future__ import annotations

import dataclasses
import re

from cnn_jax.aot.compiler import Outcome
from cnn_jax.aot.job import Answer, Compiled, OutOfMemory, Program
from cnn_jax.aot.roofline import Roofline
from cnn_jax.chips import Chip
from cnn_jax.config import Experiment

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_USED = (
    re.compile(r"Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm"),
    re.compile(r"required for HLO temporaries \(([\d.]+)([KMGT])\) exceeds available HBM \(([\d.]+)([KMGT])\)"),
)


@dataclasses.dataclass(frozen=True)
class Step:
    """One step compiled for one topology.

    Attributes:
      program: "train" or "eval".
      outcome: Outcome of the compilation.
      chip: Published peaks; None if unknown.
      batch_per_chip: Images per chip; None if the compiling process died.
      memory_share: Fraction of the chip's memory; None if unknown.
      roofline: Roofline estimate; None without a program or without peaks.
    """

    program: Program
    outcome: Outcome
    chip: Chip | None
    batch_per_chip: int | None
    memory_share: float | None
    roofline: Roofline | None

    @property
    def fits(self) -> bool:
        """Whether the step compiled and fits into memory."""
        return isinstance(self.outcome.answer, Compiled) and (self.memory_share is None or self.memory_share <= 1)


def device_memory(answer: Compiled, chip: Chip | None) -> int | None:
    """Returns a device's memory in bytes, as reported by the device or as published; None if unknown."""
    if answer.device_memory is not None:
        return answer.device_memory
    return None if chip is None else chip.memory // chip.devices


def memory_share(answer: Answer, chip: Chip | None) -> float | None:
    """Returns the fraction of a chip's memory that a step takes, above 1 if it does not fit; None if unknown."""
    if isinstance(answer, Compiled):
        memory = device_memory(answer, chip)
        return None if memory is None else answer.memory.total / memory
    if isinstance(answer, OutOfMemory):
        for found in filter(None, (pattern.search(answer.message) for pattern in _USED)):
            used, used_unit, limit, limit_unit = found.groups()
            return float(used) * _UNITS[used_unit] / (float(limit) * _UNITS[limit_unit])
    return None


def advice(step: Step, experiment: Experiment) -> tuple[str, ...]:
    """Returns suggestions for a step that does not fit, the most promising first.

    Args:
      step: The compiled step.
      experiment: The resolved config.

    Returns:
      One sentence per suggestion; none if the step fits, or was not compiled at all.
    """
    batch = step.batch_per_chip
    if step.fits or batch is None:
        return ()
    sentences = []
    if step.memory_share is not None and step.memory_share > 1 and batch > 1:
        smaller = max(1, int(batch / step.memory_share) // 8 * 8)
        sentences.append(f"--batch_per_chip={smaller}, by proportion; --largest_batch finds the largest that fits")
    elif batch > 1:
        sentences.append(f"--batch_per_chip={batch // 2}; --largest_batch finds the largest that fits")
    sentences.append("more chips for the same config.train.batch_size, which is divided among them")
    if experiment.model.compute == "float32":
        sentences.append("config.model.compute=bfloat16, which halves the memory of the maps kept for the gradients")
    return tuple(sentences)
