"""The page of a random search: what it lists, and the ranges of its table."""

import json
import re

import pytest
from html_page import Page
from in_browser import column, heading, lies_well, show
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sweep.written_sweep import (
    fail,
    finish,
    trial_of,
    write_sweep,
)

from cnn_jax.report import sweep_report
from cnn_jax.report.sweep_report import write_sweep_report

SECTIONS = ["varied", "points", "differences", "effects", "pairs", "curves", "trials"]


def random_search(folder, count):
    """Points of different rates, every third without one, of different widths, and of one of two paddings."""
    fields = ["optimizer.learning_rate", "model.features", "model.padding"]
    trials = [
        trial_of(
            n,
            {
                fields[0]: None if n % 3 == 2 else 1e-4 * 1.25**n,
                fields[1]: [8 + n, 16],
                fields[2]: "SAME" if n % 2 else "VALID",
            },
            seed=0,
        )
        for n in range(count)
    ]
    write_sweep(folder, fields, trials, baseline=trials[-1]["point"])
    for n, trial in enumerate(trials):
        if n % 10 == 9:
            fail(folder, trial, "diverged", "the training loss is nan", [])
        else:
            finish(folder, trial, round(0.5 + 0.4 * n / count, 4))
    return folder


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The page of a random search, of which 20 points are listed and 20 trials shown at first."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sweep_report, "_POINT_LINES", 20)
        patched.setattr(sweep_report, "_SHOWN_TRIALS", 20)
        patched.setattr(sweep_report, "_CHOSEN_VALUES", 20)
        return write_sweep_report(random_search(tmp_path_factory.mktemp("search"), 48))


def test_a_random_search(searched):
    text = searched.read_text()
    assert Page(text).sections == SECTIONS
    assert {file.stem for file in searched.parent.glob("*.png")} == {
        *("effect_optimizer.learning_rate", "effect_model.features", "effect_model.padding"),
        *("pair_optimizer.learning_rate_model.padding", "learning_curves", "differences"),
    }
    assert f"32 values from 0.0001 to {1e-4 * 1.25**46:.6g}, not set" in text
    assert "[8,16], [9,16]" in text
    assert " and 28 more</td>" in text
    assert "The 20 best of 48 points are listed, and the baseline; points.csv has all." in text
    rows = json.loads(re.search(r'<script type="application/json" id="rows">(.*?)</script>', text)[1])
    assert len(rows) == 48
    assert len({row[0] for row in rows}) == 48


def range_of(browser, text):
    path = f"//fieldset[legend[text()='{text}']]/input"
    return browser.find_elements(By.XPATH, path)


def fill(field, text):
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text or Keys.BACKSPACE)


def test_ranges_filter(searched, browser):
    show(browser, searched)
    shown = browser.find_element(By.ID, "shown")
    assert shown.text == "48 trials, the first 20 shown"
    assert len(column(browser, "status")) == 20
    least, greatest = range_of(browser, "learning_rate")
    assert (least.get_attribute("placeholder"), greatest.get_attribute("placeholder")[:4]) == ("0.0001", "2.86")
    fill(least, "1e-3")
    known = [rate for n in range(48) if n % 3 != 2 and (rate := 1e-4 * 1.25**n) >= 1e-3]
    assert shown.text == f"{len(known)} of 48 trials, the first 20 shown"
    fill(greatest, "0.01")
    known = [rate for rate in known if rate <= 1e-2]
    assert column(browser, "learning_rate") == [f"{rate:.6g}" for rate in known]
    assert shown.text == f"{len(known)} of 48 trials"
    features = browser.find_element(By.CSS_SELECTOR, "#trials .filters input[data-column]")
    fill(features, "[20,")  # a part of the value
    assert column(browser, "features") == ["[20,16]"]
    for field in (least, greatest, features):
        fill(field, "")
    assert shown.text == "48 trials, the first 20 shown"


def test_all_trials_are_sorted_also_those_not_shown(searched, browser):
    show(browser, searched)
    heading(browser, "accuracy (%)").click()
    heading(browser, "accuracy (%)").click()
    best = sorted((round(0.5 + 0.4 * n / 48, 4) for n in range(48) if n % 10 != 9), reverse=True)
    assert column(browser, "accuracy (%)") == [f"{100 * value:.2f}" for value in best[:20]]
    browser.find_element(By.ID, "more").click()
    assert len(column(browser, "accuracy (%)")) == 48
    assert browser.find_element(By.ID, "shown").text == "48 trials"


@pytest.mark.parametrize("width", [1200, 390])
def test_a_random_search_in_a_browser(searched, browser, width):
    show(browser, searched, width)
    lies_well(browser, width, SECTIONS, 6)
