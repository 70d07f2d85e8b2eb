"""Config fields that take text, and their values on the command line, where 2024, true and [a] are text too."""

from __future__ import annotations

import ast
import types
import typing
import warnings
from typing import Any, Literal

from pydantic import BaseModel

from cnn_jax.config.experiment import Experiment
from cnn_jax.config.fields import section_of, variants_of

Kind = Literal["text", "texts"]


def kind_of(field: str) -> tuple[Kind, bool] | None:
    """Tells whether a config field takes text.

    Args:
      field: Dotted name, such as "data.train_dir".

    Returns:
      ("text" or, for a tuple of texts, "texts"; whether the field may also be none); None where the field takes other
      values, or there is no such field.
    """
    *sections, leaf = field.split(".")
    models: list[type[BaseModel]] = [Experiment]
    for section in sections:
        fields = [model.model_fields[section] for model in models if section in model.model_fields]
        models = [below for field in fields for below in variants_of(field).values() or [section_of(field)] if below]
    annotations = [model.model_fields[leaf].annotation for model in models if leaf in model.model_fields]
    kinds = {_kind(annotation) for annotation in annotations}
    return kinds.pop() if len(kinds) == 1 else None


def read(text: str, kind: Kind, nullable: bool) -> Any:
    """Reads the value of a field that takes text.

    Args:
      text: As the command line has it. Quotes around a text are Python's, and left off: 'none' is a text.
      kind: "text", or "texts" for a tuple of them: (a, b), [a, b] or a,b.
      nullable: Whether none and null, in any case, are no text but None.

    Returns:
      The text, the tuple of texts, or None; other text where a tuple is malformed.
    """
    if nullable and text.lower() in ("none", "null"):
        return None
    tree = _tree(text)
    if kind == "text":
        return tree.value if isinstance(tree, ast.Constant) and isinstance(tree.value, str) else text
    if isinstance(tree, (ast.Tuple, ast.List)):
        return tuple(_element(text, entry) for entry in tree.elts)
    inner = text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text
    if tree is None and not set(inner) & set("'\"()[]"):
        return tuple(word.strip() for word in inner.split(",") if word.strip())
    return text


def _kind(annotation: Any) -> tuple[Kind, bool] | None:
    options = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = list(typing.get_args(annotation))
    kinds: set[Kind | None] = {_bare_kind(option) for option in options if option is not type(None)}
    found = kinds.pop() if len(kinds) == 1 else None
    return None if found is None else (found, type(None) in options)


def _bare_kind(annotation: Any) -> Kind | None:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if annotation is str:
        return "text"
    if typing.get_origin(annotation) is tuple and typing.get_args(annotation)[1:] == (Ellipsis,):
        return "texts" if _bare_kind(typing.get_args(annotation)[0]) == "text" else None
    return None


def _tree(text: str) -> ast.expr | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about 1is or "\\d": text need be no good Python
        try:
            return ast.parse(text, mode="eval").body
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None


def _element(text: str, entry: ast.expr) -> str:
    """An element of a tuple: a quoted text without its quotes, anything else as it is written."""
    if isinstance(entry, ast.Constant) and isinstance(entry.value, str):
        return entry.value
    return ast.get_source_segment(text, entry) or ""
