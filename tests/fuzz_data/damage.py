"""Damage to bytes and to folders, drawn from a seed."""

from pathlib import Path

import numpy as np


def damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Damages bytes in one of the ways in which files are damaged; mostly one bit.

    Returns:
      (the bytes, the damage in words).
    """
    kind = str(rng.choice(["bit", "bit", "bit", "cut", "zeros", "random", "missing", "longer", "empty", "page"]))
    place = int(rng.integers(len(content))) if content else 0
    length = int(rng.integers(1, 64))
    match kind:
        case "bit" if content:
            return flipped(content, place * 8 + int(rng.integers(8))), f"bit {place} flipped"
        case "cut":
            return content[:place], f"cut to {place} bytes"
        case "zeros":
            return content[:place] + bytes(len(content[place : place + length])) + content[place + length :], "zeros"
        case "random":
            return content[:place] + rng.bytes(length) + content[place + length :], "random bytes"
        case "missing":
            return content[:place] + content[place + length :], f"{length} bytes missing"
        case "longer":
            return content + rng.bytes(length), f"{length} bytes more"
        case "page":
            return b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "a web page"
    return b"", "empty"


def flipped(content: bytes, bit: int) -> bytes:
    """Flips one bit."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damage_file(folder: Path, rng: np.random.Generator, *, one_bit: bool = False) -> str:
    """Damages one file of a folder, drawn level by level, so that the many parts of checkpoints do not prevail.

    Returns:
      Which and how.
    """
    entry = folder
    while entry.is_dir():
        inside = sorted(filter(has_content, entry.iterdir()))
        entry = inside[int(rng.integers(len(inside)))]
    content = entry.read_bytes()
    changed, what = flip_one(content, rng) if one_bit else damaged(content, rng)
    entry.write_bytes(changed)
    return f"{entry.relative_to(folder)}: {what}"


def has_content(path: Path) -> bool:
    """Whether a file is not empty, or some file of a folder is not; links have none of their own."""
    if path.is_symlink():
        return False
    return any(map(has_content, path.iterdir())) if path.is_dir() else path.stat().st_size > 0


def flip_one(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Flips one bit, drawn evenly."""
    bit = int(rng.integers(len(content) * 8))
    return flipped(content, bit), f"bit {bit} flipped"
