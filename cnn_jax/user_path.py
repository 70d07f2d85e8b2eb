"""Paths that flags and config fields name."""

from __future__ import annotations

from pathlib import Path


def expand(text: str) -> Path:
    """Gives the path that a user names, with `~` and `~user` expanded.

    Args:
      text: Path as it was given.

    Raises:
      ValueError: If no file system can have such a path, or there is no such user; the message says which.
    """
    if fault := fault_of(text):
        raise ValueError(fault)
    return Path(text).expanduser()


def fault_of(text: str) -> str | None:
    """Says why a text cannot be a path; None where it can."""
    if not text.strip():
        return "empty, expected a path"
    if "\0" in text:
        return f"got {text!r}, and no path contains the character NUL"
    try:
        Path(text).expanduser()
    except RuntimeError:
        return f"got {text!r}, and there is no user {Path(text).parts[0][1:]!r}; for a file of that name write ./{text}"
    return None
