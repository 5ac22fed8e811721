"""The page with the dashboards, as a person sees it."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

PICTURES = Path(__file__).resolve().parents[1] / "screenshots"
SECONDS = 60
# As many different colours as a chart has that is not empty: grid, labels, lines.
DRAWN = """
return [...document.querySelectorAll('[data-panel] canvas')].filter((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) colours.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]);
  return colours.size > 10;
}).length;
"""  # noqa: E501

pytestmark = pytest.mark.usefixtures("producer")


def until(holds: Callable[[], object], what: str, seconds: float = SECONDS) -> object:
    """What `holds` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < deadline, f"after {seconds} s: {what}"
        time.sleep(0.5)
    return result


def panel(browser: Chrome, title: str):
    return browser.find_element(
        By.XPATH, f"//section[@data-panel][.//*[contains(@class, 'name') and text()='{title}']]"
    )


def number(browser: Chrome, title: str) -> float:
    """The value of a stat panel; 0 while it has none."""
    shown = re.search(r"([\d.]+)( K| M)?", panel(browser, title).text.split("\n", 1)[-1])
    return float(shown[1]) * {None: 1, " K": 1e3, " M": 1e6}[shown[2]] if shown else 0


def legend(browser: Chrome, title: str) -> list[str]:
    return [name.text for name in panel(browser, title).find_elements(By.CSS_SELECTOR, ".legend td.name")]


def open_page(browser: Chrome, address: str, theme: str = "light", path: str = "/") -> None:
    browser.get(f"{address}{path}?theme={theme}")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".state:not(.lost)"), "the page is not connected")
    until(lambda: re.match(r"\d\d:\d\d:\d\d", browser.find_element(By.CSS_SELECTOR, ".state").text), "no snapshot")


def test_the_page_draws_what_the_pipeline_does(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    until(lambda: number(browser, "Records received") > 0, "no record is shown")
    until(lambda: {"in", "written"} <= set(legend(browser, "Message volume")), "no volume is drawn")
    until(lambda: legend(browser, "Lag by shard"), "no shard is drawn")
    assert all(name.startswith("shardId-") for name in legend(browser, "Lag by shard"))
    until(lambda: browser.execute_script(DRAWN) >= 5, "the charts are blank")
    assert browser.find_elements(By.CSS_SELECTOR, ".message.error") == []


def test_the_page_keeps_up_while_events_flow(browser: Chrome, address: str, producer: Popen) -> None:
    open_page(browser, address)
    before = until(lambda: number(browser, "Records received"), "no record is shown")
    until(lambda: number(browser, "Records received") > before, "the number stands still")
    assert producer.poll() is None


def test_the_page_needs_nothing_from_elsewhere(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [url for url in loaded if not url.startswith((address, address.replace("http", "ws"), "data:"))] == []
    assert len(loaded) > 5


def test_the_page_logs_no_error(browser: Chrome, address: str) -> None:
    browser.get_log("browser")
    open_page(browser, address)
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_button_changes_between_light_and_dark(browser: Chrome, address: str) -> None:
    open_page(browser, address, "light")
    is_dark = "return document.body.classList.contains('body--dark')"
    assert not browser.execute_script(is_dark)
    browser.find_element(By.CSS_SELECTOR, ".bar button").click()
    until(lambda: browser.execute_script(is_dark), "the page stays light")


def test_a_closed_row_opens_with_its_panels(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    throttled = panel(browser, "Invocations throttled")
    assert not throttled.is_displayed()
    heading = browser.find_element(By.XPATH, "//*[contains(@class, 'row-title')][.//*[text()='On AWS only']]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", heading)
    heading.click()
    until(lambda: "no data" in throttled.text, "the panels do not appear")


def test_links_of_panels_lead_to_headings_of_the_runbook(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    links = {a.get_attribute("href") for a in browser.find_elements(By.CSS_SELECTOR, ".panel > .title a")}
    assert links
    browser.get(f"{address}/RUNBOOK.md")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".document h1"), "the runbook is not shown")
    there = {f"{address}/RUNBOOK.md#{heading}" for heading in browser.execute_script(
        "return [...document.querySelectorAll('.document [id]')].map((heading) => heading.id)"
    )}  # fmt: skip
    assert links - there == set()


def test_no_two_panels_overlap(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    boxes = [one.rect for one in browser.find_elements(By.CSS_SELECTOR, "[data-panel]") if one.is_displayed()]
    overlapping = [
        (one, other)
        for at, one in enumerate(boxes)
        for other in boxes[at + 1 :]
        if one["x"] < other["x"] + other["width"]
        and other["x"] < one["x"] + one["width"]
        and one["y"] < other["y"] + other["height"]
        and other["y"] < one["y"] + one["height"]
    ]
    assert len(boxes) > 10
    assert overlapping == []


@pytest.mark.skipif(not os.environ.get("SCREENSHOTS"), reason="only for the README: make monitor-test SCREENSHOTS=1")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_screenshots_for_the_readme(browser: Chrome, address: str, theme: str) -> None:
    open_page(browser, address, theme)
    # Until the last minutes are full of events, the charts show little.
    until(lambda: number(browser, "Records received") > 60_000, "too little has been received", seconds=300)
    time.sleep(2)
    picture = PICTURES / f"{theme}.png"
    browser.save_screenshot(str(picture))
    assert picture.stat().st_size < 300_000
