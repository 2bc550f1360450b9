"""The page across data sets in a real browser: harm first, figures drawn, tables sortable, offline."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from distillab.evidence.across import ContextTable, conclude_across, summarize_across
from distillab.report.page.across import render_across, write_across
from distillab.tasks import Classification
from support.base_sets import planted_contexts
from support.pages import Scheme, draw_all, offline_page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_page_shows_harm_first_and_draws_all_figures(
    chromium: Browser, tmp_path: Path, width: int, scheme: Scheme
) -> None:
    found = conclude_across(planted_contexts(harms={"worst_class_accuracy": -0.06}), Classification())
    page_file = tmp_path / "across.html"
    write_across(found, summarize_across(found), page_file)
    with offline_page(chromium, page_file, width, scheme) as page:
        assert "but kd worsens accuracy of the worst class" in page.inner_text("h1")
        harm = page.locator("#answer .harm-first")
        assert "kd improves accuracy on average, and worsens" in harm.inner_text()
        assert harm.bounding_box()["y"] < 900  # type: ignore[index]  # on the first screen
        draw_all(page)
        assert page.locator("#across-ranks .main-svg").count() > 0
        assert page.locator("#across-curve-0 .main-svg").count() > 0
        page.click("#across-harms-table th button")
        assert page.get_attribute("#across-harms-table th", "aria-sort") == "ascending"


def test_page_without_anything_has_reasons() -> None:
    found = conclude_across(ContextTable(()), Classification())
    text = render_across(found, summarize_across(found))
    for reason in (
        "No context has a pair",
        "Ranks need two base sets",
        "No base set was studied at four sizes",
    ):
        assert reason in text


def test_names_from_data_are_escaped() -> None:
    table = planted_contexts(base_sets=2)
    contexts = tuple(
        type(each)(each.context, "<script>x</script>", each.levels, each.scores) for each in table.contexts
    )
    found = conclude_across(ContextTable(contexts, source="<b>x</b>"), Classification())
    text = render_across(found, summarize_across(found))
    assert "<script>x</script>" not in text
    assert "<b>x</b>" not in text
