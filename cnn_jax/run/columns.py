"""Columns of a sweep's table, declared at the fields of the records that hold their values."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from cnn_jax.run import metrics

Place = Literal["trials", "points"]


@dataclasses.dataclass(frozen=True)
class Column:
    """Annotation of a record's field that becomes a column of a sweep's table.

    Attributes:
      name: Name in table.csv and table.parquet.
      heading: Heading in the sweep's report, with the unit in parentheses.
      form: Format of a value in the report; empty for the default of its type.
      scale: Factor that a number is multiplied by in the report: 100 for shares shown in percent.
      shown_in: Tables of the report that have the column: "trials", and "points" with the mean over a point's trials.
        A column of "points" is a column of points.csv too.
      axis: Label of the axis where accuracy is plotted against the column; empty if it is not plotted.
      text: Function that turns the field's value into the column's text; None if the value is stored unchanged.
    """

    name: str
    heading: str = ""
    form: str = ""
    scale: float = 1.0
    shown_in: tuple[Place, ...] = ("trials",)
    axis: str = ""
    text: Callable[[Any], str | None] | None = None

    def shown(self, value: Any) -> str:
        """Formats a value for the report; empty for None."""
        if value is None:
            return ""
        if isinstance(value, str):
            return (self.form or "{}").format(value)
        scaled = value if self.scale == 1 else value * self.scale  # whole numbers stay whole
        return (self.form or "{:,}").format(scaled)


class MetricColumns:
    """Annotation of a field that maps the names of all declared metrics to values: each becomes a column."""


@dataclasses.dataclass(frozen=True)
class FieldColumn:
    """A column and the place of its values in a record.

    Attributes:
      column: The declaration.
      type: Type of the values: str, int or float.
      path: Names of the fields, from the record inwards, that lead to the value.
    """

    column: Column
    type: type
    path: tuple[str, ...]

    def value(self, record: Any) -> Any:
        """Reads the column's value from a record; None if it is not known."""
        for name in self.path:
            if record is None:
                return None
            record = record.get(name) if isinstance(record, Mapping) else getattr(record, name)
        return self.column.text(record) if self.column.text is not None and record is not None else record


def columns_of(record: type) -> tuple[FieldColumn, ...]:
    """Finds the columns that a record declares.

    Args:
      record: A pydantic model or a pydantic dataclass.

    Returns:
      One column for each annotated field, those of nested records included, in the order of the fields.
    """
    return _columns(record, metrics.METRICS)


@functools.cache
def _columns(record: type, declared: tuple[metrics.Metric, ...]) -> tuple[FieldColumn, ...]:
    return tuple(_walk(record, (), declared))


def of_metric(metric: metrics.Metric) -> Column:
    """Declares the column of a metric's test value."""
    places: tuple[Place, ...] = tuple(place for place in ("trials", "points") if place in metric.shown_in)
    return Column(metric.column, metric.label, metric.form, metric.scale, shown_in=places)


def _walk(record: type, path: tuple[str, ...], declared: tuple[metrics.Metric, ...]) -> Iterator[FieldColumn]:
    fields: Mapping[str, Any] = record.__pydantic_fields__  # type: ignore[attr-defined]
    for name, field in fields.items():
        here = (*path, name)
        for mark in field.metadata:
            if isinstance(mark, Column):
                yield FieldColumn(mark, str if mark.text is not None else _bare(field.annotation), here)
            elif isinstance(mark, MetricColumns):
                for metric in declared:
                    yield FieldColumn(of_metric(metric), float, (*here, metric.name))
        if hasattr(kind := _bare(field.annotation), "__pydantic_fields__"):
            yield from _walk(kind, here, declared)


def _bare(annotation: Any) -> Any:
    """Removes None and pydantic's constraints from a type."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        first, *others = (part for part in typing.get_args(annotation) if part is not type(None))
        return Any if others else _bare(first)
    if typing.get_origin(annotation) is Literal:
        return str
    return annotation
