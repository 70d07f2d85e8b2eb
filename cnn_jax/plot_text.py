"""Makes text from users safe to draw: no mathematics, no missing glyphs, limited width."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping, Sequence

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from cnn_jax import plain_text

_BASE = "DejaVu Sans"  # part of matplotlib
# Prefixes of fonts with symbols at the codes of other characters, and of a font of boxes.
_ODD = ("cm", "STIXNonUnicode", "STIXSize", "Last Resort")
_REGULAR = (400, "normal", "regular", "book")  # weights
_MARK = "\u200e"  # left-to-right mark
_UNDRAWN = _MARK + "\u200c\u200d\ufe0e\ufe0f"  # joiners and variation selectors, which fonts need not have


def drawable(text: object, most: int) -> str:
    r"""Makes any text safe for matplotlib to draw with the installed fonts.

    Args:
      text: Any text.
      most: Largest width in characters; a longer text is shortened in the middle.

    Returns:
      The text in one line, for a title, a label or a legend, with dollar signs escaped. A character that no
      installed font has is replaced by its escape, such as \u4e2d, or by its name, such as [cat face].
    """
    return _escaped(plain_text.shortened(str(text), most, _shown))


def labels(names: Sequence[str], most: int) -> list[str]:
    """Makes names safe to draw, each in one line of at most `most` characters, and no two alike."""
    return [_escaped(name) for name in plain_text.distinct(names, most, _shown)]


def set_fonts(figure: Figure) -> None:
    """Sets the fonts that the characters of each text of a figure need, overriding the user's matplotlibrc."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_usetex(False)
        families = [family for char in text.get_text() if char not in _UNDRAWN and (family := _family(char))]
        text.set_fontfamily(list(dict.fromkeys([_BASE, *families])))


def _escaped(text: str) -> str:
    if any(unicodedata.bidirectional(char) in ("R", "AL") for char in text):
        text = f"{_MARK}{text}{_MARK}"  # keeps the order of the surrounding text
    return text.replace("$", r"\$")


def _shown(cluster: str) -> str:
    """Returns a character with its marks, readable in the installed fonts."""
    readable = plain_text.plain(cluster)
    if all(_family(char) for char in readable if char not in _UNDRAWN):
        return readable.replace("\ufe0e", "").replace("\ufe0f", "")
    return "".join(_named(char) for char in readable if char not in _UNDRAWN)


def _named(char: str) -> str:
    """Returns a character, or its name or escape if no font has it."""
    if _family(char):
        return char
    if unicodedata.category(char) == "So" and (name := unicodedata.name(char, "")):
        return f"[{name.lower()}]"
    return char.encode("unicode_escape").decode("ascii")


@functools.cache
def _family(char: str) -> str | None:
    """Returns the family of an installed font that has a character; None if there is none."""
    if ord(char) in _characters(_BASE):
        return _BASE
    return next((family for family in _others() if ord(char) in _characters(family) and _draws(family, char)), None)


@functools.cache
def _others() -> tuple[str, ...]:
    """Returns all other installed families, sans-serif ones first."""
    regular = [each for each in font_manager.fontManager.ttflist if each.style == "normal" and each.weight in _REGULAR]
    families = {each.name for each in regular if not each.name.startswith(_ODD)}
    return tuple(sorted(families - {_BASE}, key=lambda family: ("Sans" not in family, family)))


@functools.cache
def _characters(family: str) -> Mapping[int, int]:
    """Returns the character map of a family's regular font."""
    font = _font(family)
    return {} if font is None else font.get_charmap()


def _draws(family: str, char: str) -> bool:
    """Returns whether matplotlib can draw a character of a font, which fails for some color emoji."""
    font = _font(family)
    assert font is not None
    try:
        font.set_size(12, 100)
        font.load_char(ord(char))
    except (RuntimeError, ValueError, OSError):
        return False
    return True


def _font(family: str) -> FT2Font | None:
    try:
        path = font_manager.findfont(font_manager.FontProperties(family=[family]), fallback_to_default=False)
        return font_manager.get_font(path)
    except (ValueError, RuntimeError, OSError):
        return None
