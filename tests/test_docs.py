"""Pages whose Python blocks run, links that lead somewhere, and the table of padding, which is what the ops say."""

import ast
import re
from pathlib import Path

import pytest

from cnn_jax import ops

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "convolution.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


PAGES = [
    "convolution.md",
    "filters.md",
    "inspect.md",
    *(f"lecture/{path.name}" for path in sorted(DOCS.glob("lecture/[01]*.md"))),
]


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks
    fences = re.findall(r"^\s*(?:```|~~~)(.*)", text, re.MULTILINE)
    assert len(blocks) == fences.count("python"), "a Python block that is not read"
    assert page != "convolution.md" or 2 * len(blocks) == len(fences), "a fence that is not ```python"
    namespace = {"__name__": page}
    for block in blocks:
        assert re.search(r"^\s*assert ", block[1], re.MULTILINE), f"nothing is compared in:\n{block[1]}"
        # Empty lines in front, so that a fault has the page's own line number.
        code = compile("\n" * text.count("\n", 0, block.start(1)) + block[1], page, "exec")
        fault = None
        try:
            exec(code, namespace)
        except Exception as error:
            line = error.__traceback__.tb_next.tb_lineno
            fault = f"{page}:{line}: {text.splitlines()[line - 1]}\n{error!r}"
        if fault:  # outside of the except, where pytest would show the whole page
            pytest.fail(fault, pytrace=False)


def test_links_lead_to_files_headings_and_examples_that_exist():
    presets = set(re.findall(r'\bid: "(\w+)"', (DOCS / "explorer/presets.js").read_text(encoding="utf-8")))
    checked = 0
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = target.partition("#")
            made_for_the_site = name.startswith("reference/") or page.parent.name == "reference"
            if "://" in target or made_for_the_site:
                continue
            path = (page.parent / name).resolve() if name else page
            assert path.exists(), f"{page.relative_to(DOCS)}: {target}"
            if anchor and name.endswith("explorer/index.html"):
                assert anchor in presets, f"{page.relative_to(DOCS)}: {target}"
            elif anchor:
                assert anchor in headings(path), f"{page.relative_to(DOCS)}: {target}"
            checked += 1
    assert checked > 100


def headings(page):
    """The anchors of a page's headings, as GitHub and Sphinx make them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_the_table_of_padding_dialects():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| padding |"))
    columns = [tuple(map(int, pair)) for pair in re.findall(r"window (\d+), stride (\d+)", lines[start])]
    checked = 0
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        padding = ast.literal_eval(name.strip("`"))
        for (window, stride), cell in zip(columns, cells, strict=True):
            (before, after), _ = ops.resolve_padding(padding, 8, window, stride)
            assert cell == f"{before} + {after}: {ops.output_size(8, window, stride, padding)}", (name, window, stride)
            checked += 1
    assert checked == 7 * 5
