"""Parses values of config fields on the command line."""

from __future__ import annotations

import ast
import warnings
from typing import Any

from cnn_jax.config import text_fields

_WORDS = {"true": True, "false": False, "none": None, "null": None}


def field_value(field: str, text: str) -> Any:
    """Parses the value of a config field: as text if the field takes text, else by `parse_value`."""
    kind = text_fields.kind_of(field)
    return parse_value(text) if kind is None else text_fields.read(text, *kind)


def parse_value(text: str) -> Any:
    """Parses the value of an override.

    Args:
      text: A Python literal, in which words need no quotes, such as (SAME, 1); true, false or none in any case; or
        any other text.

    Returns:
      The literal, or the text itself.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text, mode="eval")
        if not isinstance(tree.body, ast.Name):
            return ast.literal_eval(_Quoted().visit(tree))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        pass  # not a literal, or one that Python cannot parse: unhashable keys, thousands of signs or brackets
    return text


class _Quoted(ast.NodeTransformer):
    """Converts the bare words of a literal to strings."""

    def visit_Name(self, node: ast.Name) -> ast.Constant:
        return ast.Constant(_WORDS.get(node.id.lower(), node.id))
