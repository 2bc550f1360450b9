"""The table of the selftest in the documentation is that of the committed results."""

from __future__ import annotations

import csv

from support.source_tree import ROOT


def test_selftest_table_is_that_of_the_results() -> None:
    with (ROOT / "docs" / "results" / "selftest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    for pairs in dict.fromkeys(row["pairs"] for row in rows):
        here = [f"{100 * float(row['share']):.1f}" for row in rows if row["pairs"] == pairs]
        assert f"| {' | '.join([pairs, *here])} |" in page
    failing = [row for row in rows if row["passed"] == "False"]
    assert ("**One line fails**" in page) == (len(failing) == 1)
