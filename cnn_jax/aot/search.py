"""Searches for the largest batch that fits, with few compilations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Tried:
    """One batch that was compiled.

    Attributes:
      batch: Images per chip.
      fits: Whether the step fits into the chip's memory.
      share: Fraction of the chip's memory, above 1 if it does not fit; None if unknown.
    """

    batch: int
    fits: bool
    share: float | None


def largest(attempt: Callable[[int], Tried], start: int, unit: int) -> tuple[Tried, ...]:
    """Finds the largest batch that fits.

    Memory is nearly linear in the batch, so each guess extrapolates the line through the two batches nearest to the
    limit. Every third guess bisects instead, in case the line is misleading.

    Args:
      attempt: Compiles a step for a number of images per chip.
      start: First batch to try, a multiple of `unit`.
      unit: Resolution of the result, in images.

    Returns:
      All batches tried, in increasing order; the first that does not fit follows the largest that does.
    """
    tried: dict[int, Tried] = {}
    guess = start
    while guess not in tried:
        tried[guess] = attempt(guess)
        fitting = [one for one in tried.values() if one.fits]
        beyond = [one for one in tried.values() if not one.fits]
        low = max((one.batch for one in fitting), default=0)
        high = min((one.batch for one in beyond), default=None)
        if high is not None and high - low <= unit:
            break
        guess = _next(sorted(tried.values(), key=lambda one: one.batch), low, high, unit, len(tried))
    return tuple(tried[batch] for batch in sorted(tried))


def _next(tried: list[Tried], low: int, high: int | None, unit: int, attempts: int) -> int:
    """Returns the next batch to try, a multiple of the unit between the bounds."""
    guess = _on_the_line(tried)
    if high is None:
        return max(low + unit, min(guess or 2 * low, 8 * low) // unit * unit)
    if guess is None or attempts % 3 == 0:
        guess = (low + high) // 2
    return max(low + unit, min(guess // unit * unit, high - unit))


def _on_the_line(tried: list[Tried]) -> int | None:
    """Extrapolates the memory of the two batches nearest to the limit to the batch that reaches it."""
    known = sorted((abs(one.share - 1), one.batch, one.share) for one in tried if one.share is not None)
    if not known:
        return None
    _, batch, share = known[0]
    slope = share / batch
    if len(known) > 1:
        _, other, others_share = known[1]
        slope = (share - others_share) / (batch - other)
    return int(batch + (1 - share) / slope) if slope > 0 else None
