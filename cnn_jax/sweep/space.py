"""The points of a sweep: lists of overrides, combined by small functions.

An override is a mapping of dotted config fields to values, as `--config.FIELD=VALUE` would set them; a section may
be replaced whole, `{"model": {"name": "lenet5"}}`, before fields in it are set. A space is a list of overrides. Every
function gives a new list in a fixed order, and none sets a field twice.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cnn_jax.config.parsing import plain

Overrides = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Named:
    """A value with a name for tables and plots, such as a whole section.

    Attributes:
      name: Name in the tables.
      value: Value of the field.
    """

    name: str
    value: Any

    def __post_init__(self) -> None:
        if not isinstance(plain(self.name), (str, int, float)):
            raise ValueError(f"Named({self.name!r}, ...): expected a text or a number as its name")


Space = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Result of `get_sweep()` where a list of overrides does not say enough.

    Attributes:
      trials: The overrides of every trial.
      description: Question of the sweep, for the report.
      baseline: Field values of the point that the others are compared with; none compares with no point.
      skip_infeasible: Points that no network can be built at (maps that collapse) stay in the table, marked; else
        they are refused before anything starts.
    """

    trials: Space
    description: str = ""
    baseline: Mapping[str, Any] | None = None
    skip_infeasible: bool = False


def product(*spaces: Space | Mapping[str, Iterable[Any]]) -> list[Overrides]:
    """Combines every point of each space with every point of the others; the last changes fastest.

    Args:
      spaces: Lists of overrides, or mappings of fields to the values that each takes.

    Returns:
      The points, as many as the spaces' sizes multiplied.

    Raises:
      ValueError: where two spaces set the same field.
    """
    return [_overlaid(points) for points in itertools.product(*(axis for space in spaces for axis in _axes(space)))]


def zip_(*spaces: Space | Mapping[str, Iterable[Any]]) -> list[Overrides]:
    """Combines the first points of all spaces, the second points, and so on.

    Args:
      spaces: Lists of overrides, or mappings of fields to the values that each takes.

    Returns:
      The points, as many as each space has.

    Raises:
      ValueError: where the spaces have different lengths, or set the same field.
    """
    axes = [axis for space in spaces for axis in _axes(space)]
    if len({len(axis) for axis in axes}) > 1:
        lengths = ", ".join(f"{_fields(axis)}: {len(axis)}" for axis in axes)
        raise ValueError(f"zip_: the spaces have different lengths ({lengths}); give each as many points")
    return [_overlaid(points) for points in zip(*axes, strict=True)]


def chain(*spaces: Space | Mapping[str, Iterable[Any]]) -> list[Overrides]:
    """Puts the points of all spaces one after another.

    Args:
      spaces: Lists of overrides, or mappings (each as `product` reads it).

    Returns:
      The points, as many as the spaces' sizes added.
    """
    return [point for space in spaces for point in product(space)]


def repeat_seeds(count: int, first: int = 0) -> list[Overrides]:
    """Makes the space of seeds, which a product with other spaces runs each of their points with.

    Args:
      count: Number of seeds.
      first: The first seed; the others follow it.

    Returns:
      One point for each seed.

    Raises:
      ValueError: where there would be no seed, or a negative one.
    """
    if count < 1 or first < 0:
        raise ValueError(f"repeat_seeds: got count={count}, first={first}; expected count >= 1 and first >= 0")
    return [{"seed": seed} for seed in range(first, first + count)]


def assign(
    space: Space, values: Mapping[str, Any], where: Callable[[Overrides], bool] | None = None
) -> list[Overrides]:
    """Sets fields that depend on others.

    Args:
      space: The points.
      values: Field to value, or to a function of the point's overrides that gives the value.
      where: Points that get them; None for all.

    Returns:
      All points, some with more fields.

    Raises:
      ValueError: where a point sets one of the fields already.
    """
    changed = []
    for point in map(dict, space):
        if where is None or where(point):
            new = {name: value(point) if callable(value) else value for name, value in values.items()}
            point = _overlaid((point, new))
        changed.append(point)
    return changed


def keep(space: Space, where: Callable[[Overrides], bool]) -> list[Overrides]:
    """The points of a space for which `where` holds, in their order."""
    return [point for point in map(dict, space) if where(point)]


def _axes(space: Space | Mapping[str, Iterable[Any]]) -> list[list[Overrides]]:
    """A list of overrides is one axis; a mapping has one for each field."""
    if not isinstance(space, Mapping):
        points = list(space)
        if faulty := [point for point in points if not isinstance(point, Mapping)]:
            raise ValueError(f"a point of a space is a mapping of fields to values; got {faulty[0]!r}")
        return [[dict(point) for point in points]]
    axes = []
    for field, values in space.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(f"{field}: got {values!r}, expected the list of its values; write {field!r}: [{values!r}]")
        axes.append([{field: value} for value in values])
    return axes


def _overlaid(points: Sequence[Mapping[str, Any]]) -> Overrides:
    merged: Overrides = {}
    for point in points:
        for field, value in point.items():
            if owner := next((known for known in merged if known == field or known.startswith(f"{field}.")), None):
                also = "" if owner == field else f", which holds {owner},"
                raise ValueError(f"{field}{also} is set twice: by {merged[owner]!r} and by {value!r}")
            merged[field] = value
    return merged


def _fields(axis: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(field for point in axis for field in point))
