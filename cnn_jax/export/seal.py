"""Checksums in exported files, over every bit except the checksum itself."""

from __future__ import annotations

import hashlib
import re

from cnn_jax.config.parsing import ConfigError

_MARK = b"cnn_jax-sha256:"
PLACE = (_MARK + b"0" * 64).decode()
"""Text that a file must hold once, where its checksum goes."""


def seal(content: bytes) -> bytes:
    """Replaces the placeholder in a file's content by the checksum.

    Args:
      content: Whole content of the file, which contains PLACE once.

    Raises:
      ValueError: If it does not contain PLACE exactly once.
    """
    if content.count(PLACE.encode()) != 1:
        raise ValueError("a file has one place for its checksum")
    return content.replace(PLACE.encode(), _MARK + hashlib.sha256(content).hexdigest().encode())


def check(content: bytes, name: str) -> None:
    """Verifies the checksum that `seal` wrote.

    Args:
      content: Whole content of the file.
      name: Name of the file, for errors.

    Raises:
      ConfigError: If it was changed or truncated, or is not an exported file.
    """
    found = re.findall(re.escape(_MARK) + rb"([0-9a-f]{64})", content)
    if len(found) != 1:
        raise ConfigError([f"--model: {name} has no checksum; expected a file that `launch.py export` wrote"])
    blank = content.replace(_MARK + found[0], PLACE.encode())
    if hashlib.sha256(blank).hexdigest().encode() != found[0]:
        raise ConfigError([f"--model: {name} is damaged: its checksum does not agree; export the run again"])
