"""Statistics over trials: means and intervals, differences from a baseline, and the Pareto front."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from cnn_jax.run import metrics
from cnn_jax.run.columns import FieldColumn, columns_of
from cnn_jax.run.records import Result
from cnn_jax.sweep.points import point_key, values_at
from cnn_jax.sweep.rows import Row, columns

LEVEL = 0.95  # of the intervals
SIGNIFICANCE = 0.05
_ROUNDING = 1e-12  # differences closer than this, relative to what was measured, are equal


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean and how sure it is.

    Attributes:
      n: Values.
      mean: Their mean; None where there are none.
      std: Standard deviation, with n - 1; None below two values.
      low, high: Ends of the 95 % t-interval of the mean; None below two values.
    """

    n: int
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Group:
    """Trials that share the values of some fields.

    Attributes:
      values: Values of those fields.
      estimate: Estimate of the metric, over the finished trials.
      n_failed, n_infeasible: Trials that gave nothing, and will not.
      n_unfinished: Trials that wait, run, were stopped, or are paused at a rung of a search.
    """

    values: tuple[Any, ...]
    estimate: Estimate
    n_failed: int
    n_infeasible: int
    n_unfinished: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """A point's metric minus the baseline's, seed by seed.

    Attributes:
      values: Values of the varied fields.
      estimate: Estimate of the difference; n is the number of seeds that finished on both sides.
      n_unpaired: Seeds that finished on one side only, and do not count.
      p_value: Two-sided, of the paired t-test; None below two pairs, and where all differences are equal, since
        without a variance there is nothing to judge by.
      p_holm: Adjusted for all the points that are compared.
      significant: Whether p_holm is below 5 %; None without a p-value.
    """

    values: tuple[Any, ...]
    estimate: Estimate
    n_unpaired: int
    p_value: float | None
    p_holm: float | None
    significant: bool | None


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, standard deviation and 95 % t-interval.

    Args:
      values: Independent measurements of one quantity.

    Returns:
      The estimate; the interval is mean -+ t(0.975; n - 1) * std / sqrt(n).

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).
    """
    n = len(values)
    if n == 0:
        return Estimate(0)
    mean = float(np.mean(values))
    if n == 1:
        return Estimate(1, mean)
    std = float(np.std(values, ddof=1))
    reach = _quantile(n - 1) * std / n**0.5
    return Estimate(n, mean, std, mean - reach, mean + reach)


@functools.cache  # a sweep has thousands of estimates of few sizes
def _quantile(degrees: int) -> float:
    """The quantile of Student's t that bounds the intervals."""
    return float(stats.t.ppf((1 + LEVEL) / 2, degrees))


def grouped(rows: Sequence[Row], fields: Sequence[str], metric: str = metrics.PRIMARY.column) -> list[Group]:
    """A metric over all trials that share the values of some fields.

    With all varied fields these are the statistics of each point over its seeds; with one field its main effect,
    over all values of the others; with two the table behind a heat map. Every trial counts once, so where points are
    missing, the values of one field are compared over different values of the others.

    Args:
      rows: Rows of all trials.
      fields: Dotted names; none puts all trials into one group.
      metric: Name of one of the columns that `figures` lists.

    Returns:
      A group for each combination of values that the sweep has, in the order of the rows.

    Raises:
      ValueError: where the metric is unknown.
    """
    _check(metric)
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(point_key(values_at(row.point, fields)), []).append(row)
    groups = []
    for group in members.values():
        counts = Counter(row.status for row in group)
        groups.append(
            Group(
                values=values_at(group[0].point, fields),
                estimate=estimate([value for row in group if (value := measured(row, metric)) is not None]),
                n_failed=counts["failed"],
                n_infeasible=counts["infeasible"],
                n_unfinished=sum(counts[each] for each in ("waiting", "running", "stopped", "paused")),
            )
        )
    return groups


def differences(
    rows: Sequence[Row],
    fields: Sequence[str],
    baseline: Mapping[str, Any] | None,
    metric: str = metrics.PRIMARY.column,
) -> list[Difference]:
    """Compares every point with the baseline, by trials of the same seed.

    Args:
      rows: Rows of all trials.
      fields: All that vary.
      baseline: A point.
      metric: Name of one of the columns that `figures` lists.

    Returns:
      A difference for each point but the baseline, in the order of the rows; none where there is no baseline or
      it is no point of the sweep.

    Raises:
      ValueError: where the metric is unknown.
    """
    _check(metric)
    if baseline is None:
        return []
    values: dict[str, tuple[Any, ...]] = {}
    by_seed: dict[str, dict[int, float]] = {}
    for row in rows:
        at = values_at(row.point, fields)
        values[point_key(at)] = at
        seeds = by_seed.setdefault(point_key(at), {})
        if (value := measured(row, metric)) is not None:
            seeds[row.seed] = value  # once a point: a trial is its config, and the config is the point and the seed
    reference = by_seed.pop(point_key(values_at(baseline, fields)), None)
    if reference is None:
        return []
    compared = [(values[point], _paired(seeds, reference)) for point, seeds in by_seed.items()]
    adjusted = iter(holm([p for _, (_, _, p) in compared if p is not None]))
    found = []
    for at, (difference, unpaired, p_value) in compared:
        p_holm = None if p_value is None else next(adjusted)
        significant = None if p_holm is None else p_holm < SIGNIFICANCE
        found.append(Difference(at, difference, unpaired, p_value, p_holm, significant))
    return found


def _paired(seeds: Mapping[int, float], reference: Mapping[int, float]) -> tuple[Estimate, int, float | None]:
    """The estimate of the difference, the seeds on one side only, and the p-value of the paired t-test."""
    shared = sorted(seeds.keys() & reference.keys())
    difference = estimate([seeds[seed] - reference[seed] for seed in shared])
    unpaired = len(seeds.keys() ^ reference.keys())
    if difference.mean is None or difference.std is None:
        return difference, unpaired, None
    size = max(max(abs(seeds[seed]), abs(reference[seed])) for seed in shared)
    if difference.std <= _ROUNDING * size:
        return difference, unpaired, None
    t = difference.mean / (difference.std / difference.n**0.5)
    return difference, unpaired, float(2 * stats.t.sf(abs(t), difference.n - 1))


def sign_test(changes: Sequence[float]) -> float | None:
    """Tests whether differences lie to one side of zero more often than a fair coin would have it.

    Args:
      changes: Differences of pairs.

    Returns:
      The two-sided exact p-value, of the differences that are not zero; None where there are none.

    Source: W. J. Dixon, A. M. Mood, "The statistical sign test", Journal of the American Statistical Association 41
      (1946).
    """
    positive, negative = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    if positive + negative == 0:
        return None
    return float(stats.binomtest(positive, positive + negative).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values so that the chance of any false rejection among them stays below the level.

    Args:
      p_values: P-values of all tests of the family.

    Returns:
      The adjusted values, in the same order: of the i-th smallest of m, the largest of (m - j + 1) * p_j over
      j <= i, and at most 1.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
      (1979).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[int]:
    """Finds the items that no other dominates, at no higher cost and no lower gain, one of the two strictly better.

    Args:
      costs: Less is better.
      gains: More is better; of the same length.

    Returns:
      Indices, the cheapest first; equals are all on the front, or none is.

    Raises:
      ValueError: where the lengths differ.
    """
    pairs = list(zip(costs, gains, strict=True))
    front: list[int] = []
    best, best_cost = -math.inf, -math.inf  # of the front so far
    for index in sorted(range(len(pairs)), key=lambda place: (pairs[place][0], -pairs[place][1])):
        cost, gain = pairs[index]
        if gain > best or (gain == best and cost == best_cost):
            front.append(index)
            best, best_cost = gain, cost
    return front


def measured(row: Row, metric: str) -> float | None:
    """Reads a metric of a finished trial; None for others: what a failed run left behind does not count."""
    return row.values[metric] if row.status == "done" else None


def figures() -> tuple[FieldColumn, ...]:
    """Lists the columns of a sweep's table that have statistics: figures of the result, and of the network."""
    of_result = {each.column.name for each in columns_of(Result)}
    return tuple(
        each
        for each in columns()
        if each.type in (int, float) and (each.column.name in of_result or "points" in each.column.shown_in)
    )


def averaged() -> tuple[FieldColumn, ...]:
    """Lists the columns whose means over a point's trials stand beside the primary metric's statistics."""
    return tuple(
        each for each in figures() if "points" in each.column.shown_in and each.column.name != metrics.PRIMARY.column
    )


def _check(metric: str) -> None:
    known = [each.column.name for each in figures()]
    if metric not in known:
        raise ValueError(f"metric={metric!r}: expected one of {', '.join(known)}")
