"""Words of messages: the nearest of those that are known, and shapes. A leaf."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, words: Iterable[str], least: float = 0.6) -> str | None:
    """Finds the word most like another, without regard to case.

    Args:
      word: Word that is not known.
      words: Known words; the first counts where two differ in case alone.
      least: Least likeness, from 0 for any to 1 for equal words.

    Returns:
      One of the words, or None where nothing is near.
    """
    by_lower = {known.lower(): known for known in reversed(list(words))}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=least)
    return by_lower[found[0]] if found else None


def did_you_mean(word: object, words: Iterable[str], least: float = 0.6) -> str:
    """Suggests the nearest of some words, for the end of an error; empty where none is near, or `word` is no text."""
    found = nearest(word, words, least) if isinstance(word, str) else None
    return f"; did you mean {found!r}?" if found else ""


def unknown_layer(name: str, layers: Iterable[str]) -> str:
    """Writes the error for a layer that a network does not have, with the nearest and all names."""
    names = list(layers)
    return f"no layer {name!r}{did_you_mean(name, names, least=0.4) or ';'} The layers are: {', '.join(names)}"


def by(shape: Iterable[object]) -> str:
    """Writes a shape, such as 28x28x1."""
    return "x".join(map(str, shape))
