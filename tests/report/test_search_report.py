"""A search's page, while it runs and at its end, and its plots."""

import io

import numpy as np
import pytest
from html_page import Page
from in_browser import lies_well, show
from rich.console import Console
from sweep.search.made_up import score
from sweep.search.stand_in import CONFIG, StandIn, write

from cnn_jax.report import report_folder, search_plots
from cnn_jax.report.search_plots import Step
from cnn_jax.report.sweep_report import write_sweep_report
from cnn_jax.run.metrics import ACCURACY, LOSS
from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.search import plan
from cnn_jax.sweep.search.driver import Driver
from cnn_jax.sweep.search.results import Axis, Confirmation, SearchPoint

HALVED = "Search(SPACE, trials=54, sampler='halton', batch=27, stopping=Halving(), confirm=2, seeds=3)"
SECTIONS = ["varied", "best", "confirmed", "rungs", "slices", "parallel", "importance", "points", "curves", "trials"]
PICTURES = {
    *("best_by_trials", "best_by_epochs", "confirmed", "rungs", "parallel_coordinates", "importance"),
    *("slice_optimizer.learning_rate", "slice_train.label_smoothing", "slice_train.batch_size", "learning_curves"),
    "best_by_time",
}


def search_in(folder, search, machine=StandIn, config=CONFIG):
    made = SweepFolder(folder / "search")
    return Driver(plan.read(write(folder, search, config), {}), made, machine(made), Console(file=io.StringIO())).run()


@pytest.fixture(scope="module")
def finished(finished_search):
    """A finished search and its page."""
    found, folder = finished_search
    return found, write_sweep_report(folder)


def test_the_page_of_a_finished_search(finished):
    found, index = finished
    text = index.read_text()
    page = Page(text)
    assert page.sections == SECTIONS
    assert {file.stem for file in index.parent.glob("*.png")} == PICTURES
    assert all(picture["alt"] for picture in page.pictures)
    assert f"<b>{found.spent} of {found.budget}</b>" in text
    assert "54 of 54 points have been drawn by the sampler halton" in text
    assert "best mean test" not in text, "test images decide nothing in a search"
    assert ">accuracy (%)<" not in text[text.index('id="trials"') :]
    for each in found.confirmed:
        rate = found.points[each.number - 1].point["optimizer.learning_rate"]
        search, *fresh = (score({"seed": seed, "optimizer": {"learning_rate": rate}}, 9) for seed in (0, 1, 2, 3))
        mean, half = 100 * np.mean(fresh), 100 * 4.302653 * np.std(fresh, ddof=1) / 3**0.5  # t(0.975; 2)
        assert f'<td class="n" data-value="{search}">{100 * search:.2f}</td><td class="n" data-value="3">3 of 3' in text
        assert f">{mean:.2f}</td>" in text
        assert f">{mean - half:.2f} to {mean + half:.2f}</td>" in text
        assert f">{mean - 100 * search:+.2f}</td>" in text


@pytest.mark.parametrize("width", [1200, 390])
def test_in_a_browser(finished, browser, width):
    show(browser, finished[1], width)
    lies_well(browser, width, SECTIONS, len(PICTURES))


class Interrupted(Exception):
    """Stands for a kill."""


def test_the_page_while_the_first_rung_trains(tmp_path):
    class Interrupting(StandIn):
        def run(self, entries, report, stopping):
            super().run(entries[:4], report, stopping)
            raise Interrupted

    with pytest.raises(Interrupted):
        search_in(tmp_path, HALVED, Interrupting)
    text = write_sweep_report(tmp_path / "search").read_text()
    assert Page(text).sections == [each for each in SECTIONS if each != "confirmed"]
    assert "27 of 54 points have been drawn" in text
    assert "<td>not decided</td>" in text
    assert "Too few points: 4 were scored after 1 epoch" in text
    assert "<b>4 of " in text, "epochs spent"


def test_the_page_before_anything_is_scored(tmp_path):
    class Interrupting(StandIn):
        def run(self, entries, report, stopping):
            raise Interrupted

    with pytest.raises(Interrupted):
        search_in(tmp_path, HALVED.replace("Halving()", "None"), Interrupting)
    page = Page(text := write_sweep_report(tmp_path / "search").read_text())
    assert page.sections == ["varied", "best", "rungs", "slices", "importance", "points", "trials"]
    assert page.pictures == []
    assert text.count("Nothing has been scored yet") == 2
    assert "No trial is stopped early" in text


def test_a_search_by_the_loss(tmp_path):
    search = "Search(RATE, trials=20, sampler='halton', metric='loss', batch=20, confirm=0)"
    search_in(tmp_path, search, config=CONFIG | {"train": {"epochs": 1}})
    text = write_sweep_report(tmp_path / "search").read_text()
    assert "validation loss" in text
    assert "loss in percent" not in text
    assert "All 20 scores after 1 epoch are equal" in text, "the made-up losses are all 1"
    assert "Importance of the searched fields" not in text


def axes_of(figure):
    assert report_folder.png(figure).startswith(b"\x89PNG")
    return figure.axes[0]


def point(number, values, scores, state="stopped early"):
    return SearchPoint(number, values, f"{number:016x}", state, scores, None)


@pytest.mark.parametrize(("metric", "best"), [(ACCURACY, [60, 60, 80, 80]), (LOSS, [0.6, 0.4, 0.4, 0.4])])
def test_only_the_full_length_counts_as_best(metric, best):
    steps = [Step(1, 0.9, False), Step(2, 0.6, True), Step(3, 0.4, True), Step(4, 0.8, True), Step(7, 0.1, False)]
    line = axes_of(search_plots.best_so_far(steps, "points", metric)).lines[0]
    assert line.get_xdata().tolist() == [2, 3, 4, 7]
    assert line.get_ydata() == pytest.approx(best)


def test_a_slice_has_the_axis_of_its_range():
    points = [point(n, (10.0**-n,), {1: 0.1 * n, 3: 0.2 * n}) for n in range(1, 5)] + [point(5, (1.0,), {}, "failed")]
    values = [each.values[0] for each in points]
    for log in (True, False):
        axes = axes_of(search_plots.slice_of(Axis("a.b", True, log), values, points, ACCURACY, 9))
        assert axes.get_xscale() == ("log" if log else "linear")
        dots, crosses = axes.collections
        assert np.asarray(dots.get_offsets()) == pytest.approx(np.array([[10.0**-n, 20.0 * n] for n in range(1, 5)]))
        assert crosses.get_offsets()[:, 0].tolist() == [1.0]


def test_choices_stand_side_by_side():
    names = ["VALID", "SAME", [[1, 2], [2, 1]]]
    points = [point(n + 1, (names[n % 3],), {1: 0.5}) for n in range(9)]
    axes = axes_of(search_plots.slice_of(Axis("a.b", False, False), [e.values[0] for e in points], points, ACCURACY, 1))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["SAME", "VALID", "[[1,2],[2,1]]"]
    places = np.round(axes.collections[0].get_offsets()[:, 0])
    assert places.tolist() == [1, 0, 2] * 3 or sorted(places.tolist()) == [0] * 3 + [1] * 3 + [2] * 3


def test_lines_of_parallel_coordinates():
    axes = (Axis("a.rate", True, True), Axis("b.rate", True, False), Axis("a.kind", False, False))
    values = [(1e-4, 0, "x"), (1e-2, 10, "x"), (1.0, 5, "x")]
    drawn = axes_of(search_plots.parallel_coordinates(axes, values, [0.5, 0.9, 0.7], ACCURACY, 1))
    heights = {tuple(np.round(line[:2, 1], 6)) for line in drawn.collections[0].get_segments()}
    assert heights == {(0, 0), (0.5, 1), (1, 0.5)}
    labels = [text.get_text() for text in drawn.get_xticklabels()]
    assert labels == ["a.rate", "b.rate", "kind", "validation\naccuracy (%)"]


@pytest.mark.parametrize("scores", [(), (0.8,), (0.8, 0.82)])
def test_confirmed_points_with_any_number_of_seeds(scores):
    each = Confirmation(point(3, (1,), {1: 0.9}), 0.9, scores, (), 3)
    assert axes_of(search_plots.confirmed([each], ACCURACY)).get_xticklabels()[0].get_text() == "3"


def test_equal_scores_and_equal_values_can_be_drawn():
    points = [point(n, (1, "x"), {1: 0.5}) for n in range(1, 4)]
    axes = (Axis("a", True, True), Axis("b", False, False))
    axes_of(search_plots.parallel_coordinates(axes, [each.values for each in points], [0.5] * 3, ACCURACY, 1))
    axes_of(search_plots.slice_of(axes[0], [1, 1, 1], points, ACCURACY, 1))
    axes_of(search_plots.rungs(points, ACCURACY))
    axes_of(search_plots.best_so_far([Step(1, 0.5, True)], "points", ACCURACY))
