"""Random orders of the examples of a stream, one for each epoch."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Int, Int32

_ORDER = 0  # what the draw is for: the second entry of the generator's seed
MIXED = 16  # groups whose examples are shuffled together


@functools.lru_cache(maxsize=2)  # which all batches of an epoch share, and threads are in two where one ends
def shuffled(seed: int, epoch: int, examples: int) -> Int32[np.ndarray, " n"]:
    """Shuffles all examples.

    Args:
      seed: Seed of the experiment.
      epoch: Number of the epoch, from 0.
      examples: Number of examples.
    """
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(np.arange(examples, dtype=np.int32))


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """Groups that the examples of a stream are read in; equal where both arrays are the same objects.

    Attributes:
      of_all: Number of the group of every example of the source, rising.
      numbers: Numbers of the examples that are in the stream; None for all.
    """

    of_all: Int[np.ndarray, " n"]
    numbers: Int[np.ndarray, " m"] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Groups) and self.of_all is other.of_all and self.numbers is other.numbers

    def __hash__(self) -> int:
        return hash((id(self.of_all), id(self.numbers)))


@functools.lru_cache(maxsize=2)
def shuffled_in_groups(seed: int, epoch: int, groups: Groups) -> Int32[np.ndarray, " n"]:
    """Shuffles the groups, and then the examples of so many groups (MIXED) that follow each other.

    Examples that are read together thus stay near each other.

    Args:
      seed: Seed of the experiment.
      epoch: Number of the epoch, from 0.
      groups: Groups of the examples.

    Returns:
      Places of the examples in the stream.
    """
    rng = np.random.default_rng((seed, _ORDER, epoch))
    of_each = groups.of_all if groups.numbers is None else groups.of_all[groups.numbers]
    starts = np.flatnonzero(np.diff(of_each)) + 1
    members = np.split(np.arange(len(of_each), dtype=np.int32), starts)
    drawn = [members[number] for number in rng.permutation(len(members))]
    mixed = [np.concatenate(drawn[start : start + MIXED]) for start in range(0, len(drawn), MIXED)]
    return np.concatenate([rng.permutation(each) for each in mixed])
