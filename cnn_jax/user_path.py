"""Paths in flags and config fields."""

from __future__ import annotations

from pathlib import Path


def expand(text: str) -> Path:
    """Returns a user's path with `~` and `~user` expanded.

    Raises:
      ValueError: If the path is not legal on any file system, or the user does not exist.
    """
    if fault := fault_of(text):
        raise ValueError(fault)
    return Path(text).expanduser()


def fault_of(text: str) -> str | None:
    """Returns why a text cannot be a path; None if it can."""
    if not text.strip():
        return "empty, expected a path"
    if "\0" in text:
        return f"got {text!r}, and no path contains the character NUL"
    try:
        Path(text).expanduser()
    except RuntimeError:
        return f"got {text!r}, and there is no user {Path(text).parts[0][1:]!r}; for a file of that name write ./{text}"
    return None
