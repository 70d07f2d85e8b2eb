"""Blocks of the pages that run, links that lead somewhere, and the table of padding, which is what the ops say.

Blocks that train or need prepared data are run by `check_docs.py`: `make test-docs`.
"""

import ast
import re
import shlex

import pytest
from support.doc_blocks import PAGES, ROOT, blocks, commands, fault

from cnn_jax import ops, sweep
from cnn_jax.cli import main
from cnn_jax.config.experiment_file import load_config
from cnn_jax.config.parsing import parse

DOCS = ROOT / "docs"
PAGE = DOCS / "convolution.md"
RUN_HERE = [
    "docs/convolution.md",
    "docs/filters.md",
    "docs/inspect.md",
    "docs/search.md",
    "docs/sweeps.md",
    *(f"docs/lecture/{path.name}" for path in sorted(DOCS.glob("lecture/[01]*.md"))),
]
RUN_WITH_DATA = {"docs/data.md", "docs/export.md", "docs/guide.md"}  # by check_docs.py
OF_README = {"README.md"}  # by test_readme_shows_what_is_there
DRY_RUNS = {"docs/tpu.md"}  # by scripts/test_tpu_docs.py


def python_blocks(page):
    """Blocks of a page that are programs, not parts of a config."""
    found = [block for block in blocks(page) if block.language == "python"]
    return [block for block in found if not block.not_run and not block.text.startswith('"')]


def with_fields(words):
    """A command line with fields of the config, for a data source that has them."""
    pictures = ["--config.data.name=image_folder", "--config.data.train_dir=pictures"]
    table = ["--config.data.name=parquet", "--config.data.folder=pictures"]
    source = table if words[0].startswith("--config.data.class_names") else pictures
    return ["launch.py", "train", "--config=experiments/defaults.py", *source, *words]


@pytest.mark.parametrize("page", RUN_HERE)
def test_the_python_blocks_of_a_page_run(page):
    namespace = {"__name__": page}
    found = python_blocks(page)
    assert found
    for block in found:
        assert re.search(r"^\s*assert ", block.text, re.MULTILINE), f"{block.name}: nothing is compared"
        if said := fault(block, namespace):
            pytest.fail(said, pytrace=False)  # without the whole page


def test_every_block_is_run_or_says_why_not():
    known = {"python", "bash", "text", "{toctree}", "{include}", "{eval-rst}"}
    for page in PAGES:
        for block in blocks(page):
            assert block.language in known, f"{block.name}: ```{block.language}"
    with_python = {page for page in PAGES if python_blocks(page)}
    assert with_python == {*RUN_HERE, *RUN_WITH_DATA, *OF_README}


def test_parts_of_a_config_are_legal():
    found = [block for page in PAGES for block in blocks(page) if block.text.startswith('"data"')]
    assert len(found) == 4
    for block in found:
        given = ast.literal_eval(f"{{{block.text}}}")
        assert parse(given).data.name == given["data"]["name"], block.name


def test_readme_shows_what_is_there():
    config, points = python_blocks("README.md")
    namespace = dict(vars(sweep))
    assert not fault(config, namespace)
    assert namespace["get_config"]() == load_config(ROOT / "experiments/fashion_mnist_lecture.py")
    assert not fault(points, namespace)
    assert len(namespace["get_sweep"]()) == 2 * 2 * 3


def test_every_command_line_is_understood(tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()
    for path in (ROOT / "experiments").glob("*.py"):
        (tmp_path / "experiments" / path.name).symlink_to(path)
    for name in ("defaults", "my_pictures"):
        (tmp_path / f"experiments/{name}.py").write_text("def get_config():\n    return {}\n")
    monkeypatch.chdir(tmp_path)
    understood = 0
    for page in PAGES.keys() - DRY_RUNS:
        for block in blocks(page):
            lines = block.text.splitlines()
            if block.language != "bash":
                continue
            if lines[0].startswith("--config."):  # fields alone
                found = [["python", *with_fields(shlex.split(line, comments=True))] for line in lines]
            else:
                found = commands(block, tmp_path)
            assert found, block.name
            for words in found:
                if words[1:2] == ["launch.py"] and not words[-1].startswith("--from="):  # a file that is not here
                    assert main.parse(words[2:])[0].name == words[2], block.name
                    understood += 1
    assert understood > 50


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
