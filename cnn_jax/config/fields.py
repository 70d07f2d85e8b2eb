"""The config's fields in words: names, types, ranges, defaults and meanings, read off their declarations."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cnn_jax.config.experiment import Experiment

_LENGTHS = {"min_length": "least", "max_length": "most"}


class FieldRow(NamedTuple):
    """One leaf of the config, as `--help` lists it.

    Attributes:
      path: Dotted name, from the Experiment down.
      variant: The names of the alternatives it belongs to; empty where it belongs to all.
      type: The legal values, in words.
      default: Value if it is not given; "required" where it must be.
      meaning: The description.
    """

    path: str
    variant: str
    type: str
    default: str
    meaning: str


def field_rows() -> list[FieldRow]:
    """Lists every field of every alternative, with type, default and meaning."""
    return list(_rows(Experiment, "", ""))


def _rows(model: type[BaseModel], prefix: str, variant: str) -> Iterator[FieldRow]:
    for name, field in model.model_fields.items():
        section, variants = section_of(field), variants_of(field)
        if variants:
            default = default_variant(field)
            meaning = f"{field.description}: " + "; ".join(
                f"{key}: {option.model_fields['name'].description}" for key, option in variants.items()
            )
            yield FieldRow(f"{prefix}{name}.name", "", " | ".join(variants), repr(default), meaning)
            yield from _variant_rows(variants, f"{prefix}{name}.")
        elif section is not None:
            yield from _rows(section, f"{prefix}{name}.", "")
        else:
            default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
            yield FieldRow(f"{prefix}{name}", variant, type_text(field), default, field.description or "")


def _variant_rows(variants: Mapping[str, type[BaseModel]], prefix: str) -> Iterator[FieldRow]:
    """The alternatives' fields, each once: those that several share carry all their names."""
    owners: dict[FieldRow, list[str]] = {}
    for key, option in variants.items():
        for row in _rows(option, prefix, ""):
            if not row.path.endswith(".name"):
                owners.setdefault(row, []).append(key)
    for row, keys in owners.items():
        yield row if len(keys) == len(variants) else row._replace(variant=", ".join(keys))


def default_variant(field: FieldInfo) -> str:
    """Gives the `name` of a discriminated field's default alternative."""
    return str(field.get_default(call_default_factory=True).name)


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Gives the model of a field that is a section; None for other fields."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def variants_of(field: FieldInfo | None) -> dict[str, type[BaseModel]]:
    """Gives the alternatives of a discriminated field by their `name`; empty for other fields."""
    if field is None or field.discriminator is None:
        return {}
    return {option.model_fields["name"].default: option for option in typing.get_args(field.annotation)}


def words_of(field: FieldInfo | None) -> set[str]:
    """Gives the legal words of a field, wherever in its type they stand."""

    def collect(annotation: Any) -> Iterator[str]:
        if typing.get_origin(annotation) is typing.Literal:
            yield from (word for word in typing.get_args(annotation) if isinstance(word, str))
        else:
            for part in typing.get_args(annotation):
                yield from collect(part)

    return set(collect(field.annotation)) if field is not None else set()


def type_text(field: FieldInfo | None) -> str:
    """Describes the legal values of a field in words."""
    if field is None:
        return "another value"
    if variants_of(field):
        return f"a section with the name {' | '.join(variants_of(field))}"
    return _annotation_text(field.annotation, field.metadata)


def _annotation_text(annotation: Any, metadata: typing.Iterable[Any] = ()) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        inner, *extra = args
        return _annotation_text(inner, [*extra, *metadata])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a section of: {', '.join(annotation.model_fields)}"
    if origin is typing.Literal:
        return " | ".join(map(str, args))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(_annotation_text(arg) for arg in args))
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            lengths, inside = _bounds(metadata), _annotation_text(args[0])
            limits = [f"at {word} {lengths[end]}" for end, word in _LENGTHS.items() if end in lengths]
            return f"({inside}, ...)" + f" of {' and '.join(limits)}" * bool(limits)
        return f"({', '.join(_annotation_text(arg) for arg in args)})"
    if annotation is type(None):
        return "none"
    words = {int: "integer", float: "number", bool: "true | false", str: "text"}
    text = words.get(annotation, getattr(annotation, "__name__", str(annotation)))
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [f"{signs[name]} {limit}" for name, limit in _bounds(metadata).items() if name in signs]
    return " ".join([text, " and ".join(limits)]).strip()


def _bounds(metadata: typing.Iterable[Any]) -> dict[str, Any]:
    """The limits in an annotation's metadata, pydantic's own grouping opened."""
    bounds: dict[str, Any] = {}
    for entry in metadata:
        if isinstance(entry, FieldInfo):
            bounds |= _bounds(entry.metadata)
        elif isinstance(entry, annotated_types.BaseMetadata) and not isinstance(entry, annotated_types.GroupedMetadata):
            bounds |= {
                name: getattr(entry, name) for name in ("gt", "ge", "lt", "le", *_LENGTHS) if hasattr(entry, name)
            }
    return bounds
