"""Permutation importance of the searched fields, with a random forest and cross-validation."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold

from cnn_jax.sweep.points import point_key

FEWEST = 20  # minimum number of points
LEAST_EXPLAINED = 0.1  # minimum R^2 for which importances are reported
_MOST = 2000  # maximum number of points; evenly spaced ones are used if there are more
_TREES, _FOLDS, _SHUFFLES = 60, 5, 5


@dataclasses.dataclass(frozen=True)
class Importance:
    """Importance of the searched fields.

    Attributes:
      n: Number of points.
      explained: R^2 of the forest on the ranks of held-out points; None if there are too few points or all scores are
        equal.
      fields: For each field, the mean decrease of `explained` when its values are shuffled among held-out points, and
        the standard deviation over the shuffles. Empty if `explained` is too small.
    """

    n: int
    explained: float | None
    fields: tuple[tuple[float, float], ...]


def importance(values: Sequence[Sequence[Any]], ordered: Sequence[bool], scores: Sequence[float]) -> Importance:
    """Measures permutation importance on held-out points, by five-fold cross-validation of a random forest.

    The forest predicts ranks instead of scores, so that a few very bad points do not dominate.

    Args:
      values: Values of each point, one for each field.
      ordered: Whether a field's values are numbers of an interval, for each field; choices are one-hot encoded.
      scores: Scores of the points.

    Returns:
      The importance, which is deterministic.

    Source: L. Breiman, "Random forests", Machine Learning 45 (2001).
    """
    n = len(scores)
    ranks = stats.rankdata(scores)  # ties get their mean rank
    if n < FEWEST or ranks.std() == 0:
        return Importance(n, None, ())
    chosen = np.linspace(0, n - 1, min(n, _MOST)).round().astype(int)
    columns = [_columns([values[index][side] for index in chosen], kind) for side, kind in enumerate(ordered)]
    features, target = np.hstack(columns), ranks[chosen]
    ends = np.cumsum([0, *(each.shape[1] for each in columns)])
    rng = np.random.default_rng(0)
    residual = 0.0
    losses = np.zeros((_SHUFFLES, len(columns)))
    for train, held_out in KFold(_FOLDS, shuffle=True, random_state=0).split(features):
        forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=0)
        forest.fit(features[train], target[train])
        error = ((forest.predict(features[held_out]) - target[held_out]) ** 2).sum()
        residual += float(error)
        for field, (start, end) in enumerate(itertools.pairwise(ends)):
            moved = np.stack([features[held_out]] * _SHUFFLES)
            for each in moved:
                each[:, start:end] = each[rng.permutation(len(each)), start:end]
            predicted = forest.predict(moved.reshape(-1, moved.shape[-1])).reshape(_SHUFFLES, -1)
            losses[:, field] += ((predicted - target[held_out]) ** 2).sum(axis=1) - error
    total = float(((target - target.mean()) ** 2).sum())
    explained = 1 - residual / total
    if explained < LEAST_EXPLAINED:
        return Importance(n, explained, ())
    losses /= total
    means, spreads = losses.mean(axis=0).tolist(), losses.std(axis=0, ddof=1).tolist()
    return Importance(n, explained, tuple(zip(means, spreads, strict=True)))


def _columns(values: Sequence[Any], ordered: bool) -> Float[np.ndarray, "n k"]:
    """Encodes a field's values: one column of numbers, or one-hot columns for choices."""
    if ordered:
        return np.array([[float(value)] for value in values])
    keys = [point_key([value]) for value in values]
    return np.array([[float(each == own) for each in dict.fromkeys(keys)] for own in keys])
