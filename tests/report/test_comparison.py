"""Figures of runs side by side, on the page, in the terminal and as texts for programs."""

import csv
import io
import json

import numpy as np
import pytest
from html_page import Page
from in_browser import lies_well, show
from rich.console import Console
from scipy import stats
from support.written_runs import write_run

from cnn_jax.config.parsing import ConfigError
from cnn_jax.report import comparison_page, comparison_texts
from cnn_jax.report.comparison import compare

SEEDS = {"VALID": [0.90, 0.91, 0.92, 0.90], "SAME": [0.92, 0.94, 0.93, 0.93], "CIRCULAR": [0.89, 0.92, 0.91, 0.90]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three paddings with four seeds each; of the last, one seed of its own and one run that is not finished."""
    folder = tmp_path_factory.mktemp("runs")
    for padding, accuracies in SEEDS.items():
        for seed, accuracy in enumerate(accuracies):
            own = 7 if padding == "CIRCULAR" and seed == 3 else seed
            write_run(folder / f"{'VSC'.index(padding[0])}{padding}{seed}", accuracy, own, model__padding=padding)
    write_run(folder / "2CIRCULAR9", None, 9, model__padding="CIRCULAR")
    return folder


@pytest.fixture(scope="module")
def compared(runs):
    return compare([runs])


def test_means_and_intervals(compared):
    assert [line.finished for line in compared.lines] == [4, 4, 4]
    assert [line.seeds for line in compared.lines] == ["0, 1, 2, 3", "0, 1, 2, 3", "0, 1, 2, 7, 9"]
    for line, accuracies in zip(compared.lines, SEEDS.values(), strict=True):
        found = line.metrics["accuracy"]
        assert found.mean == pytest.approx(np.mean(accuracies))
        low, high = stats.t.interval(0.95, 3, np.mean(accuracies), stats.sem(accuracies))
        assert (found.low, found.high) == pytest.approx((low, high))
        assert line.over == "seeds"
        assert line.metrics["loss"].mean == pytest.approx(1 - np.mean(accuracies))
        assert line.test_images == 100
    assert [metric.name for metric in compared.metrics] == ["accuracy", "loss"], "top-5 was not measured"


def test_paired_tests(compared):
    first, second, third = compared.lines
    assert first.difference is None
    assert first.sign is None
    by_t = [
        stats.ttest_rel(SEEDS["SAME"], SEEDS["VALID"]).pvalue,
        stats.ttest_rel(SEEDS["CIRCULAR"][:3], SEEDS["VALID"][:3]).pvalue,
    ]
    assert [line.difference.p_value for line in (second, third)] == pytest.approx(by_t)
    assert second.difference.p_holm == pytest.approx(2 * min(by_t))
    assert second.difference.estimate.mean == pytest.approx(0.0225)
    assert (second.difference.estimate.n, second.difference.n_unpaired) == (4, 0)
    assert (third.difference.estimate.n, third.difference.n_unpaired) == (3, 2)
    assert second.sign == pytest.approx(2 * 0.5**4), "four of four are better"
    assert third.sign == pytest.approx(1.0), "one of three is better"


def test_one_run_has_the_interval_of_its_test_images(tmp_path):
    found = compare([write_run(tmp_path / "a", 0.9), write_run(tmp_path / "b", 0.8, model__padding="SAME")])
    line = found.lines[0]
    # 90 of 100 by Wilson: (0.9 + z^2/200 -+ z sqrt(0.09/100 + z^2/40000)) / (1 + z^2/100), z = 1.96
    assert (line.metrics["accuracy"].low, line.metrics["accuracy"].high) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert line.over == "test images"
    assert found.lines[1].difference.p_value is None, "one pair has no p"


def test_the_page(compared):
    text = comparison_page.page(compared)
    page = Page(text)
    assert page.sections == ["figures", "config", "differences", "curves", "notes", "runs"]
    assert len(page.pictures) == 3  # differences, test accuracy, test loss: nothing else was recorded
    assert all(picture["alt"] for picture in page.pictures)
    assert all(target.startswith(("data:", "#")) for target in page.targets)
    assert "All runs used the same images" in text
    assert "<td>model.padding</td>" in text
    assert "model.features" not in text
    assert ">+2.25</td>" in text
    assert "it is not finished: it ended after epoch 2 of 3" in text


@pytest.mark.parametrize("width", [1200, 390])
def test_in_a_browser(compared, tmp_path, browser, width):
    (tmp_path / "page.html").write_text(comparison_page.page(compared))
    show(browser, tmp_path / "page.html", width)
    lies_well(browser, width, ["figures", "config", "differences", "curves", "notes", "runs"], 3)


def test_names_of_users_are_escaped(tmp_path):
    runs = [write_run(tmp_path / name, 0.9, seed) for seed, name in enumerate(["<b>\x1b[31m", "$x_1$"])]
    text = comparison_page.page(found := compare(runs))
    assert "<b>\x1b" not in text
    assert "&lt;b&gt;" in text
    assert "\x1b" not in terminal(found)
    assert "<b>" in terminal(found)


def test_names_that_are_no_unicode(tmp_path):
    found = compare([write_run(tmp_path / f"caf\udce9{place}", None, place) for place in range(2)])
    told = [
        comparison_page.page(found),
        comparison_texts.as_json(found),
        comparison_texts.as_csv(found),
        terminal(found),
    ]
    for text in told:
        assert "\\xe9" in text.encode().decode()


def terminal(comparison):
    console = Console(file=io.StringIO(), width=160)
    console.print(comparison_texts.as_tables(comparison))
    return console.file.getvalue()


def test_the_terminal(compared):
    text = terminal(compared)
    assert "91.33, seeds" not in text
    assert "90.75" in text
    assert "0VALID0 and 3 more seeds" in text.replace("\n", " ")
    assert "model.padding │ VALID │ SAME │ CIRCULAR" in text
    assert "+2.25" in text
    assert "2CIRCULAR9): it is not finished" in text.replace("\n", "")


def test_many_entries_leave_their_fields_to_the_page(tmp_path):
    found = compare([write_run(tmp_path / str(n), 0.9, train__batch_size=8 + n) for n in range(7)])
    assert "config fields that differ, shown only on the page: 1" in terminal(found)


def test_json(compared):
    content = json.loads(comparison_texts.as_json(compared))
    first, second, third = content["entries"]
    assert first["test_accuracy"]["mean"] == pytest.approx(0.9075)
    assert first["difference"] is None
    assert second["difference"]["mean"] == pytest.approx(0.0225)
    assert second["config"] == {"model.padding": "SAME"}
    assert third["seeds"] == [0, 1, 2, 7, 9]
    assert content["warnings"] == []
    assert content["notes"][0]["folder"].endswith("2CIRCULAR9")


def test_csv(compared):
    rows = list(csv.DictReader(io.StringIO(comparison_texts.as_csv(compared))))
    assert [row["model.padding"] for row in rows] == list(SEEDS)
    assert [float(row["test_accuracy"]) for row in rows] == pytest.approx([np.mean(each) for each in SEEDS.values()])
    assert rows[0]["difference"] == ""
    assert float(rows[1]["difference"]) == pytest.approx(0.0225)
    changes = np.subtract(SEEDS["SAME"], SEEDS["VALID"])
    interval = stats.t.interval(0.95, 3, np.mean(changes), stats.sem(changes))
    assert [float(rows[1][f"difference_{end}"]) for end in ("low", "high")] == pytest.approx(interval)
    assert rows[0]["difference_low"] == ""
    low, high = interval
    assert f"{100 * low:+.2f} to {100 * high:+.2f}" in terminal(compared)


def test_a_page_of_others_is_not_replaced(tmp_path):
    page = tmp_path / "page.html"
    comparison_page.check_output(page, "--output")
    page.write_text("<h1>mine</h1>")
    with pytest.raises(ConfigError, match="is not a page of this command"):
        comparison_page.check_output(page, "--output")
    page.write_text(f"<html><head>{comparison_page.MARK}")
    comparison_page.check_output(page, "--output")
    with pytest.raises(ConfigError, match="is a folder"):
        comparison_page.check_output(tmp_path, "--output")
    with pytest.raises(ConfigError, match="there is no folder"):
        comparison_page.check_output(tmp_path / "none" / "page.html", "--output")
