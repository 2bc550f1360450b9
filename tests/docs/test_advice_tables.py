"""The pages on advice and on its evidence base follow from the base of the package."""

from __future__ import annotations

import advice_table
import pytest
from generated import read_csv

from distillab.advise import replay
from distillab.base import read


def test_pages_on_advice_are_up_to_date() -> None:
    for page, text in advice_table.page_text().items():
        assert page.read_text() == text, page


def test_scores_of_the_adviser_follow_from_the_evidence_base() -> None:
    stated = read_csv(advice_table.SOURCE)
    scores = [score.as_row() for score in replay(read())]
    assert [row["policy"] for row in stated] == [score["policy"] for score in scores]
    for row, score in zip(stated, scores, strict=True):
        for name, value in score.items():
            if isinstance(value, int | float):
                assert float(row[name]) == pytest.approx(value, abs=1e-3), (row["policy"], name)
            else:
                assert row[name] == (value or ""), (row["policy"], name)
