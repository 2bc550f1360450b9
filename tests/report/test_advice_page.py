"""The page of an advice, opened from a file in Chromium without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from distillab.advise.what_if import NOTHING_KNOWN
from distillab.report.page.advice import render_advice, write_advice
from support.advice import sample_advice


def test_page_shows_answer_evidence_and_next_step(tmp_path: Path) -> None:
    text = render_advice(sample_advice(tmp_path))
    for part in ("kd gained +2.1 points", "r-0007", "8f0c", "+0.8 to +3.2", "distillab run"):
        assert part in text
    assert "le<b>aves" not in text and "<b>cats" not in text, "names are text, not markup"
    assert "http" not in text.replace("http-equiv", ""), "nothing is fetched"


def opened(browser: Browser, path: Path) -> tuple[Page, list[str]]:
    context = browser.new_context(viewport={"width": 1000, "height": 900}, offline=True)
    page, faults = context.new_page(), list[str]()
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda sent: faults.append(sent.url) if not sent.url.startswith("file:") else None)
    page.goto(path.as_uri())
    return page, faults


def slide(page: Page, slider: str, position: int) -> str:
    page.evaluate(
        "([id, at]) => { const s = document.getElementById(id); s.value = at; "
        "s.dispatchEvent(new Event('input')); }",
        [slider, position],
    )
    return page.inner_text("#what-if-answer")


@pytest.mark.browser
def test_sliders_show_the_grid_and_refuse_outside_of_it(chromium: Browser, tmp_path: Path) -> None:
    advice = sample_advice(tmp_path)
    write_advice(advice, advice.page)
    page, faults = opened(chromium, advice.page)
    assert page.inner_text("#what-if-answer") == (
        "Expected gain +2.0 points (80 % interval +0.8 to +3.2): distil."
    )
    assert "train plainly" in slide(page, "data-slider", 2)
    assert "outside of what was studied" in slide(page, "length-slider", 1)
    assert "undecided" in slide(page, "data-slider", 1)
    assert page.inner_text("#length-value") == "2×" and page.inner_text("#data-value") == "as now"
    assert faults == []
    page.context.close()


@pytest.mark.browser
def test_page_without_grid_or_race_opens(chromium: Browser, tmp_path: Path) -> None:
    nan = float("nan")
    unknown = {"verdict": "undecided", "region": "undecided", "method": "", "gain": nan, "harm_risk": nan}
    advice = sample_advice(tmp_path, **unknown, rungs=(), what_if=NOTHING_KNOWN, reasons=("No estimate.",))
    write_advice(advice, advice.page)
    page, faults = opened(chromium, advice.page)
    assert page.locator("#data-slider").count() == 0
    assert "No race was run." in page.inner_text("#race") and faults == []
    wide = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert wide, "nothing reaches beyond the page"
    page.context.close()
