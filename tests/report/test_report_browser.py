"""The report opened from a file in Chromium, offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from distillab.report import write_report
from support.report_cases import CASES

pytestmark = pytest.mark.browser

PHONE, DESKTOP = 375, 1360

OPEN_ALL = "document.querySelectorAll('details').forEach(d => { d.open = true; })"

DRAWN = """() => [...document.querySelectorAll('.plot')].every(box =>
  box.closest('details:not([open])') || (box._fullLayout && box.querySelector('svg.main-svg')))"""

PLOTS = """() => [...document.querySelectorAll('.plot')].map(box => {
  const svg = box.querySelector('svg.main-svg');
  const size = svg ? svg.getBoundingClientRect() : {width: 0, height: 0};
  const marks = box.querySelectorAll('.plot .point, .plot .lines path, .plot .fills path, .plot .js-fill');
  return {id: box.id, traces: (box.data || []).length, marks: marks.length,
    width: size.width, height: size.height};
})"""

# Text of a plot that exceeds its figure, or texts of one kind that overlap.
MISPLACED = """() => [...document.querySelectorAll('.plot')].flatMap(box => {
  const frame = box.getBoundingClientRect();
  const texts = kind => [...box.querySelectorAll(kind)]
    .map(t => [t.textContent, t.getBoundingClientRect()]).filter(([text, r]) => text.trim() && r.width);
  const faults = texts('svg text').filter(([, r]) => r.left < frame.left - 1 || r.right > frame.right + 1
    || r.top < frame.top - 1 || r.bottom > frame.bottom + 1).map(([text]) => `${box.id} clips ${text}`);
  for (const kind of ['.xtick text', '.ytick text', '.y2tick text', '.annotation text', '.legendtext']) {
    const all = texts(kind);
    all.forEach(([one, a], i) => all.slice(0, i).forEach(([other, b]) => {
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 4) faults.push(`${box.id}: ${one} on ${other}`);
    }));
  }
  return faults;
})"""


@dataclass
class Opened:
    """A page with its requests and its errors."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Files(dict[str, Path]):
    """Reports by case, each written on first use."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, case: str) -> Path:
        self[case] = self.folder / f"{case}.html"
        write_report(CASES[case](), self[case])
        return self[case]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("reports"))


def open_report(browser: Browser, path: Path, width: int = DESKTOP, scheme: str = "light") -> Opened:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
        offline=True,
    )
    opened = Opened(context.new_page(), path.as_uri())
    page = opened.page
    page.set_default_timeout(120_000)  # a busy machine must not fail the test
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    page.on(
        "console",
        lambda message: opened.errors.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.goto(opened.url)
    page.wait_for_function(DRAWN)
    return opened


@pytest.fixture
def usual(chromium: Browser, files: Files) -> Iterator[Page]:
    opened = open_report(chromium, files["sample"])
    yield opened.page
    opened.page.context.close()


@pytest.mark.parametrize("case", CASES)
def test_every_case_fits_desktop_and_phone(case: str, chromium: Browser, files: Files) -> None:
    opened = open_report(chromium, files[case])
    page = opened.page
    page.evaluate(OPEN_ALL)
    page.wait_for_function(DRAWN)
    for width in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "() => [...document.querySelectorAll('.plot')]"
            ".every(box => Math.abs(box._fullLayout.width - box.clientWidth) < 2)"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for plot in page.evaluate(PLOTS):
            assert plot["traces"] > 0, plot
            assert plot["width"] > 200 and plot["height"] > 60, plot
        assert page.evaluate(MISPLACED) == []
    requested = {url for url in opened.requests if not url.startswith(("data:", "blob:"))}
    assert requested == {opened.url}
    assert opened.errors == []
    assert page.evaluate("window.hacked") is None
    page.context.close()


def test_every_plot_has_marks(usual: Page) -> None:
    usual.evaluate(OPEN_ALL)
    usual.wait_for_function(DRAWN)
    plots = usual.evaluate(PLOTS)
    assert {plot["id"].split("-")[0] for plot in plots} >= {
        "forest",
        "dose",
        "score",
        "counts",
        "classes",
        "costs",
    }
    assert [plot["id"] for plot in plots if not plot["marks"]] == []


def test_early_training_is_marked_on_the_first_screen(chromium: Browser, files: Files) -> None:
    page = open_report(chromium, files["early_training"]).page
    mark = page.locator("#answer .badge.early")
    assert mark.is_visible() and "Early training in 4 of " in mark.inner_text()
    box = mark.bounding_box()
    assert box is not None and box["y"] + box["height"] < 900  # without scrolling
    assert "Epochs fall from 64 to 4" in page.locator("#answer .caveats").inner_text()
    marked = page.locator("#gains svg .ytick text", has_text="(early training)")
    assert 0 < marked.count() < page.locator("#gains svg .ytick text").count()
    assert page.locator("#effects-table td.early").count() > 0
    page.context.close()


def test_folded_plots_are_drawn_when_opened(chromium: Browser, files: Files) -> None:
    page = open_report(chromium, files["forty_levels"]).page
    folded = page.locator("#gains details:has(.plot)").first
    assert folded.locator("svg.main-svg").count() == 0
    folded.locator("summary").click()
    folded.locator("svg.main-svg").first.wait_for(state="visible")
    page.context.close()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_navigation_reaches_every_section(width: int, chromium: Browser, files: Files) -> None:
    page = open_report(chromium, files["no_factor"], width).page
    links = page.locator("nav a")
    assert links.count() == page.locator("main > section").count()
    for i in range(links.count()):
        link = links.nth(i)
        name = (link.get_attribute("href") or "").removeprefix("#")
        section = page.locator(f"section#{name}")
        assert section.count() == 1
        link.click()
        top = section.evaluate("s => s.getBoundingClientRect().top")
        at_end = page.evaluate("innerHeight + scrollY >= document.documentElement.scrollHeight - 2")
        assert abs(top) <= 60 or (at_end and 0 < top < 900), name
    page.context.close()


def test_theme_follows_the_system_and_the_button(chromium: Browser, files: Files) -> None:
    def shades(page: Page) -> tuple[str, str, str]:
        page.wait_for_function(DRAWN)
        return (
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            page.evaluate("getComputedStyle(document.querySelector('#forest-0 .ytick text')).fill"),
            page.evaluate("document.querySelector('#forest-0').data[0].marker.color"),
        )

    light = open_report(chromium, files["one_level"]).page
    dark = open_report(chromium, files["one_level"], scheme="dark").page
    by_light, by_dark = shades(light), shades(dark)
    assert all(a != b for a, b in zip(by_light, by_dark, strict=True))
    light.locator("#theme").click()
    assert shades(light) == by_dark
    assert light.locator("#theme").get_attribute("aria-pressed") == "true"
    light.locator("#theme").click()
    assert shades(light) == by_light
    light.emulate_media(color_scheme="dark")  # a manual choice is kept
    assert shades(light) == by_light
    dark.emulate_media(color_scheme="light")  # without one, the page follows the system
    assert shades(dark) == by_light
    light.context.close()
    dark.context.close()


def test_runs_can_be_sorted_and_filtered(usual: Page) -> None:
    table = usual.locator("#runs-table")
    names = table.locator("thead th").all_inner_texts()
    column = next(place for place, name in enumerate(names) if "Accuracy" in name)

    def accuracies() -> list[float | None]:
        orders = table.locator(f"tbody tr td:nth-child({column + 1})").evaluate_all(
            "cells => cells.map(c => c.dataset.order)"
        )
        return [None if order is None else float(order) for order in orders]

    head = table.locator("thead th").nth(column)
    head.locator("button").click()
    known = [value for value in accuracies() if value is not None]
    assert len(known) > 300 and known == sorted(known)
    assert accuracies()[-1] is None  # the failed run has no accuracy and comes last
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    known = [value for value in accuracies() if value is not None]
    assert known == sorted(known, reverse=True) and accuracies()[-1] is None
    usual.locator("#runs-table-filter").fill("failed")
    visible = table.locator("tbody tr:visible")
    assert visible.count() == 1 and "label_smoothing" in visible.inner_text()
    assert usual.locator("#runs-table-count").inner_text() == "1 of 360 rows"
    usual.locator("#runs-table-filter").fill("0.4 DKD excluded")
    assert visible.count() == 4  # one at each of four sizes
    usual.locator("#runs-table-filter").fill("")
    assert visible.count() == 360


def test_print_opens_folds_and_fits_the_paper(usual: Page) -> None:
    usual.set_viewport_size({"width": 718, "height": 1000})  # A4 at 96 pixels an inch, with margins
    usual.emulate_media(media="print", color_scheme="dark")
    usual.evaluate("dispatchEvent(new Event('beforeprint'))")
    usual.wait_for_function(DRAWN)
    assert usual.locator("details:not([open])").count() == 0
    assert usual.evaluate("document.documentElement.scrollWidth") <= 718
    assert usual.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    widths = usual.evaluate("[...document.querySelectorAll('.plot')].map(box => box._fullLayout.width)")
    assert max(widths) <= 680
    usual.evaluate("dispatchEvent(new Event('afterprint'))")
    assert usual.locator("details:not([open])").count() > 0


def test_page_is_accessible_to_screen_readers(usual: Page) -> None:
    facts = usual.evaluate(
        """() => ({
      ids: [...document.querySelectorAll('[id]')].filter(e => !e.closest('.plot svg')).map(e => e.id),
      levels: [...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1])),
      alts: [...document.querySelectorAll('img')].map(i => i.alt),
      captions: [...document.querySelectorAll('table')].map(t => t.caption && t.caption.textContent.trim()),
      plots: [...document.querySelectorAll('.plot')].map(p => p.getAttribute('aria-label')),
      sections: [...document.querySelectorAll('section')].map(s =>
        document.getElementById(s.getAttribute('aria-labelledby'))?.textContent),
      fields: [...document.querySelectorAll('input')].map(i => i.labels.length),
      language: document.documentElement.lang,
    })"""
    )
    assert len(set(facts["ids"])) == len(facts["ids"])
    assert facts["levels"].count(1) == 1 and facts["levels"][0] == 1
    assert all(
        after <= before + 1 for before, after in zip(facts["levels"], facts["levels"][1:], strict=False)
    )
    for kind in ("alts", "captions", "plots", "sections", "fields"):
        assert facts[kind] and all(facts[kind]), kind
    assert facts["language"] == "en"
