"""The budget as people write it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.advise import format_budget, parse_budget
from distillab.errors import RequestError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        (0, 0),
        ("15m", 900),
        ("1h", 3600),
        ("90s", 90),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("15 min", 900),
        ("2 hours", 7200),
        (" 15M ", 900),
        (20, 20),
        (0.5, 0.5),
    ],
)
def test_budget_is_read_as_people_write_it(text: str | float, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "soon", "15", "15x", "-5m", "m", "1h-30m", "1e3s", "inf", "15m!", -1, math.inf, math.nan, True],
)
def test_what_is_no_length_of_time_is_refused_in_one_line(text: Any) -> None:
    with pytest.raises(
        RequestError, match=r"^--budget: .* is not a length of time \(allowed: 0, or"
    ) as caught:
        parse_budget(text)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 10**6))
def test_a_formatted_budget_is_read_back(seconds: int) -> None:
    assert parse_budget(format_budget(seconds)) == seconds
