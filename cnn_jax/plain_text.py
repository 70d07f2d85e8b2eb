"""Makes text from users, such as class and file names, safe to display.

`plain` escapes control and invisible characters. Files for programs keep the original names.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

_ELLIPSIS = "…"
_JOINERS = "\u200c\u200d"  # belong to the word between letters of some scripts and within emoji
# Letters and marks without a shape, which make different names look alike.
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u2800\u3164\uffa0"


def plain(text: object) -> str:
    r"""Escapes control, formatting and invisible characters as Python does, and bytes that are not UTF-8 as \xff.

    Args:
      text: Any text, or an object to convert with `str`.

    Returns:
      The text in one line; readable characters are unchanged.
    """
    given = str(text)
    if given.isascii() and given.isprintable():
        return given
    return "".join(_escaped(given, index) for index in range(len(given)))


def plain_lines(text: object) -> str:
    """Does as `plain`, but keeps line ends and tabs, for messages of several lines."""
    return "\n".join("\t".join(map(plain, line.split("\t"))) for line in str(text).split("\n"))


def valid_unicode(name: str) -> str:
    r"""Escapes only the bytes of a file name that are not UTF-8, as \xff, so that the text can be encoded."""
    return "".join(_surrogate(char) if unicodedata.category(char) == "Cs" else char for char in name)


def shortened(text: str, most: int, show: Callable[[str], str] = plain) -> str:
    """Shortens a text in the middle, so that names that differ at either end remain distinct.

    Args:
      text: Any text.
      most: Largest width of the result in characters, at least 3; wide characters count twice.
      show: Makes a cluster (a character with its marks) safe to display.

    Returns:
      The safe text, or its beginning, "…" and its end; clusters and escapes are never cut.
    """
    units = [show(cluster) for cluster in clusters(text[: 2 * most] + text[2 * most :][-2 * most :])]
    if len(text) <= 4 * most and sum(map(_width, units)) <= most:
        return "".join(units)
    tail = (most - 1) // 3
    end: list[str] = []
    for unit in reversed(units):
        if _width("".join(end)) + _width(unit) > tail:
            break
        end.insert(0, unit)
    room, begin = most - 1 - _width("".join(end)), ""
    for unit in units[: len(units) - len(end)]:
        if _width(begin) + _width(unit) > room:
            break
        begin += unit
    if not begin and not end:  # even the first cluster is too wide
        begin = units[0][:room]
    return begin + _ELLIPSIS + "".join(end)


def distinct(names: Sequence[str], most: int, show: Callable[[str], str] = plain) -> list[str]:
    """Shortens names so that no two look alike.

    Args:
      names: Names, such as class names in label order.
      most: As for `shortened`, without the number that may precede a name.
      show: As for `shortened`.

    Returns:
      The shortened names; empty names, and names that would look alike, are preceded by their index.
    """
    short = [shortened(name, most, show) for name in names]
    looks = [unicodedata.normalize("NFKC", each).strip() for each in short]
    counts = Counter(looks)
    return [
        name if look and counts[look] == 1 else f"{number}: {name if look else '(no name)'}"
        for number, (name, look) in enumerate(zip(short, looks, strict=True))
    ]


def clusters(text: str) -> Iterator[str]:
    """Splits a text into characters, each with the marks and joined characters that follow it."""
    cluster = ""
    for index, char in enumerate(text):
        joined = cluster and (
            unicodedata.category(char) in ("Mn", "Me") or _joins(text, index) or _joins(text, index - 1)
        )
        if cluster and not joined:
            yield cluster
            cluster = ""
        cluster += char
    if cluster:
        yield cluster


def _escaped(text: str, index: int) -> str:
    char = text[index]
    category = unicodedata.category(char)
    if category == "Cs":
        return _surrogate(char)
    if char in _INVISIBLE or category in ("Cc", "Zl", "Zp") or (category == "Cf" and not _joins(text, index)):
        return char.encode("unicode_escape").decode("ascii")
    return char


def _surrogate(char: str) -> str:
    """Escapes the byte that Python decoded to a lone surrogate, or else the surrogate itself."""
    code = ord(char)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _joins(text: str, index: int) -> bool:
    """Returns whether the character is a joiner between two characters that it can join."""
    around = text[index - 1 : index] + text[index + 1 : index + 2] if index else ""
    return (
        text[index] in _JOINERS and len(around) == 2 and all(ord(char) > 0xFF and char.isprintable() for char in around)
    )


def _width(text: str) -> int:
    marks = ("Mn", "Me", "Cf")
    return sum(
        0 if unicodedata.category(char) in marks else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
