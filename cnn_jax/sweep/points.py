"""A point of a sweep, that is one value for every varied field: its key, and how people read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOT_SET = "not set"


def value_text(value: Any) -> str:
    """A config value as people read it: text as it is, everything else as compact JSON."""
    if value is None:
        return NOT_SET
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def key(values: Iterable[Any]) -> str:
    """Gives a text that differs for different values, lists among them: "2" is not 2."""
    return json.dumps(list(values), separators=(",", ":"))


def values_at(point: Mapping[str, Any], fields: Sequence[str]) -> tuple[Any, ...]:
    """The values of some fields, None where the point sets none."""
    return tuple(point.get(field) for field in fields)


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """The last word of each dotted field, or the whole where two fields end alike."""
    last = [field.rpartition(".")[2] for field in fields]
    return {field: word if last.count(word) == 1 else field for field, word in zip(fields, last, strict=True)}


def name(fields: Sequence[str], values: Sequence[Any]) -> str:
    """A point in one line, as "padding=SAME, strides=2", without what it does not set.

    Of a sweep over seeds alone it is "all trials", of a point that sets nothing "nothing set".
    """
    short = short_names(fields)
    pairs = zip(fields, values, strict=True)
    told = ", ".join(f"{short[field]}={value_text(value)}" for field, value in pairs if value is not None)
    return told or ("nothing set" if fields else "all trials")
