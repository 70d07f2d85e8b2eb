"""Samplers of a search: the next batch as a pure function of the search and the outcomes of earlier batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.sweep import ranges
from cnn_jax.sweep.search.declaration import Search


class Observation(NamedTuple):
    """Outcome of a point of an earlier batch, given to the sampler.

    Attributes:
      batch: Number of its batch, from 0.
      values: Value of each field.
      gains: Metric by epoch of the rung, negated where less is better.
      usable: Whether a network can be built and trained at the point.
      finished: Whether it was trained to the end.
    """

    batch: int
    values: Mapping[str, Any]
    gains: Mapping[int, float]
    usable: bool
    finished: bool


def suggest(search: Search, batch: int, count: int, observations: Sequence[Observation]) -> list[dict[str, Any]]:
    """Draws a batch of points.

    Args:
      search: The search.
      batch: Number of the batch, from 0.
      count: Number of points.
      observations: Outcomes of all points of earlier batches, in their order.

    Returns:
      The points.
    """
    first = len(observations)
    if search.sampler == "random":
        shares = np.random.default_rng([search.seed, batch]).random((count, len(search.space)))
        return ranges.at_shares(search.space, shares.tolist())
    if search.sampler in ("halton", "sobol"):
        draw = ranges.halton_shares if search.sampler == "halton" else ranges.sobol_shares
        return ranges.at_shares(search.space, draw(len(search.space), search.seed, first, count))
    from cnn_jax.sweep.search import optuna_samplers

    return optuna_samplers.suggest(search, batch, count, observations)
