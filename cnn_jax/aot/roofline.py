"""How long a program takes at the least, by its arithmetic and its traffic with the memory."""

from __future__ import annotations

import dataclasses

from cnn_jax.chips import Chip


@dataclasses.dataclass(frozen=True)
class Roofline:
    """An estimate of one step on one chip: no program is faster, most are slower.

    Communication between chips is not in it.

    Attributes:
      seconds: Time of the step, in seconds.
      bound: Limit that sets the time: "memory" or "arithmetic".
      images_per_second: Images per second on one chip.
      utilisation: Share of the chip's peak that goes into the network's own multiply-adds.
    """

    seconds: float
    bound: str
    images_per_second: float
    utilisation: float


def estimate(
    chip: Chip, flops: float, traffic: float, model_flops: float, images: int, peak: float | None = None
) -> Roofline:
    """Puts a program under a chip's roof.

    Args:
      chip: Published peaks.
      flops: Floating-point operations that the program computes on one chip.
      traffic: Bytes that it moves to and from one chip's memory.
      model_flops: Two for each multiply-add of the network, whatever the program does.
      images: Images per step on one chip.
      peak: FLOP/s of the chip in the program's arithmetic; defaults to that of the narrowest numbers.

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
