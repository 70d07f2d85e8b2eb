"""Prints text from users without interpreting markup, emoji codes or terminal escape codes."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from cnn_jax.plain_text import plain, plain_lines, shortened


def print_line(console: Console, text: object) -> None:
    """Prints a text verbatim, without wrapping long lines; line ends are kept."""
    console.print(Text(plain_lines(text)), soft_wrap=True)


def cell(text: object, most: int | None = None) -> Text:
    """Creates a table cell of at most `most` characters; None is no limit."""
    return Text(plain(text) if most is None else shortened(str(text), most))
