"""The page of a profile, opened from a file in Chromium without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape
from playwright.sync_api import Browser

from distillab.profile import Profile, profile_source
from distillab.profile.claims import CLAIMS
from distillab.profile.measure import Interval, Measure
from distillab.profile.wording import format_interval, format_value
from distillab.report.page.assets import coded
from distillab.report.page.profile import render_profile, write_profile
from distillab.sources.parsing import source_from_argument


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """Profile images whose border reveals the class, with class names that need escaping."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = rng.integers(60, 120, (90, 20, 20, 3), np.uint8)
    images[:, :2] = (80 * labels)[:, None, None, None]
    path = tmp_path_factory.mktemp("data") / "b<i>ts.npz"
    np.savez(path, images=images, labels=labels, class_names=["<b>cat</b>", 'do"g', "a very long name " * 4])
    return profile_source(source_from_argument(str(path)), against=source_from_argument(str(path)))


def test_page_shows_every_measure(profile: Profile) -> None:
    text = render_profile(profile)
    for measure in profile.measures.values():
        assert f'id="measure-{measure.key}"' in text
    assert "a possible shortcut" in text
    assert profile.claims
    for claim in profile.claims:
        assert f'href="#claim-{claim}"' in text and f'id="claim-{claim}"' in text
        assert str(escape(CLAIMS[claim].title)) in text and str(escape(CLAIMS[claim].statement)) in text
        assert str(escape(CLAIMS[claim].source)) in text
    assert "<b>cat" not in text and "b<i>ts" not in text, "names are text, not markup"
    assert "<code>on_broken: skip</code>" in text
    assert "http" not in text.replace("http-equiv", ""), "nothing is fetched"


def test_backquotes_become_code_and_nothing_else_markup() -> None:
    assert coded("a `size: 5` and <b>") == "a <code>size: 5</code> and &lt;b&gt;"
    assert coded("`<b>`, a lone `") == "<code>&lt;b&gt;</code>, a lone `"


def test_page_is_written_completely_or_not_at_all(profile: Profile, tmp_path: Path) -> None:
    write_profile(profile, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(OSError):
        write_profile(profile, tmp_path / "nowhere" / "page.html")


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.12345, "share", "12.3 %"),
        (1234567.0, "count", "1,234,567"),
        (2.5, "count", "2.5"),
        (-2.3456, "", "−2.35"),
        (0.000123, "", "0.000123"),
        (0.0, "share", "0 %"),
        (float("nan"), "share", "–"),
    ],
)
def test_values_are_formatted_in_their_unit(value: float, unit: str, words: str) -> None:
    assert format_value(value, unit) == words  # type: ignore[arg-type]


def test_intervals_are_formatted_with_their_unit() -> None:
    def formatted(interval: Interval) -> str:
        return format_interval(Measure("k", "l", 0.2, interval, 9, 0.0, "m", unit="share"))

    assert formatted(Interval(0.1, 0.3, "Wilson")) == "10.0 to 30.0 %"
    assert formatted(Interval(0.2, 0.2, "exact")) == "exact"
    assert formatted(Interval(float("nan"), float("nan"), "none: no image")) == "–"


@pytest.mark.browser
@pytest.mark.parametrize("width", [375, 1360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_opens_without_a_network(
    profile: Profile, chromium: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    write_profile(profile, tmp_path / "page.html")
    context = chromium.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        offline=True,
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    url = (tmp_path / "page.html").as_uri()
    page.goto(url)
    assert [each for each in requests if not each.startswith("data:")] == [url]
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing hangs over the edge"
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert page.evaluate("document.images.length") > 20 and page.evaluate(broken) == 0
    targets = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).length"
    )
    assert page.evaluate(targets) == 0
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == (
        "dark" if scheme == "light" else "light"
    )
    head = page.locator("table th > button").first
    head.scroll_into_view_if_needed()
    head.click()
    assert errors == []
    context.close()
