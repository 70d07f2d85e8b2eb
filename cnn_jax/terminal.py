"""Printing where text of users may occur: nothing of it is markup, an emoji code or a terminal's escape code."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from cnn_jax.plain_text import plain, plain_lines, shortened


def print_line(console: Console, text: object) -> None:
    """Prints a text as it is; a long line is not broken.

    Args:
      console: Where to print.
      text: Any text; line ends in it are kept.
    """
    console.print(Text(plain_lines(text)), soft_wrap=True)


def cell(text: object, most: int | None = None) -> Text:
    """Makes a cell of a table.

    Args:
      text: Any text.
      most: Largest width in characters; None shows all.
    """
    return Text(plain(text) if most is None else shortened(str(text), most))
