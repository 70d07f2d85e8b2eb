"""A point of a sweep (one value for each varied field): its key and its label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOT_SET = "not set"


def value_text(value: Any) -> str:
    """Text of a config value: strings as they are, everything else as compact JSON."""
    if value is None:
        return NOT_SET
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def point_key(values: Iterable[Any]) -> str:
    """Hashable key of a point's values, which may be lists; the text "2" and the number 2 have different keys."""
    return json.dumps(list(values), separators=(",", ":"))


def values_at(point: Mapping[str, Any], fields: Sequence[str]) -> tuple[Any, ...]:
    """Values of fields at a point; None for fields that it does not set."""
    return tuple(point.get(field) for field in fields)


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Last part of each dotted field; the whole field if two end alike."""
    last = [field.rpartition(".")[2] for field in fields]
    return {field: word if last.count(word) == 1 else field for field, word in zip(fields, last, strict=True)}


def point_label(fields: Sequence[str], values: Sequence[Any]) -> str:
    """Label of a point in one line, such as "padding=SAME, strides=2", without unset fields.

    A point that sets nothing is "nothing set"; the single point of a sweep over seeds is "all trials".
    """
    short = short_names(fields)
    pairs = zip(fields, values, strict=True)
    text = ", ".join(f"{short[field]}={value_text(value)}" for field, value in pairs if value is not None)
    return text or ("nothing set" if fields else "all trials")
