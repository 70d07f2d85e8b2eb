"""Ranges of config fields, and points drawn from them.

A range maps the unit interval to the values of a field, so that every sampler of the unit cube draws from every range.
Drawn floats have six significant digits: logarithms and powers differ between machines in the last bits, and a trial's
name is the hash of its values.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnn_jax.config.parsing import plain
from cnn_jax.sweep.space import Overrides

_DIGITS = 6  # significant ones of a drawn float
MOST_POINTS = 100_000


@dataclasses.dataclass(frozen=True)
class Floats:
    """Floats of an interval.

    Attributes:
      low, high: Ends of the interval; both are drawn.
      log: Whether the logarithm of the value is uniform, not the value.
    """

    low: float
    high: float
    log: bool

    def at(self, share: float) -> float:
        """Gives the value at a share of the range, from 0 to 1."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low * (1 - share) + high * share
        return self.rounded(math.exp(value) if self.log else value)

    def rounded(self, value: float) -> float:
        """Rounds a value as drawn ones are, inside the interval."""
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


@dataclasses.dataclass(frozen=True)
class Integers:
    """Integers of an interval.

    Attributes:
      low, high: The least and the greatest integer.
      log: Whether the logarithm of the value is uniform, not the value.
    """

    low: int
    high: int
    log: bool

    def at(self, share: float) -> int:
        """Gives the value at a share of the range, from 0 to 1."""
        if self.log:  # each integer has the part of the axis that is rounded to it
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            value = round(math.exp(low + share * (high - low)))
        else:
            value = self.low + math.floor(share * (self.high - self.low + 1))
        return min(max(value, self.low), self.high)


@dataclasses.dataclass(frozen=True)
class Choices:
    """Values without an order.

    Attributes:
      values: The values; a `Named` one has its name in tables.
    """

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """Gives the value at a share of the range, from 0 to 1."""
        return self.values[min(math.floor(share * len(self.values)), len(self.values) - 1)]


Range = Floats | Integers | Choices


def uniform(low: float, high: float) -> Floats:
    """Floats from `low` to `high`, each as probable as the others.

    Raises:
      ValueError: where the interval is empty or not finite.
    """
    return Floats(*_ends("uniform", low, high), log=False)


def log_uniform(low: float, high: float) -> Floats:
    """Floats from `low` to `high` whose logarithm is uniform, as for learning rates.

    Raises:
      ValueError: where the interval is empty, not finite, or begins at zero or below.
    """
    low, high = _ends("log_uniform", low, high)
    if low <= 0:
        raise ValueError(f"log_uniform({low:g}, {high:g}): the logarithm of {low:g} is not finite; begin above 0")
    return Floats(low, high, log=True)


def integers(low: int, high: int, log: bool = False) -> Integers:
    """Integers from `low` to `high`, both included.

    Args:
      low, high: The least and the greatest integer.
      log: Whether the logarithm is uniform, as for widths.

    Raises:
      ValueError: where the interval is empty, an end is no integer, or the logarithm of the lower one is not finite.
    """
    low, high, log = plain(low), plain(high), plain(log)
    if type(low) is not int or type(high) is not int or type(log) is not bool:
        raise ValueError(f"integers({low!r}, {high!r}, log={log!r}): expected two integers, and True or False")
    if low >= high:
        raise ValueError(f"integers({low}, {high}): the interval is empty; give the smaller number first")
    if log and low < 1:
        raise ValueError(f"integers({low}, {high}, log=True): the logarithm of {low} is not finite; begin at 1")
    return Integers(low, high, log)


def choice(values: Iterable[Any]) -> Choices:
    """Values without an order, each as probable as the others.

    Args:
      values: The values, sections and `Named` values among them.

    Raises:
      ValueError: where there are none, or a text in place of a list.
    """
    if isinstance(values, Mapping):
        raise ValueError(f"choice({values!r}): expected a list; write choice(list(...)) for the mapping's keys")
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"choice({values!r}): expected a list of values; write choice([{values!r}])")
    listed = tuple(plain(value) for value in values)
    if not listed:
        raise ValueError("choice([]): there is nothing to choose from")
    return Choices(listed)


def halton(space: Mapping[str, Range], n: int, seed: int = 0) -> list[Overrides]:
    """Draws points that cover the ranges evenly, however many there are: a scrambled Halton sequence.

    Args:
      space: Range of each field.
      n: Number of points; more of them begin with the same ones.
      seed: Seed of the scrambling.

    Returns:
      The points, as an ordinary list of overrides.

    Raises:
      ValueError: where a field has no range, or the number or the seed is out of bounds.

    Source: A. Owen, "A randomized Halton algorithm in R", arXiv:1706.02808 (2017).
    """
    _check("halton", space, n, seed)
    return at_shares(space, halton_shares(len(space), seed, 0, n))


def sobol(space: Mapping[str, Range], n: int, seed: int = 0) -> list[Overrides]:
    """Draws points that cover the ranges evenly where their number is a power of two: a scrambled Sobol' sequence.

    Args:
      space: Range of each field.
      n: Number of points, a power of two.
      seed: Seed of the scrambling.

    Returns:
      The points, as an ordinary list of overrides.

    Raises:
      ValueError: where a field has no range, or the number or the seed is out of bounds.

    Source: I. M. Sobol', "On the distribution of points in a cube", USSR Computational Mathematics 7 (1967).
    """
    _check("sobol", space, n, seed)
    power = int(n).bit_length() - 1
    if n != 2**power:
        raise ValueError(f"sobol: got n={n}, expected a power of two, such as {2**power} or {2 ** (power + 1)}")
    return at_shares(space, sobol_shares(len(space), seed, 0, n))


def halton_shares(dimensions: int, seed: int, first: int, count: int) -> list[list[float]]:
    """Draws a part of a scrambled Halton sequence, at a cost that does not grow with its place.

    Args:
      dimensions: Number of ranges.
      seed: Seed of the scrambling.
      first: Number of points before the part.
      count: Number of points in it.

    Returns:
      For each point a number from 0 to 1 for each range.
    """
    from scipy.stats import qmc  # a third of a second

    return qmc.Halton(dimensions, scramble=True, rng=seed).fast_forward(first).random(count).tolist()


def sobol_shares(dimensions: int, seed: int, first: int, count: int) -> list[list[float]]:
    """Draws a part of a scrambled Sobol' sequence; see `halton_shares`."""
    from scipy.stats import qmc

    power = (first + count - 1).bit_length()
    drawn = qmc.Sobol(dimensions, scramble=True, rng=seed).random_base2(power)  # of another number it warns
    return drawn[first : first + count].tolist()


def at_shares(space: Mapping[str, Range], shares: Sequence[Sequence[float]]) -> list[Overrides]:
    """Turns points of the unit cube into points of a space.

    Args:
      space: Range of each field.
      shares: For each point a number from 0 to 1 for each field.

    Returns:
      The points.
    """
    return [
        {field: values.at(share) for (field, values), share in zip(space.items(), point, strict=True)}
        for point in shares
    ]


def _check(draw: str, space: Mapping[str, Range], n: int, seed: int) -> None:
    """Checks a space, and the number and the seed of points to draw from it.

    Args:
      draw: Name of the function, for the message.
      space: Range of each field.
      n: Number of points.
      seed: Seed of the draw.

    Raises:
      ValueError: where any of them cannot be used.
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"{draw}: got the space {space!r}, expected a mapping of fields to ranges")
    for field, values in space.items():
        if not isinstance(field, str):
            raise ValueError(f"{draw}: got the field {field!r}, expected a dotted name")
        if not isinstance(values, Range):
            raise ValueError(
                f"{draw}: {field}: got {values!r}, expected uniform(...), log_uniform(...), integers(...), choice(...)"
            )
    for name, number, least, most in (("n", n, 1, MOST_POINTS), ("seed", seed, 0, 2**31 - 1)):
        if type(plain(number)) is not int or not least <= number <= most:
            raise ValueError(f"{draw}: got {name}={number!r}, expected an integer from {least} to {most:,}")


def _ends(name: str, low: float, high: float) -> tuple[float, float]:
    """Checks the ends of an interval of floats."""
    ends = [plain(end) for end in (low, high)]
    if any(type(end) not in (int, float) or not math.isfinite(end) for end in ends):
        raise ValueError(f"{name}({ends[0]!r}, {ends[1]!r}): expected two finite numbers")
    if ends[0] >= ends[1]:
        raise ValueError(f"{name}({ends[0]:g}, {ends[1]:g}): the interval is empty; give the smaller number first")
    return float(ends[0]), float(ends[1])
