"""Every figure on a page follows from a committed table, or stands in the list of those that cannot.

A page's passages with figures are computed in ``tests/support/figures/`` from ``docs/results/``. What no
table holds is listed in ``tests/support/figures/allowed.csv``, by page and section, with a reason: given
and published figures by their number; figures of time, of simulations and of measurements without a table by
the command that prints them, which stands beside them.
"""

from __future__ import annotations

from collections import Counter

import pytest

from support.figures.pages import (
    GIVEN,
    MEASURED,
    OF_PAGES,
    PAGES,
    Allowance,
    allowances,
    covering,
    left_over,
    name_of,
)
from support.figures.scan import Uncovered, figures, flat, sections, uncovered
from support.source_tree import ROOT

NAMES = [name_of(page) for page in PAGES]
SHOWN = 3  # figures of a section in a message
REMEDY = "compute the passage in tests/support/figures/, or list the section in allowed.csv there"


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("name", [name for name in NAMES if name in OF_PAGES or "/factors/" in name])
def test_passages_computed_from_tables_are_on_the_page(name: str) -> None:
    texts = [text for _, text in sections(text_of(name))]
    missing = [each for each in covering(name) if not any(flat(each) in text for text in texts)]
    assert missing == []


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_computed_or_listed(name: str) -> None:
    allowed = {each.heading: each for each in allowances() if each.page == name}
    found: dict[str, list[Uncovered]] = {heading: [] for heading in allowed}
    for each in left_over(name):
        found.setdefault(each.heading, []).append(each)
    wrong = [
        f"{heading}: {len(own)} figures, {allowed[heading].figures if heading in allowed else 0} listed: "
        + "; ".join(f"'{each.context}'" for each in own[:SHOWN])
        for heading, own in found.items()
        if heading not in allowed or not allowed[heading].permits(len(own))
    ]
    assert not wrong, "\n".join([f"{name}: {REMEDY}", *wrong])


@pytest.mark.parametrize("allowance", allowances(), ids=lambda each: f"{each.page}:{each.heading}")
def test_listed_figures_have_a_reason_and_a_command(allowance: Allowance) -> None:
    assert allowance.reason in (*GIVEN, *MEASURED)
    assert bool(allowance.command) == (allowance.figures is None) == (allowance.reason in MEASURED)
    if allowance.command.startswith(("benchmarks/", "studies/")):
        assert (ROOT / allowance.command).is_file()
    if allowance.command:
        found = sections(text_of(allowance.page), code=True)
        assert any(allowance.command in text for heading, text in found if heading == allowance.heading)


@pytest.mark.parametrize(
    ("listed", "found", "permitted"),
    [(2, 2, True), (2, 3, False), (2, 1, False), (None, 1, True), (None, 50, True), (None, 0, False)],
)
def test_listed_sections_have_as_many_figures(listed: int | None, found: int, permitted: bool) -> None:
    assert Allowance("page.md", "Title", listed, "given", "").permits(found) == permitted


def test_no_section_is_listed_twice() -> None:
    listed = Counter((each.page, each.heading) for each in allowances())
    assert [section for section, times in listed.items() if times > 1] == []


@pytest.mark.parametrize(
    "figure",
    [
        "+3.4",
        "-12 points",
        "3.4 points",
        "8 to 31.6 points",
        "45 %",
        "[1.2, 3.7]",
        "5 of 16",
        "2.5 times",
        "784 seconds",
        "0.28",
        "13 days",
        "± 1.4",
        "| 0.94 |",
    ],
)
def test_a_new_figure_is_found(figure: str) -> None:
    page = f"# Title\n\nA method gained {figure} here.\n"
    assert [each.heading for each in uncovered(page, [])] != []
    assert uncovered(page, [f"gained {figure} here"]) == []
    assert uncovered(page, ["gained another figure"]) != []


@pytest.mark.parametrize(
    "text", ["`lr: 0.05`", "version 3", "arXiv 2106.05237", "[a page](b-0.5.md)", "resnet8x4"]
)
def test_names_and_code_are_no_figures(text: str) -> None:
    assert figures(f"See {text} for it.") == []
