"""Formats messages: nearest known words, and shapes. Imports nothing of the package."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, words: Iterable[str], least: float = 0.6) -> str | None:
    """Finds the known word most similar to a word, ignoring case.

    Args:
      word: Unknown word.
      words: Known words; if two differ only in case, the first one is used.
      least: Least similarity, from 0 (any word) to 1 (equal words).

    Returns:
      One of the words, or None if none is similar enough.
    """
    by_lower = {known.lower(): known for known in reversed(list(words))}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=least)
    return by_lower[found[0]] if found else None


def did_you_mean(word: object, words: Iterable[str], least: float = 0.6) -> str:
    """Suggests the nearest word for the end of an error message; empty if there is none or `word` is not a string."""
    found = nearest(word, words, least) if isinstance(word, str) else None
    return f"; did you mean {found!r}?" if found else ""


def unknown_layer(name: str, layers: Iterable[str]) -> str:
    """Returns the message for an unknown layer, with the nearest and all names."""
    names = list(layers)
    return f"no layer {name!r}{did_you_mean(name, names, least=0.4) or ';'} The layers are: {', '.join(names)}"


def by(shape: Iterable[object]) -> str:
    """Formats a shape, such as 28x28x1."""
    return "x".join(map(str, shape))
