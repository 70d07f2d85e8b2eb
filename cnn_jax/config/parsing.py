"""Raw dictionaries into an Experiment, or every fault in them at once, each with the nearest fix."""

from __future__ import annotations

import os
import reprlib
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cnn_jax.config.experiment import Experiment
from cnn_jax.config.fields import default_variant, field_rows, section_of, type_text, variants_of, words_of
from cnn_jax.words import did_you_mean, nearest

Path = tuple[str | int, ...]
_DEEPEST = 16  # sections and tuples within one another; the legal ones are five at most


class ConfigError(Exception):
    """Faults of a config; `faults` has one message for each, naming its field."""

    def __init__(self, faults: list[str]):
        super().__init__("\n".join(faults))
        self.faults = faults


def parse(raw: Mapping[str, Any] | Experiment) -> Experiment:
    """Validates a whole experiment.

    Args:
      raw: Nested mappings of field names to values (lists and tuples are alike), or an Experiment.

    Returns:
      The frozen experiment, defaults filled in.

    Raises:
      ConfigError: with all faults: unknown fields, wrong types, illegal values, and impossible
        combinations of the fields that are sound.
    """
    if isinstance(raw, Experiment):
        return raw
    if not isinstance(raw, Mapping):
        raise ConfigError([f"config: got {_shown(raw)}, expected a dictionary of fields"])
    tree = _with_default_names(_normalise(raw))
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        faults = _faults(error, tree)
    dropped = set(faults)
    sound = _without(tree, dropped)
    messages = list(faults.values())
    try:
        Experiment.model_validate(sound)
    except ValidationError as error:
        for detail in error.errors():
            if detail["type"] == "impossible_combination":
                messages += [
                    message
                    for fields, message in detail["ctx"]["faults"]
                    if not any(_touches(field, path) for field in fields for path in dropped)
                ]
    raise ConfigError(list(dict.fromkeys(messages)))


def override(raw: Mapping[str, Any] | Experiment, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lays dotted overrides over a raw config; nothing is validated.

    Args:
      raw: Nested mappings, or an Experiment (its explicitly set fields are taken).
      overrides: Dotted field name to value, such as {"train.epochs": 5}.

    Returns:
      A new nested dictionary.

    Raises:
      ConfigError: where an override goes below something that is not a section.
    """
    tree = _normalise(raw.model_dump() if isinstance(raw, Experiment) else raw)
    faults = []
    for dotted, value in overrides.items():
        *sections, leaf = dotted.split(".")
        node = tree
        for depth, section in enumerate(sections):
            below = node.setdefault(section, {})
            if not isinstance(below, dict):
                faults.append(
                    f"config.{dotted}: config.{'.'.join(sections[: depth + 1])} is {_shown(below)}, which has no fields"
                )
                break
            node = below
        else:
            node[leaf] = _normalise(value, tuple(dotted.split(".")))
    if faults:
        raise ConfigError(faults)
    return tree


def plain(value: Any) -> Any:
    """Turns scalars and arrays of NumPy and JAX into Python's scalars and lists, exactly; other values stay.

    float32 becomes the float of the same value: float32(0.1) is 0.10000000149011612.
    """
    if not (hasattr(value, "dtype") and hasattr(value, "tolist")):
        return value
    found = value.tolist()
    if not hasattr(found, "dtype"):
        return found
    return float(found) if hasattr(found, "__float__") else value  # a longdouble gives itself


def changed_fields(old: Experiment, new: Experiment) -> list[str]:
    """Lists the fields in which two experiments differ.

    Returns:
      One line each: `config.train.epochs: 5 -> 10`, in the order of the fields.
    """
    before, after = dict(leaves(old.model_dump())), dict(leaves(new.model_dump()))
    absent = object()
    lines = []
    for path in {**before, **after}:
        was, now = before.get(path, absent), after.get(path, absent)
        if was != now:
            was_text, now_text = ("(absent)" if value is absent else repr(value) for value in (was, now))
            lines.append(f"config.{path}: {was_text} -> {now_text}")
    return lines


# --- from pydantic's errors to ours -------------------------------------------------------------------


def _faults(error: ValidationError, tree: dict[str, Any]) -> dict[Path, str]:
    """Gives one message for each faulty field, keyed by its path in the raw tree."""
    faults: dict[Path, str] = {}
    for detail in error.errors():
        if detail["type"] == "impossible_combination":
            for fields, message in detail["ctx"]["faults"]:
                faults[("combination", *fields)] = message
            continue
        model, path, field = _locate(detail["loc"], tree)
        faults.setdefault(path, _message(detail, model, path, field, tree))
    return faults


def _locate(loc: Path, tree: dict[str, Any]) -> tuple[type[BaseModel], Path, FieldInfo | None]:
    """Walks pydantic's location (with its union tags) down to the field that the user knows."""
    model: type[BaseModel] = Experiment
    path: Path = ()
    field: FieldInfo | None = None
    for part in loc:
        if part in variants_of(field) if field is not None else False:
            model, field = variants_of(field)[str(part)], None
            continue
        if field is not None:
            section = section_of(field)
            if section is None:
                break  # inside a value: the field is what the user knows
            model = section
        path = (*path, part)
        field = model.model_fields.get(str(part))
        if field is None:
            break
    return model, path, field


def _message(detail: Any, model: type[BaseModel], path: Path, field: FieldInfo | None, tree: dict[str, Any]) -> str:
    name = "config." + ".".join(map(str, path))
    if detail["type"] == "extra_forbidden":
        return f"{name}: unknown field" + _suggest_field(str(path[-1]), model, path[:-1])
    if detail["type"] == "missing":
        meaning = field.description if field else ""
        return f"{name}: required, and not given; expected {type_text(field)}: {meaning}"
    if field is not None and detail["type"].startswith("union_tag") and isinstance(detail["input"], dict):
        given = detail["input"]["name"]
        legal = ", ".join(variants_of(field))
        return f"{name}.name: got {_shown(given)}, expected one of: {legal}" + did_you_mean(given, variants_of(field))
    value = _value_at(tree, path)
    if detail["type"] == "unusable_text":
        return f"{name}: {detail['msg']}"
    return f"{name}: got {_shown(value)}, expected {type_text(field)}" + did_you_mean(value, words_of(field))


def _suggest_field(word: str, model: type[BaseModel], parents: Path) -> str:
    prefix = "".join(f"{part}." for part in ("config", *parents))
    here = nearest(word, model.model_fields)
    if here:
        return f"; did you mean {prefix}{here}?"
    rows = list(field_rows())
    mine = ".".join((*map(str, parents), word))
    owners = [row.variant for row in rows if row.path == mine]
    if owners:
        return f"; it belongs to {prefix}name={' or '.join(owners)}"
    elsewhere = sorted({row.path for row in rows if row.path.rsplit(".", 1)[-1] == word})
    if elsewhere:
        return f"; did you mean {' or '.join(f'config.{path}' for path in elsewhere)}?"
    return f"; {prefix[:-1]} has: {', '.join(model.model_fields)}"


def _shown(value: Any) -> str:
    text = reprlib.repr(value) if isinstance(value, (tuple, list, dict, set)) and len(value) > 60 else repr(value)
    if len(text) > 60:
        text = text[:57] + "..."
    return f"{text} ({type(value).__name__})"


def _touches(dotted: str, path: Path) -> bool:
    parts = tuple(dotted.split("."))
    names = tuple(map(str, path))
    shared = min(len(parts), len(names))
    return parts[:shared] == names[:shared]


# --- raw trees ----------------------------------------------------------------------------------------


def _normalise(value: Any, path: Path = ()) -> Any:
    """Makes lists tuples and mappings dictionaries, so that the strict models take either.

    Raises:
      ConfigError: Where a key is not text, a text holds a NUL character, or the nesting has no end.
    """
    name = ".".join(("config", *map(str, path)))
    if len(path) > _DEEPEST:
        raise ConfigError([f"{name}: nested more than {_DEEPEST} deep, or it contains itself"])
    value = plain(value)
    if isinstance(value, BaseModel):
        return _normalise(value.model_dump(exclude_unset=True), path)
    if isinstance(value, Mapping):
        if faults := [
            f"{name}: got the key {_shown(key)}, expected the name of a field"
            for key in value
            if not isinstance(key, str)
        ]:
            raise ConfigError(faults)
        return {key: _normalise(entry, (*path, key)) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_normalise(entry, (*path, number)) for number, entry in enumerate(value))
    if isinstance(value, str) and "\0" in value:
        raise ConfigError([f"{name}: got {_shown(value)}, expected text without NUL characters"])
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _with_default_names(tree: dict[str, Any]) -> dict[str, Any]:
    """Names the default alternative where a section is given without a `name`."""
    named = dict(tree)
    for key, field in Experiment.model_fields.items():
        if isinstance(named.get(key), dict) and variants_of(field) and "name" not in named[key]:
            named[key] = {"name": default_variant(field), **named[key]}
    return named


def _without(tree: dict[str, Any], paths: set[Path]) -> dict[str, Any]:
    def copy(node: Any, here: Path) -> Any:
        if not isinstance(node, dict):
            return node
        return {key: copy(entry, (*here, key)) for key, entry in node.items() if (*here, key) not in paths}

    return typing.cast("dict[str, Any]", copy(tree, ()))


def _value_at(tree: Any, path: Path) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Lists the values of a nested mapping with their dotted names, such as `train.epochs`."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
