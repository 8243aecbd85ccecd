"""The report in a real browser: no errors, nothing loaded, names, contrast, narrow screens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from result_factory import make_result

from sos_plugins.report import write_report

pytestmark = pytest.mark.browser

NARROW, MIDDLE, WIDE = 390, 768, 1280
"""Widths in CSS pixels: a telephone, a tablet, and a laptop."""

MOST_WORDS, MOST_PAGES = 1200, 4
"""Of what is open when the page is opened: with the labels of charts, and printed on A4."""

TEXT_CONTRAST, LARGE_TEXT_CONTRAST, GRAPHIC_CONTRAST = 4.5, 3.0, 3.0
"""WCAG 2.2, success criteria 1.4.3 and 1.4.11."""

SMALLEST_TEXT = 10.0
"""CSS pixels: below this, text in charts cannot be read on a telephone."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def start_browser(profile: Path) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    names = ("chromium", "chromium-browser", "google-chrome")
    options.binary_location = next(p for p in map(shutil.which, names) if p)
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={WIDE},1400"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = replace(make_result(), missing_checks=("R was not available",), warnings=("Look out",))
    return write_report(study, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    try:
        driver.get(report.as_uri())
        yield driver
    finally:
        driver.quit()


def resize(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def open_details(browser: Any, state: str = "true") -> None:
    browser.execute_script(
        f"document.querySelectorAll('details').forEach(d => {{ d.open = {state} }})"
    )


def test_it_opens_without_errors_and_asks_for_nothing_else(browser: Any, report: Path) -> None:
    assert "Signs of Safety" in browser.title
    messages = [json.loads(row["message"])["message"] for row in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"].startswith(report.as_uri())
    ]
    assert report.as_uri() in asked
    assert [url for url in asked if not url.startswith((report.as_uri(), "data:"))] == []
    assert browser.get_log("browser") == []


def test_the_policy_of_the_page_would_block_any_load(browser: Any) -> None:
    blocked = browser.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        const image = new Image();
        image.onload = () => done('loaded');
        image.onerror = () => done('blocked');
        image.src = 'file:///nowhere.png';
        """
    )
    assert blocked == "blocked"
    browser.get_log("browser")  # the refusal is logged; later tests look at a clean log


def test_every_picture_has_a_name_and_the_rest_are_hidden(browser: Any) -> None:
    nameless = browser.execute_script(
        """
        const textOf = ids => (ids || '').split(' ')
          .map(id => document.getElementById(id)?.textContent.trim() || '').join(' ').trim();
        return [...document.querySelectorAll('svg')].filter(svg =>
          svg.getAttribute('aria-hidden') !== 'true' &&
          !(svg.getAttribute('role') === 'img' && textOf(svg.getAttribute('aria-labelledby'))
            && textOf(svg.getAttribute('aria-describedby')).length > 40)
        ).map(svg => svg.outerHTML.slice(0, 200));
        """
    )
    assert nameless == []


def test_the_browser_computes_a_name_for_each_chart(browser: Any) -> None:
    from selenium.webdriver.common.by import By

    open_details(browser)
    charts = browser.find_elements(By.CSS_SELECTOR, "figure svg")
    assert len(charts) == 4 * 10 + 1
    for chart in charts[:8]:
        assert chart.accessible_name
        assert chart.aria_role in ("image", "img")


def test_every_table_has_a_caption_and_scoped_headers(browser: Any) -> None:
    faults = browser.execute_script(
        """
        return [...document.querySelectorAll('table')].filter(table => {
          const heads = [...table.querySelectorAll('th')];
          const rows = [...table.querySelectorAll('tbody tr')];
          return !table.caption || !table.caption.textContent.trim()
            || heads.length === 0 || heads.some(th => !th.scope || !th.textContent.trim())
            || table.querySelector('thead td') || rows.some(row => !row.querySelector('th'));
        }).map(table => table.id);
        """
    )
    assert faults == []


def test_headings_are_in_order_and_landmarks_are_there(browser: Any) -> None:
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    answer = browser.execute_script(
        "return ['header', 'nav', 'main', 'footer'].map(n => document.querySelectorAll(n).length)"
    )
    assert answer == [1, 1, 1, 1]
    assert browser.execute_script("return document.documentElement.lang") == "en-GB"


CONTRAST = """
const parse = c => {
  const m = c.match(/rgba?\\(([^)]+)\\)/);
  if (!m) return null;
  const p = m[1].split(/[ ,\\/]+/).map(Number);
  return {rgb: p.slice(0, 3), a: p.length > 3 ? p[3] : 1};
};
const lum = rgb => {
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = rgb.map(v => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (a, b) => {
  const [x, y] = [lum(a), lum(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
};
const ground = element => {
  for (let e = element; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c && c.a === 1) return c.rgb;
  }
  return [255, 255, 255];
};
const faults = [];
let seen = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !element.getClientRects().length) continue;
  // Figures on heat maps stand on colours of their own: see test_report.py.
  const maps = ['_completeness', 'record-trust'].map(m => `svg[aria-labelledby*="${m}"]`);
  if (element.closest(['title', 'desc', ...maps].join())) continue;
  const style = getComputedStyle(element);
  const inSvg = element.closest('svg');
  const colour = parse(inSvg ? style.fill : style.color);
  if (!colour) continue;
  seen += 1;
  const size = parseFloat(style.fontSize), bold = +style.fontWeight >= 700;
  const large = !inSvg && (size >= 24 || (size >= 18.66 && bold));
  const got = ratio(colour.rgb, ground(inSvg ? inSvg.parentElement : element));
  if (got < (large ? arguments[1] : arguments[0]) || colour.a < 1)
    faults.push([element.outerHTML.slice(0, 120), got]);
}
return {seen, faults: faults.slice(0, 20)};
"""


def test_text_stands_out_from_its_background(browser: Any) -> None:
    resize(browser, WIDE)
    open_details(browser)
    answer = browser.execute_script(CONTRAST, TEXT_CONTRAST, LARGE_TEXT_CONTRAST)
    assert answer["seen"] > 1000
    assert answer["faults"] == []


def test_the_contrast_check_would_find_a_fault(browser: Any) -> None:
    add = "const p = document.createElement('p'); p.id = 'pale'; p.style.color = '#999';"
    browser.execute_script(add + "p.textContent = 'pale'; document.body.append(p);")
    answer = browser.execute_script(CONTRAST, TEXT_CONTRAST, LARGE_TEXT_CONTRAST)
    browser.execute_script("document.getElementById('pale').remove()")
    assert len(answer["faults"]) == 1


def test_lines_and_markers_stand_out_from_white() -> None:
    from sos_plugins.report.heat import luminance
    from sos_plugins.report.svg import INK, MUTED, SERIES

    for colour in (INK, MUTED, *SERIES):
        assert 1.05 / (luminance(colour) + 0.05) >= GRAPHIC_CONTRAST


@pytest.mark.parametrize("opened", ["false", "true"])
@pytest.mark.parametrize("width", [NARROW, MIDDLE, WIDE])
def test_the_page_never_scrolls_sideways(browser: Any, width: int, opened: str) -> None:
    resize(browser, width)
    open_details(browser, opened)
    scroll = browser.execute_script("return document.documentElement.scrollWidth")
    assert scroll <= width


def test_what_is_wider_than_a_telephone_scrolls_in_a_region_the_keyboard_reaches(
    browser: Any,
) -> None:
    resize(browser, NARROW)
    open_details(browser)
    answer = browser.execute_script(
        """
        const wide = [...document.querySelectorAll('.scroll')]
          .filter(e => e.scrollWidth > e.clientWidth + 1);
        return {n: wide.length, faults: wide.filter(e => e.tabIndex !== 0
          || e.getAttribute('role') !== 'region'
          || !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby'))
        ).map(e => e.outerHTML.slice(0, 150))};
        """
    )
    assert answer["n"] > 10
    assert answer["faults"] == []


@pytest.mark.parametrize("width", [NARROW, MIDDLE, WIDE])
def test_text_in_charts_is_large_enough_and_inside_its_chart(browser: Any, width: int) -> None:
    resize(browser, width)
    open_details(browser)
    answer = browser.execute_script(
        """
        const small = [], outside = [];
        for (const svg of document.querySelectorAll('figure svg, .card svg.bar')) {
          const box = svg.getBoundingClientRect();
          const scale = box.width / svg.viewBox.baseVal.width;
          for (const text of svg.querySelectorAll('text')) {
            const size = parseFloat(getComputedStyle(text).fontSize) * scale;
            if (size < arguments[0]) small.push([text.textContent, size]);
            const t = text.getBoundingClientRect();
            if (t.left < box.left - 1 || t.right > box.right + 1 || t.top < box.top - 1
                || t.bottom > box.bottom + 1) outside.push([svg.id, text.textContent]);
          }
        }
        return {small: small.slice(0, 9), outside: outside.slice(0, 9)};
        """,
        SMALLEST_TEXT,
    )
    assert answer["small"] == []
    assert answer["outside"] == []


def test_labels_of_charts_do_not_run_into_each_other(browser: Any) -> None:
    resize(browser, WIDE)
    open_details(browser)
    clashes = browser.execute_script(
        """
        const clashes = [];
        for (const svg of document.querySelectorAll('figure svg, .card svg.bar')) {
          const boxes = [...svg.querySelectorAll('text')]
            .map(t => [t.textContent, t.getBoundingClientRect()])
            .sort((a, b) => a[1].top - b[1].top);
          boxes.forEach(([a, p], i) => {
            for (let j = i + 1; j < boxes.length && boxes[j][1].top < p.bottom; j += 1) {
              const [b, q] = boxes[j];
              const x = Math.min(p.right, q.right) - Math.max(p.left, q.left);
              const y = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
              if (x > 1 && y > 0.35 * Math.min(p.height, q.height)) clashes.push([a, b]);
            }
          });
        }
        return clashes.slice(0, 9);
        """
    )
    assert clashes == []


def test_the_keyboard_sees_the_skip_link_first_and_where_it_is(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    browser.switch_to.active_element.send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to the findings"
    assert focused.rect["x"] >= 0
    outline = browser.execute_script(
        "const s = getComputedStyle(document.activeElement);return [s.outlineStyle, s.outlineWidth]"
    )
    assert outline == ["solid", "3px"]
    focused.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.activeElement.id") == "main"


def test_printing_shows_the_findings_without_navigation(browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = browser.execute_script(
        "const of = s => getComputedStyle(document.querySelector(s)).display;"
        "return ['nav', '.skip', 'main'].map(of)"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert shown == ["none", "none", "block"]


def test_cards_stack_on_a_telephone_and_all_of_each_is_on_the_screen(browser: Any) -> None:
    resize(browser, NARROW)
    open_details(browser, "false")
    cards = browser.execute_script(
        """
        return [...document.querySelectorAll('.card')].map(card => {
          const box = card.getBoundingClientRect();
          const parts = [...card.querySelectorAll('h3, p, svg')]
            .map(e => e.getBoundingClientRect());
          return {left: box.left, top: box.top, bottom: box.bottom,
            out: parts.filter(b => !b.width || b.left < 0 || b.right > innerWidth).length};
        });
        """
    )
    assert len(cards) == 4
    assert len({card["left"] for card in cards}) == 1
    assert all(above["bottom"] <= below["top"] for above, below in pairwise(cards))
    assert [card["out"] for card in cards] == [0] * 4


def test_cards_stand_beside_each_other_on_a_laptop(browser: Any) -> None:
    resize(browser, WIDE)
    lefts = browser.execute_script(
        "return [...document.querySelectorAll('.card')].map(c => c.getBoundingClientRect().left)"
    )
    assert len(set(lefts)) > 1


@pytest.mark.parametrize("width", [NARROW, MIDDLE, WIDE])
def test_nothing_of_the_first_part_need_be_scrolled_sideways(browser: Any, width: int) -> None:
    resize(browser, width)
    open_details(browser, "false")
    hidden = browser.execute_script(
        """
        const shown = [...document.querySelectorAll('.scroll')].filter(e => e.checkVisibility());
        return [shown.length, shown.filter(e => e.scrollWidth > e.clientWidth + 1).length];
        """
    )
    assert hidden == [2 * 4, 0]


def test_what_is_open_has_few_words(browser: Any) -> None:
    resize(browser, WIDE)
    open_details(browser, "false")
    words = browser.execute_script(
        "return document.body.innerText.match(/[\\p{L}\\p{N}]\\S*/gu).length"
    )
    assert 300 < words <= MOST_WORDS


def printed_pages(browser: Any) -> int:
    import base64
    import re

    settings = {"preferCSSPageSize": True}
    file = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", settings)["data"])
    return len(re.findall(rb"/Type\s*/Page\b", file))


def test_what_is_open_is_printed_on_few_pages_and_what_is_opened_too(browser: Any) -> None:
    open_details(browser, "false")
    closed = printed_pages(browser)
    assert 2 <= closed <= MOST_PAGES
    open_details(browser)
    assert printed_pages(browser) > closed + 4


@pytest.mark.parametrize("opened", ["false", "true"])
def test_no_heading_is_printed_without_what_it_heads(browser: Any, opened: str) -> None:
    open_details(browser, opened)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    empty = browser.execute_script(
        """
        const shown = e => e.checkVisibility() && e.getClientRects().length > 0;
        const texts = [...document.querySelectorAll(
          'main h2, main h3, main h4, main p, main li, main td, main svg')].filter(shown);
        return texts.filter((e, i) => /^H/.test(e.tagName) && (i + 1 === texts.length
          || (/^H/.test(texts[i + 1].tagName) && texts[i + 1].tagName <= e.tagName)))
          .map(e => e.textContent);
        """
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert empty == []
