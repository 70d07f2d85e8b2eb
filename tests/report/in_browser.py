"""A page as a browser lays it out, and its table of trials."""

from selenium.webdriver.common.by import By


def show(browser, index, width=1200):
    """Opens a page in a window of this width, in pixels."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(index.as_uri())


def lies_well(browser, width, sections, pictures, smallest=301):
    """Checks the open page: nothing is logged, nothing is wider than the window, every section and picture is there."""
    assert browser.get_log("browser") == []
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == pictures
    assert min(widths) >= smallest
    for section in sections:
        box = browser.execute_script("return document.getElementById(arguments[0]).getBoundingClientRect()", section)
        assert box["height"] > 40
        assert box["left"] >= 0
        assert box["right"] <= width


def headings(browser):
    return browser.find_elements(By.CSS_SELECTOR, "#trials th")


def heading(browser, text):
    return next(each for each in headings(browser) if each.text.rstrip(" ↕▲▼") == text)


def column(browser, text):
    """The texts of a column's visible cells, from the top."""
    script = """
        const names = [...document.querySelectorAll("#trials th")].map(each => each.innerText.replace(/[ ↕▲▼]+$/, ""))
        const place = names.indexOf(arguments[0])
        if (place < 0) throw new Error(`no ${arguments[0]} among ${names}`)
        return [...document.querySelectorAll("#trials tbody tr")]
            .filter(row => row.getClientRects().length).map(row => row.cells[place].textContent)"""
    return browser.execute_script(script, text)
