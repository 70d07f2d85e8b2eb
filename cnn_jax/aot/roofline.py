"""Roofline model: a lower bound on a program's time from its arithmetic and its memory traffic."""

from __future__ import annotations

import dataclasses

from cnn_jax.chips import Chip


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Lower bound on the time of one step on one chip, without communication between chips.

    Attributes:
      seconds: Time of the step, in seconds.
      bound: Resource that limits the time: "memory" or "arithmetic".
      images_per_second: Images per second on one chip.
      utilisation: Fraction of the chip's peak that the network's own multiply-adds use.
    """

    seconds: float
    bound: str
    images_per_second: float
    utilisation: float


def estimate(
    chip: Chip, flops: float, traffic: float, model_flops: float, images: int, peak: float | None = None
) -> Roofline:
    """Estimates the time of a program on a chip.

    Args:
      chip: Published peaks.
      flops: Floating-point operations of the program on one chip.
      traffic: Bytes moved to and from one chip's memory.
      model_flops: Two per multiply-add of the network, independent of the program.
      images: Images per step on one chip.
      peak: FLOP/s of the chip in the program's arithmetic; None is that of the narrowest type.

    Returns:
      The estimate.

    Source: Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
    architectures", 2009; for the utilisation Chowdhery et al., "PaLM", 2022, appendix B.
    """
    peak = chip.flops if peak is None else peak
    arithmetic, memory = flops / peak, traffic / chip.bandwidth
    seconds = max(arithmetic, memory)
    bound = "memory" if memory >= arithmetic else "arithmetic"
    return Roofline(seconds, bound, images / seconds, model_flops / (seconds * peak))
