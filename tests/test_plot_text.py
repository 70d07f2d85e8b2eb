"""Names in plots: drawn as they are, or legibly replaced, with no warning and no mathematics."""

import io
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from cnn_jax import plot_text
from cnn_jax.plot_text import drawable, labels
from cnn_jax.report import pictures, plots, report_folder

HOSTILE = [
    "$5 to $10",
    r"$\frac$",
    r"a\$b",
    "_private",
    "中文名字",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645",
    "\u05e9\u05dc\u05d5\u05dd",
    "😀",
    "👨\u200d👩\u200d👧",
    "cat",
    "cat\u200b",
    "e\u0301t\u00e9",
    "a\x1b[31m",
    "x" * 255,
    "x" * 254 + "y",
    "line\nbreak",
    "",
    "caf\udce9",
]


@pytest.fixture
def without_cjk(monkeypatch):
    """As on a machine whose fonts are matplotlib's own."""
    monkeypatch.setattr(plot_text, "_others", lambda: ())
    plot_text._family.cache_clear()
    yield
    plot_text._family.cache_clear()


def drawn(text, **settings):
    """The picture of a text in matplotlib's own font."""
    figure, content = Figure(figsize=(4, 1)), io.BytesIO()
    figure.text(0.02, 0.4, text, **settings)
    figure.savefig(content, format="png")
    return content.getvalue()


@pytest.mark.parametrize("name", ["$5 to $10", r"$\frac$", r"a\$b$", "$", "$$"])
def test_dollars_are_dollars(name):
    """The same pixels as where matplotlib is told that there is no mathematics."""
    expected = drawn(name, parse_math=False)
    assert drawn(drawable(name, 40)) == expected != drawn("")


def test_what_no_font_has_is_named(without_cjk):
    assert drawable("a中", 40) == r"a\u4e2d"
    assert drawable("👨\u200d👩", 40) == "[man][woman]"
    assert drawable("été ❤\ufe0f", 40) == "été ❤"


def test_long_and_equal_names():
    shown = labels(HOSTILE, 16)
    assert len(set(shown)) == len(HOSTILE)
    assert max(map(len, shown)) <= 16 + len("16: ") + len("$$\u200e\u200e")
    assert drawable("x" * 99, 5) == "xxx…x"


def test_right_to_left_names_leave_the_rest_in_place():
    """A name of Hebrew letters is marked, so that a number after it stays on its right."""
    shown = drawable("\u05e9\u05dc\u05d5\u05dd", 20)
    assert shown.strip("\u200e") == "\u05e9\u05dc\u05d5\u05dd"
    assert shown[0] == shown[-1] == "\u200e"
    assert unicodedata.bidirectional(shown[0]) == "L"


@pytest.mark.parametrize("settings", [{}, {"text.usetex": True}, {"font.family": ["no such font"]}])
def test_figures_with_hostile_names(without_cjk, settings):
    """Warnings are errors: a missing glyph, a layout that fails."""
    count = len(HOSTILE)
    images = np.zeros((count, 4, 4, 1), np.uint8)
    probabilities = np.eye(count)[::-1]
    with matplotlib.rc_context(settings):
        for figure in (
            plots.confusion(np.eye(count, dtype=int), HOSTILE),
            pictures.samples(images, np.arange(count), probabilities, HOSTILE, "The first test images"),
        ):
            assert report_folder.png(figure).startswith(b"\x89PNG")


def test_a_character_comes_from_another_font(monkeypatch):
    """A font that is installed is found and set; here matplotlib's own STIX stands in for a Chinese one."""
    has = next(
        code
        for code in plot_text._characters("STIXGeneral")
        if code > 0x2000 and code not in plot_text._characters("DejaVu Sans") and chr(code).isprintable()
    )
    monkeypatch.setattr(plot_text, "_others", lambda: ("no such family", "STIXGeneral"))
    plot_text._family.cache_clear()
    assert drawable(chr(has), 5) == chr(has)
    figure = Figure(figsize=(2, 1))
    text = figure.text(0.1, 0.5, f"a{chr(has)}")
    report_folder.png(figure)
    assert text.get_fontfamily() == ["DejaVu Sans", "STIXGeneral"]
    plot_text._family.cache_clear()


@pytest.mark.parametrize(
    "backend", ["nonsense", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("module://x.y", "tkagg"))]
)
def test_plots_do_not_depend_on_the_backend_that_the_environment_names(backend):
    program = "from cnn_jax.cli.main import main; main(['--help']); from cnn_jax.report import plots"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"MPLBACKEND": backend, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
