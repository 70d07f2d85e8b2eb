"""Names of the links to trials' TensorBoard events: a different one for every trial, legal on every file system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from cnn_jax.plain_text import valid_unicode

_LONGEST = 200  # bytes; file systems allow 255


def link_names(trials: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Chooses the names.

    Args:
      trials: The id of each trial, and its overrides in words.

    Returns:
      A name for each id: the words, with the id where they are too long or another trial has the same.
    """
    words = {trial: _legal(text) for trial, text in trials}
    # File systems that ignore case have one file for both.
    counts = Counter(text.casefold() for text in words.values())
    return {
        trial: text if counts[text.casefold()] == 1 and _size(text) <= _LONGEST else _with_id(text, trial)
        for trial, text in words.items()
    }


def _legal(text: str) -> str:
    return "".join("_" if mark == "/" or not mark.isprintable() else mark for mark in valid_unicode(text))


def _with_id(text: str, trial: str) -> str:
    room = _LONGEST - _size(trial) - 3
    return f"{text.encode()[:room].decode(errors='ignore')}~{trial}"


def _size(text: str) -> int:
    return len(text.encode())
