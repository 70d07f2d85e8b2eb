"""The page of docs/explorer in a browser: the lecture's examples, keyboard, screen readers, mistakes."""

import base64
import io
from pathlib import Path

import axe_core_python
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

PAGE = Path(__file__).parents[2] / "docs/explorer/index.html"
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")

# The lecture's numbers; where it errs, the right ones (docs/lecture derives each).
OUTPUTS = {
    "window": (4, 4, 429),
    "binary": [[4, 3, 4], [2, 4, 3], [2, 3, 4]],
    "impulse": [[9, 8, 7], [6, 5, 4], [3, 2, 1]],
    "edge": [[-14, -1, 10, -1], [-11, -11, 7, 12], [-7, -10, 1, 13], [5, -16, -4, 11]],
    "stride": [[-14, 10], [-7, 1]],
    "same": [[4, 6, 6, 6, 4], [6, 9, 9, 9, 6], [6, 9, 9, 9, 6], [6, 9, 9, 9, 6], [4, 6, 6, 6, 4]],
    "valid13": [[21, 51]],
    "same13": [[15, 45, 46]],
    "ignored": [[14, 30], [57, 99]],
    "cut": [[54]],
    "max": [[6, 8], [5, 8]],
    "avg": [[4.25, 4.25], [4.25, 3.5]],
    "min": [[6, 8], [9, 5]],
    "practice": [
        [-6, -3, -1, 7, 8],
        [1, 7, -5, -2, 6],
        [4, 9, -3, -7, 0],
        [2, 6, 0, -6, -2],
        [5, 9, 0, -9, -5],
        [7, 10, 0, -10, -7],
    ],
}


def opened(browser, example, width=1280, scheme="light"):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")
    browser.get(f"{PAGE.as_uri()}#{example}")
    return browser


def output(page):
    """The numbers of the output's cells."""
    labels = page.execute_script(
        "return [...document.querySelectorAll('#output tr')].map(row => [...row.cells].map(cell => cell.ariaLabel))"
    )
    return [[float(label.split(": ")[1].replace("\N{MINUS SIGN}", "-")) for label in row] for row in labels]


def text(page, name):
    return page.find_element(By.ID, name).text.replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize("example", OUTPUTS)
def test_examples_of_the_lecture(browser, example):
    page = opened(browser, example)
    expected = OUTPUTS[example]
    if isinstance(expected, tuple):
        rows, columns, first = expected
        assert (len(output(page)), len(output(page)[0]), output(page)[0][0]) == (rows, columns, first)
    else:
        assert output(page) == expected
    assert page.get_log("browser") == []


def test_every_example_is_shown_or_has_its_sizes(browser):
    page = opened(browser, "window")
    names = [option.get_attribute("value") for option in Select(page.find_element(By.ID, "preset")).options]
    assert set(OUTPUTS) < set(names)
    assert len(names) == len(set(names)) == len(OUTPUTS) + 2
    page = opened(browser, "alexnet")
    assert "(224 + 1 + 2 - 11)/4 + 1 = 55" in text(page, "rows_formula")
    assert not page.find_element(By.ID, "stage").is_displayed()


def test_an_ignored_row_is_shown(browser):
    page = opened(browser, "ignored")
    assert text(page, "unread") == "Read by no window: 1 row of padding, 1 column of padding."
    assert "= 2.5, rounded down, is 2" in text(page, "rows_formula")
    rows = page.execute_script(
        "return [...document.querySelectorAll('#input tr')].map(row => row.querySelectorAll('.unread').length)"
    )
    assert rows == [1, 1, 1, 1, 1, 6]
    page = opened(browser, "cut")
    assert text(page, "unread") == "Read by no window: row 4 of the image, column 4 of the image."
    page = opened(browser, "valid13")
    assert text(page, "unread") == "Read by no window: columns 12, 13 of the image."


def test_products_and_the_window_follow_the_keyboard(browser):
    page = opened(browser, "edge")
    assert text(page, "sum") == ("Output row 1, column 1: 1·1 + 2·0 + 3·-1 + 2·1 + 2·0 + 5·-1 + 0·1 + 6·0 + 9·-1 = -14")
    page.find_element(By.CSS_SELECTOR, '#output [tabindex="0"]').send_keys(Keys.ARROW_RIGHT)
    page.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert text(page, "sum").startswith("Output row 2, column 2: ")
    assert text(page, "sum").endswith("= -11")
    places = page.execute_script(
        "return [...document.querySelectorAll('#input td.window')].map(cell => cell.dataset.place)"
    )
    assert places == [f"{row},{column}" for row in (1, 2, 3) for column in (1, 2, 3)]
    page.find_element(By.ID, "last").send_keys(Keys.ENTER)
    assert text(page, "sum").endswith("= 11")
    page.find_element(By.ID, "back").send_keys(Keys.ENTER)
    assert text(page, "sum").startswith("Output row 4, column 3: ")


def test_it_plays_to_the_end(browser):
    page = opened(browser, "max")
    page.execute_script("document.getElementById('speed').value = 20")
    page.find_element(By.ID, "play").click()
    WebDriverWait(page, 20).until(lambda page: text(page, "sum").startswith("Output row 2, column 2: "))
    WebDriverWait(page, 20).until(lambda page: text(page, "play") == "Play")
    assert text(page, "sum") == "Output row 2, column 2: largest of 1, 3, 7, 8 is 8"


def test_settings_are_followed(browser):
    page = opened(browser, "edge")
    Select(page.find_element(By.ID, "padding")).select_by_value("REPLICATE")
    # The first window sees the corner's pixels twice: (1 + 1 + 2) - (2 + 2 + 2).
    assert output(page)[0][0] == -2
    assert (len(output(page)), len(output(page)[0])) == (6, 6)
    Select(page.find_element(By.ID, "operation")).select_by_value("avg")
    assert "Pooling takes no REPLICATE padding" in text(page, "fault")
    Select(page.find_element(By.ID, "padding")).select_by_value("number")
    assert output(page)[0][0] == 1  # the corner's own pixel; zeros are left out
    page.find_element(By.ID, "count_padding").click()
    assert output(page)[0][0] == 0.25


def test_mistakes_are_told_and_mended(browser):
    page = opened(browser, "edge")
    kernel = page.find_element(By.ID, "kernel")
    kernel.clear()
    kernel.send_keys("1 2\n3")
    assert text(page, "fault") == "Weights: expected as many numbers in each row"
    kernel.clear()
    kernel.send_keys("\n".join(["1 1 1 1 1 1 1"] * 7))
    assert "a window of 7 pixels exceeds its input of 6" in text(page, "fault")
    assert not page.find_element(By.ID, "stage").is_displayed()
    kernel.clear()
    kernel.send_keys("2")
    assert text(page, "fault") == ""
    assert output(page)[0] == [2, 4, 6, 2, 6, 10]
    assert page.get_log("browser") == []


def test_drawing_and_pictures(browser, tmp_path):
    page = opened(browser, "edge")
    page.execute_script("""
        const cell = document.querySelector('#input td[data-place="0,0"]').getBoundingClientRect();
        const at = {clientX: cell.x + 5, clientY: cell.y + 5, buttons: 1, bubbles: true};
        document.getElementById('brush').value = '8';
        document.getElementById('input').dispatchEvent(new PointerEvent('pointerdown', at));
    """)
    assert output(page)[0][0] == -14 + 8 - 1  # the corner was 1
    picture = Image.new("L", (56, 56))
    picture.paste(255, (28, 0, 56, 56))
    picture.save(tmp_path / "half.png")
    page.find_element(By.ID, "upload").send_keys(str(tmp_path / "half.png"))
    WebDriverWait(page, 20).until(lambda page: len(output(page)) == 26)
    # Black left, white right: three rows of 0 - 255 where the window spans the edge.
    assert sorted(set(output(page)[5])) == [-765, 0]
    (tmp_path / "none.png").write_bytes(b"no picture")
    page.find_element(By.ID, "upload").send_keys(str(tmp_path / "none.png"))
    WebDriverWait(page, 20).until(lambda page: "is no picture" in text(page, "fault"))


def test_two_or_four_layers_of_three(browser):
    page = opened(browser, "edge")
    assert "7x7 cells of the input: rows 5 to 11" in text(page, "stack_story")
    count = page.find_element(By.ID, "stack_count")
    count.clear()
    count.send_keys("4")
    assert "9x9 cells of the input" in text(page, "stack_story")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")])
def test_screen_readers_and_narrow_windows(browser, width, scheme):
    page = opened(browser, "same", width, scheme)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_script(AXE)
    checked, found = page.execute_async_script("""
        axe.run().then(({passes, violations}) =>
            arguments[0]([passes.length, violations.map(({id, nodes}) => [id, nodes.map(({html}) => html)])]))
    """)
    assert checked > 20
    assert found == []


def test_the_picture_of_a_narrow_window_is_not_blank(browser):
    page = opened(browser, "line", 360)
    shown = page.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    colours = Image.open(io.BytesIO(base64.b64decode(shown["data"]))).convert("RGB").getcolors(2**24)
    assert len(colours) > 20
