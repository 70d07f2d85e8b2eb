"""A sweep's page: what it says, whatever is done of the sweep, and its table under a visitor's hands."""

import html
import json

import filelock
import pytest
from html_page import Page
from in_browser import column, heading, headings, lies_well, show
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait
from sweep.written_sweep import (
    fail,
    finish,
    padding_and_stride,
    trial_of,
    write_metrics,
    write_provenance,
    write_status,
    write_sweep,
)

from cnn_jax.report.sweep_report import write_sweep_report
from cnn_jax.sweep.rows import SweepFolderError

PICTURES = {
    *("effect_model.padding", "effect_model.strides", "pair_model.padding_model.strides"),
    *("learning_curves", "cost_parameters", "cost_multiply_adds", "cost_training_seconds", "differences"),
}
SECTIONS = ["varied", "points", "differences", "effects", "pairs", "curves", "costs", "trials"]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The page of the sweep of paddings and strides."""
    return write_sweep_report(padding_and_stride(tmp_path_factory.mktemp("sweep") / "padding"))


def test_the_page_is_whole_and_self_contained(index):
    text = index.read_text()
    page = Page(text)
    assert page.sections == SECTIONS
    assert {file.stem for file in index.parent.glob("*.png")} == PICTURES
    assert len(page.pictures) == len(PICTURES)
    assert all(picture["alt"] for picture in page.pictures)
    assert all(target.startswith(("data:", "#")) for target in page.targets)
    for status, count in {"done": 36, "failed": 3, "infeasible": 6, "waiting": 0}.items():
        assert f'id="count-{status}"><b>{count}</b>' in text
    assert "45 trials of 15 points" in text
    assert "Does padding matter &lt;more&gt; than stride?" in text
    assert "\\u003cTraceback>" in text
    assert "<Traceback>" not in text
    assert "Baseline: padding=VALID, strides=1" in text
    assert ">90.13</td>" in text  # 0.9 + 0.001 * (0 + 3 + 1) / 3, the mean of VALID with stride 1
    assert "Finished trials" not in text  # all are of the same code


def test_a_new_report_replaces_the_old(tmp_path):
    trial = trial_of(0, {"model.strides": 1}, seed=0)
    write_sweep(tmp_path, ["model.strides"], [trial])
    index = write_sweep_report(tmp_path)
    (index.parent / "stale.png").write_bytes(b"")
    assert write_sweep_report(tmp_path) == index == tmp_path / "report" / "index.html"
    assert {entry.name for entry in tmp_path.iterdir()} == {"sweep.json", "report"}
    assert {entry.name for entry in index.parent.iterdir()} == {"index.html"}


def test_a_sweep_of_which_nothing_is_done(tmp_path):
    folder = padding_and_stride(tmp_path, finished=False)
    page = Page(write_sweep_report(folder).read_text())
    assert page.sections == ["varied", "points", "differences", "trials"]
    assert page.pictures == []


def test_one_trial_without_baseline(tmp_path):
    trial = trial_of(0, {"model.padding": None}, seed=5)
    write_sweep(tmp_path, ["model.padding"], [trial])
    finish(tmp_path, trial, 0.9)
    text = write_sweep_report(tmp_path).read_text()
    assert Page(text).sections == ["varied", "points", "curves", "trials"]
    assert "not set" in text
    assert "1 trial of 1 point;" in text


def test_seeds_alone(tmp_path):
    trials = [trial_of(seed, {}, seed) for seed in range(3)]
    write_sweep(tmp_path, [], trials, baseline={})
    for trial in trials:
        finish(tmp_path, trial, 0.9)
    text = write_sweep_report(tmp_path).read_text()
    assert Page(text).sections == ["varied", "points", "differences", "curves", "trials"]
    assert "3 trials of 1 point;" in text


def test_one_field_with_one_seed_while_the_sweep_runs(tmp_path):
    trials = [trial_of(n, {"model.strides": n}, seed=0) for n in (1, 2, 3, 4)]
    write_sweep(tmp_path, ["model.strides"], trials, baseline={"model.strides": 1})
    finish(tmp_path, trials[0], 0.9)
    finish(tmp_path, trials[1], 0.8, training=10.0)
    write_status(tmp_path, trials[2], "running")
    write_metrics(tmp_path, trials[2], [0.3])
    with filelock.FileLock(tmp_path / ".lock"):  # as the process that runs the sweep
        text = write_sweep_report(tmp_path).read_text()
    assert Page(text).sections == ["varied", "points", "differences", "effects", "curves", "costs", "trials"]
    assert 'id="count-running"><b>1</b>' in text
    assert 'data-value="-0.09999999999999998">-10.00</td>' in text
    assert '<td class="n" data-value=""></td>' in text  # one pair has neither interval nor p


def test_a_baseline_that_was_not_tried(tmp_path):
    write_sweep(tmp_path, ["a.b"], [trial_of(0, {"a.b": 1}, 0)], baseline={"a.b": 2})
    assert "The baseline b=2 is not a point of this sweep" in write_sweep_report(tmp_path).read_text()


def test_many_points_and_fields(tmp_path):
    fields = ["optimizer.learning_rate", "model.features", "model.padding"]
    trials = [
        trial_of(n, {fields[0]: 10 ** (-4 + n / 15), fields[1]: [16 + n % 13] * 9, fields[2]: "SAME"}, seed=0)
        for n in range(45)
    ]
    write_sweep(tmp_path, fields, trials, baseline=trials[7]["point"])
    for n, trial in enumerate(trials):
        finish(tmp_path, trial, 0.5 + n / 100, training=1.0 + n)
    index = write_sweep_report(tmp_path)
    # 45 and 13 values are too many for a heat map, and a field of one value has no effect
    assert {file.stem for file in index.parent.glob("*.png")} == {
        *("effect_optimizer.learning_rate", "effect_model.features"),
        *("learning_curves", "cost_training_seconds", "differences"),
    }


def test_warnings_and_spoilt_trials_are_shown(tmp_path):
    trials = [trial_of(n, {"a.b": n}, seed=0) for n in range(3)]
    write_sweep(tmp_path, ["a.b"], trials)
    finish(tmp_path, trials[0], 0.9)
    finish(tmp_path, trials[1], 0.9)
    write_provenance(tmp_path, trials[1], commit="c" * 40)
    fail(tmp_path, trials[2], "crash", "exit code 1", ["last words"])
    (tmp_path / "trials" / trials[2]["id"] / "status.json").write_text('{"status"')
    (tmp_path / "trials" / trials[0]["id"] / "metrics.jsonl").write_text(json.dumps({"step": 1}) + "\n{")
    record = {"step": 1, "epoch": 1, "split": "test", "values": None}
    (tmp_path / "trials" / trials[1]["id"] / "metrics.jsonl").write_text(json.dumps(record))
    (tmp_path / "trials" / trials[2]["id"] / "metrics.jsonl").write_bytes(b"\xff")
    text = write_sweep_report(tmp_path).read_text()
    assert "Finished trials come from different code: commit aaaaaaaaaa (1 trial); commit cccccccccc (1 trial)." in text
    assert f"trials/{trials[2]['id']}/status.json is damaged" in text


@pytest.mark.parametrize("ends", [3, 2])
def test_records_that_do_not_lead_to_the_result_are_told(tmp_path, ends):
    trials = [trial_of(n, {"a.b": n}, seed=0) for n in range(2)]
    write_sweep(tmp_path, ["a.b"], trials)
    for trial in trials:
        finish(tmp_path, trial, 0.9)  # at step 3
        path = tmp_path / "trials" / trial["id"] / "metrics.jsonl"
        path.unlink(missing_ok=True)
        write_metrics(tmp_path, trial, [0.1, 0.2, 0.9][: ends if trial is trials[0] else 3])
        values = path.read_text().replace(json.dumps(2 - 0.9), json.dumps(1 - 0.9))
        path.write_text(values)
    text = html.unescape(write_sweep_report(tmp_path).read_text())
    told = f"Learning curves of 1 finished trials do not lead to their results (trials/{trials[0]['id']}: result"
    assert (told in text) == (ends == 2)
    assert ("do not lead to their results" in text) == (ends == 2)


def test_a_folder_without_a_sweep(tmp_path):
    with pytest.raises(SweepFolderError, match=r"has no sweep.json"):
        write_sweep_report(tmp_path)


def test_more_than_twenty_points_that_end_close_together(tmp_path):
    trials = [trial_of(n, {"a.b": n}, seed=0) for n in range(24)]
    write_sweep(tmp_path, ["a.b"], trials)
    for n, trial in enumerate(trials):
        finish(tmp_path, trial, 0.9 + n * 1e-5)
    assert (write_sweep_report(tmp_path).parent / "learning_curves.png").exists()


@pytest.mark.parametrize("values", [[1e308, -1e308], [0.0, 5e-324], ["a" * 300, ""], [True, None], [[], {}]])
def test_odd_values_are_drawn(tmp_path, values):
    trials = [trial_of(n, {"a.b": values[n % 2], "a.c": [n, values[n % 2]][n % 2]}, seed=n) for n in range(26)]
    write_sweep(tmp_path, ["a.b", "a.c"], trials)
    for trial in trials[:20]:
        finish(tmp_path, trial, 0.9)
    write_sweep_report(tmp_path)


@pytest.mark.parametrize("width", [1200, 390])
def test_in_a_browser(index, browser, width):
    show(browser, index, width)
    lies_well(browser, width, SECTIONS, len(PICTURES))


def test_a_click_on_a_heading_sorts(index, browser):
    show(browser, index)
    before = column(browser, "accuracy (%)")
    known = sorted((text for text in before if text), key=float)
    assert len(known) == 36
    assert before[:36] != known
    heading(browser, "accuracy (%)").click()
    assert column(browser, "accuracy (%)") == known + [""] * 9
    assert heading(browser, "accuracy (%)").get_attribute("aria-sort") == "ascending"
    heading(browser, "accuracy (%)").click()
    assert column(browser, "accuracy (%)") == known[::-1] + [""] * 9  # the unknown stays last
    assert heading(browser, "accuracy (%)").get_attribute("aria-sort") == "descending"
    heading(browser, "padding").click()
    names = ["[[1,2],[2,1]]", "SAME", "SAME_LOWER", "TORCH", "VALID"]
    assert column(browser, "padding") == [name for name in names for _ in range(9)]
    assert [each.get_attribute("aria-sort") for each in headings(browser)].count("none") == len(headings(browser)) - 1
    heading(browser, "multiply-adds").click()  # by number: as text, 8,000,000 would come before 888,888
    sizes = ["888,888"] * 9 + ["2,000,000"] * 15 + ["8,000,000"] * 15
    assert column(browser, "multiply-adds") == sizes + [""] * 6


def test_the_indicator_is_seen(index, browser):
    show(browser, index)
    script = "return getComputedStyle(arguments[0].querySelector('button'), '::after').content"
    shown = [browser.execute_script(script, heading(browser, "seed"))]
    for _ in range(2):
        heading(browser, "seed").click()
        shown.append(browser.execute_script(script, heading(browser, "seed")))
    assert shown == ['"↕"', '"▲"', '"▼"']


def test_headings_are_sorted_by_keyboard(index, browser):
    show(browser, index)
    heading(browser, "seed").find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert column(browser, "seed") == [str(seed) for seed in range(3) for _ in range(15)]


def test_typing_filters(index, browser):
    show(browser, index)
    search, shown = browser.find_element(By.ID, "search"), browser.find_element(By.ID, "shown")
    assert shown.text == "45 trials"
    search.send_keys("Resource_Exhausted")  # of the message; capitals do not matter
    assert column(browser, "padding") == ["SAME_LOWER"]
    assert shown.text == "1 of 45 trials"
    search.send_keys(Keys.CONTROL, "a")
    search.send_keys(Keys.BACKSPACE)
    assert shown.text == "45 trials"
    search.send_keys("infeasible torch")
    assert column(browser, "status") == []
    search.send_keys(Keys.CONTROL, "a")
    search.send_keys("torch failed")
    assert column(browser, "what happened") != []
    assert shown.text == "1 of 45 trials"


def test_drop_downs_filter_with_the_rest(index, browser):
    show(browser, index)
    status, padding, strides = map(Select, browser.find_elements(By.CSS_SELECTOR, "#trials select"))
    assert [option.text for option in status.options] == ["all", "done", "failed", "infeasible"]
    assert [option.text for option in strides.options] == ["all", "1", "2", "3"]
    status.select_by_visible_text("failed")
    assert column(browser, "status") == ["failed"] * 3
    padding.select_by_visible_text("SAME")
    assert column(browser, "padding") == ["SAME"]  # not SAME_LOWER
    assert column(browser, "strides") == ["2"]
    status.select_by_visible_text("all")
    padding.select_by_visible_text("[[1,2],[2,1]]")
    assert column(browser, "padding") == ["[[1,2],[2,1]]"] * 9
    search = browser.find_element(By.ID, "search")
    search.send_keys("fit")
    assert column(browser, "status") == ["infeasible"] * 3
    search.send_keys(*[Keys.BACKSPACE] * 3)
    heading(browser, "accuracy (%)").click()
    heading(browser, "accuracy (%)").click()
    values = [float(text) for text in column(browser, "accuracy (%)") if text]
    assert len(values) == 6
    assert values == sorted(values, reverse=True)


def test_the_log_unfolds(index, browser):
    show(browser, index)
    path = "//*[@id='trials']//tbody/tr[.//b[text()='diverged']]"
    row = WebDriverWait(browser, 600).until(lambda page: page.find_element(By.XPATH, path))
    log = row.find_element(By.TAG_NAME, "pre")
    assert not log.is_displayed()
    row.find_element(By.TAG_NAME, "summary").click()
    assert log.is_displayed()
    assert log.text.splitlines()[1] == "<Traceback>"


HOSTILE = [
    "$5$",
    r"$\frac$",
    "中文",
    "x" * 300,
    "x" * 299 + "y",
    "</script><b>",
    "a\x1b[2J\nb",
    "=1+1",
    "{{ 7 * 7 }}",
    "\u202ebid",
]


def test_values_of_every_kind(tmp_path):
    """Names of values in plots, tables and choices: warnings are errors, and nothing is markup."""
    points = [{"model": name, "train.epochs": epochs} for name in HOSTILE for epochs in (1, 2)]
    trials = [trial_of(number, point, seed=0) for number, point in enumerate(points)]
    write_sweep(tmp_path / "s", ["model", "train.epochs"], trials, {"model": r"$\frac$", "train.epochs": 1})
    for number, trial in enumerate(trials[:-1]):
        finish(tmp_path / "s", trial, 0.5 + 0.01 * number, training=1.0 + number)
    fail(tmp_path / "s", trials[-1], "error", "\x1b[2J <b>", ["\x1b[31m <i>"])
    index = write_sweep_report(tmp_path / "s")
    text = index.read_text(encoding="utf-8")
    assert not set(text) & {"\x1b", "\u202e"}
    assert "<b></td>" not in text
    assert "<i>" not in text
    assert r"a\x1b[2J" in text
    assert "{{ 7 * 7 }}" in text
    assert {"effect_model", "learning_curves", "differences"} <= {file.stem for file in index.parent.glob("*.png")}
