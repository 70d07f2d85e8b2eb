"""Printed text is what came, whatever it looks like to rich."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from cnn_jax.run.progress import TrainingProgress
from cnn_jax.terminal import cell, print_line

NAMES = ["IMG [edited].png", "x[", "y]", "[/b]", "[red]r", ":cat:", "a" * 300, "[link=http://x]y[/link]", "#1 'q' 0x3f"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_terminal", [False, True])
def test_text_is_no_markup(name, is_terminal):
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=is_terminal)
    print_line(console, name)
    assert out.getvalue() == name + "\n"
    with TrainingProgress(Console(file=out, force_terminal=False), 10, 0) as display:
        display.line(name)
    assert out.getvalue() == f"{name}\n{name}\n"


def test_escape_codes_do_not_arrive():
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    print_line(console, "a\x1b[2J\x1b]0;title\x07\x9b31m\udce9")
    table = Table()
    table.add_row(cell("[red]\x1b[31m"), cell("b" * 30, 10))
    console.print(table)
    assert out.getvalue().startswith("a\\x1b[2J\\x1b]0;title\\x07\\x9b31m\\xe9\n")
    assert r"[red]\x1b[31m" in out.getvalue()
    assert "bbbbbb…bbb" in out.getvalue()
    assert "\x1b" not in out.getvalue()
