"""The power of a plan: what its seeds find, and how wide fewer teachers leave intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from distillab.evidence.planned_power import (
    ASSUMED_TEACHER_SHARE,
    PlannedPower,
    Spread,
    relative_width,
)
from distillab.tasks import Classification


def rows(gains: list[float], teachers: list[str]) -> list[dict[str, Any]]:
    """Return results of kd and ce with such gains."""
    common = {"dataset": "d", "provenance": "full", "teacher": "t", "student": "s", "status": "done"}
    found = []
    for seed, (gain, teacher) in enumerate(zip(gains, teachers, strict=True)):
        for method, accuracy in (("ce", 0.5), ("kd", 0.5 + gain), ("label_smoothing", 0.9)):
            own = {"run_id": f"{method}{seed}", "method": method, "seed": seed, "accuracy": accuracy}
            found.append(common | own | {"teacher_run": teacher})
    return found


def test_spread_is_that_of_the_gains() -> None:
    gains = [0.01, 0.03, 0.02, 0.05, 0.04]
    spread = Spread.measured(rows(gains, list("abcde")), Classification())
    assert spread.sd == pytest.approx(np.std(gains, ddof=1))
    assert (spread.comparisons, spread.share_measured) == (1, False)
    assert spread.teacher_share == ASSUMED_TEACHER_SHARE


def test_share_of_teachers_is_measured_where_seeds_share_them() -> None:
    rng = np.random.default_rng(0)
    of_teachers = rng.normal(0, math.sqrt(0.4), 200)
    gains = [float(of_teachers[place % 200] + rng.normal(0, math.sqrt(0.6))) for place in range(800)]
    names = [str(place % 200) for place in range(800)]
    spread = Spread.measured(rows(gains, names), Classification())
    assert spread.share_measured
    assert spread.teacher_share == pytest.approx(0.4, abs=0.08)


def test_four_pairs_have_no_spread() -> None:
    with pytest.raises(ValueError, match="5 finished pairs"):
        Spread.measured(rows([0.1] * 4, list("abcd")), Classification())


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_fewer_teachers_have_wider_intervals(share: float) -> None:
    widths = [relative_width(10, teachers, share) for teachers in (2, 3, 5, 10)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 1.0 and widths[1] > 1.1


def test_fewer_than_five_seeds_have_no_power() -> None:
    power = PlannedPower(4, 0.005, 0.8, math.inf, None, Spread(), {})
    assert power.as_dict()["gain"] is None
    assert power.sentences == ("4 seeds: no verdict below 5 pairs.",)


def test_measured_spread_is_named_as_such() -> None:
    power = PlannedPower(10, 0.005, 0.8, 0.021, (5, 0.05), Spread(sd=0.016, comparisons=8), {})
    [sentence] = power.sentences
    assert "a true gain of 2.1 points is found by one comparison alone" in sentence
    assert "measured in 8 comparisons" in sentence
    assert "(5 at the first interim analysis, of 5)" in sentence
