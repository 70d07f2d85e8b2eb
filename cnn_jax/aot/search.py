"""The largest batch that fits, in few compilations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Tried:
    """One batch that was compiled.

    Attributes:
      batch: Images of one chip.
      fits: Whether the chip's memory holds the step.
      share: Fraction of the chip's memory, above 1 where it does not fit; None where the compiler does not say.
    """

    batch: int
    fits: bool
    share: float | None


def largest(attempt: Callable[[int], Tried], start: int, unit: int) -> tuple[Tried, ...]:
    """Closes in on the largest batch that fits.

    Memory grows nearly in proportion to the batch, so that each guess is where the line through the last ones meets
    the limit; every third is the middle, should the line lead astray.

    Args:
      attempt: Compiles a step for so many images a chip.
      start: The first batch, a multiple of the unit.
      unit: Images: the result is exact to it.

    Returns:
      All that was tried, by batch: the last one that fits, and after it the first that does not.
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
    """A multiple of the unit between what fits and what does not."""
    guess = _on_the_line(tried)
    if high is None:
        return max(low + unit, min(guess or 2 * low, 8 * low) // unit * unit)
    if guess is None or attempts % 3 == 0:
        guess = (low + high) // 2
    return max(low + unit, min(guess // unit * unit, high - unit))


def _on_the_line(tried: list[Tried]) -> int | None:
    """Where the memory of the two batches nearest to the limit says that it is reached."""
    known = sorted((abs(one.share - 1), one.batch, one.share) for one in tried if one.share is not None)
    if not known:
        return None
    _, batch, share = known[0]
    slope = share / batch
    if len(known) > 1:
        _, other, others_share = known[1]
        slope = (share - others_share) / (batch - other)
    return int(batch + (1 - share) / slope) if slope > 0 else None
