"""Brackets of a search: how many trials train to which epochs, and which of them train on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from cnn_jax.sweep.search.declaration import Hyperband, Search


class Bracket(NamedTuple):
    """A batch of trials and its rungs.

    Attributes:
      sizes: Number of trials that train to each rung, falling.
      epochs: Epochs of each rung, rising; the last is the full length.
    """

    sizes: tuple[int, ...]
    epochs: tuple[int, ...]

    @property
    def cost(self) -> int:
        """Epochs that all its trials train together, at most."""
        steps = itertools.pairwise((0, *self.epochs))
        return sum(size * (end - start) for size, (start, end) in zip(self.sizes, steps, strict=True))


def rungs(epochs: int, eta: int, min_epochs: int) -> tuple[int, ...]:
    """Epochs of the rungs: the full length divided by eta again and again, rounded down.

    Args:
      epochs: Full length.
      eta: Ratio of neighbouring rungs, at least 2.
      min_epochs: Least epochs of a rung.

    Returns:
      The epochs, rising.
    """
    found = [epochs]
    while found[0] // eta >= min_epochs:
        found.insert(0, found[0] // eta)
    return tuple(found)


def brackets(search: Search, epochs: int) -> tuple[Bracket, ...]:
    """Divides the trials of a search into brackets.

    Args:
      search: The search, which is sound.
      epochs: Epochs of a trial of the full length.

    Returns:
      The brackets in the order in which they run; the last one has the trials that are left.
    """
    stopping = search.stopping
    whole = (epochs,) if stopping is None else rungs(epochs, stopping.eta, stopping.min_epochs)
    eta = 2 if stopping is None else stopping.eta
    found: list[Bracket] = []
    left = search.trials
    while left:
        size, own = search.batch_size, whole
        if isinstance(stopping, Hyperband):
            most = len(whole) - 1
            halvings = most - len(found) % len(whole)
            size = -(-(most + 1) * eta**halvings // (halvings + 1))
            own = whole[most - halvings :]
        size = min(size, left)
        left -= size
        found.append(Bracket(tuple(max(1, size // eta**rung) for rung in range(len(own))), own))
    return tuple(found)


def promoted(gains: Mapping[int, float | None], count: int) -> list[int]:
    """Chooses the trials that train on.

    Args:
      gains: For each trial's number a value of which more is better; None where it has failed.
      count: Number of trials that may train on.

    Returns:
      Numbers of the best, of equals the earlier ones, in rising order; fewer where so many have failed.
    """
    ranked = sorted((-gain, number) for number, gain in gains.items() if gain is not None)
    return sorted(number for _, number in ranked[:count])
