"""`compare`, and `report` of a folder of runs, as commands."""

import json
from pathlib import Path

import pytest
from support.written_runs import write_run

from cnn_jax.cli.main import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder of two runs, where the command is started."""
    write_run(tmp_path / "runs" / "a", 0.9)
    write_run(tmp_path / "runs" / "b", 0.8, model__padding="SAME")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_words_are_folders(runs, capsys):
    assert main(["compare", "runs/a", "runs/b", "--output", "page.html"]) == 0
    told = capsys.readouterr().out
    assert "model.padding" in told
    assert told.endswith("comparison: page.html\n")
    assert "<title>Comparison of 2 configurations</title>" in Path("page.html").read_text()
    assert main(["compare", "--run=runs/a", "--run=runs/b", "--output=page.html"]) == 0, "an own page is written anew"


def test_the_page_has_a_name_of_its_own(runs):
    assert main(["compare", "runs/a", "runs/b"]) == 0
    assert Path("comparison.html").exists()


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_figures_alone(runs, capsys, ending):
    assert main(["compare", "runs", f"--output=figures.{ending}", f"--format={ending}"]) == 0
    text = Path(f"figures.{ending}").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    if ending == "json":
        assert [each["name"] for each in json.loads(text)["entries"]] == ["a", "b"]


def test_the_report_of_a_folder_of_runs(runs, capsys):
    for _ in range(2):
        assert main(["report", "--workdir=runs"]) == 0
        assert "comparison: runs/comparison.html" in capsys.readouterr().out
    assert sorted(path.name for path in runs.iterdir()) == ["a", "b", "comparison.html"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["compare"], "--run: compare needs it"),
        (["compare", "runs/a"], "runs/a is one run; give another one"),
        (["compare", "runs/a", "runs/c"], "runs/c: there is no such folder; in runs: a, b"),
        (["compare", "runs/a", "runs/b", "--output=page.png"], "expected a file that ends in .html, .json, .csv"),
        (["compare", "runs/a", "runs/b", "--output=none/page.html"], "there is no folder 'none'"),
        (["compare", "runs/a", "runs/b", "--output=mine.html"], "mine.html is not a page of this command"),
        (["compare", "runs/a", "runs/b", "--output=runs/a/config.json"], "lies in the folder of a run or a sweep"),
        (["compare", "runs/a", "runs/b", "--config.seed=1"], "compare takes no config"),
        (["compare", "runs/a", ""], "--run: empty"),
        (["report", "--workdir=runs", "--config.data.folder=x"], "--config.data.folder: a comparison reads no data"),
        (["summary", "runs/a"], "unexpected word"),
    ],
)
def test_what_is_refused(runs, capsys, words, told):
    Path("mine.html").write_text("<h1>mine</h1>")
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert Path("mine.html").read_text() == "<h1>mine</h1>"
    assert sorted(path.name for path in Path().iterdir()) == ["mine.html", "runs"]
