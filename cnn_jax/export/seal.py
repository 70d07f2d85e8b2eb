"""Checksums inside of exported files: every bit of a file counts, the checksum's own place apart."""

from __future__ import annotations

import hashlib
import re

from cnn_jax.config.parsing import ConfigError

_MARK = b"cnn_jax-sha256:"
PLACE = (_MARK + b"0" * 64).decode()
"""Text that a file must hold once, where its checksum goes."""


def seal(content: bytes) -> bytes:
    """Writes the checksum of a file's content into the place for it.

    Args:
      content: Whole content of the file, with PLACE in it once.

    Raises:
      ValueError: Where PLACE is not there once.
    """
    if content.count(PLACE.encode()) != 1:
        raise ValueError("a file has one place for its checksum")
    return content.replace(PLACE.encode(), _MARK + hashlib.sha256(content).hexdigest().encode())


def check(content: bytes, name: str) -> None:
    """Checks the content of a file that `seal` made.

    Args:
      content: Whole content of the file.
      name: Name of the file, for errors.

    Raises:
      ConfigError: If it was changed, cut short, or is no exported file.
    """
    found = re.findall(re.escape(_MARK) + rb"([0-9a-f]{64})", content)
    if len(found) != 1:
        raise ConfigError([f"--model: {name} has no checksum; expected a file that `launch.py export` wrote"])
    blank = content.replace(_MARK + found[0], PLACE.encode())
    if hashlib.sha256(blank).hexdigest().encode() != found[0]:
        raise ConfigError([f"--model: {name} is damaged: its checksum does not agree; export the run again"])
