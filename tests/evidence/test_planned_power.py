"""The power of a plan: what its seeds find, and how wide fewer teachers leave intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.evidence.planned_family import planned_tests
from distillab.evidence.planned_power import (
    ASSUMED_TEACHER_SHARE,
    PlannedPower,
    Spread,
    relative_width,
)
from distillab.study.design import Cell
from distillab.study.spec.study import parse_study
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
    assert power.as_dict()["gain"] is None and power.as_dict()["gain_together"] is None
    assert power.sentences == ("4 seeds: no verdict below 5 pairs.",)


def test_measured_spread_is_named_as_such() -> None:
    power = PlannedPower(10, 0.005, 0.8, 0.021, (5, 0.05), Spread(sd=0.016, comparisons=8), {})
    sentence, of_others = power.sentences
    assert of_others == "Verdicts that hold together with those on other comparisons need a larger gain."
    assert "a true gain of 2.1 points is found by one comparison alone" in sentence
    assert "measured in 8 comparisons" in sentence
    assert "(5 at the first interim analysis, of 5)" in sentence


@pytest.mark.parametrize(
    ("tests", "sentence"),
    [
        (1, "It is the only gain that is tested, so that its verdict needs no correction."),
        (6, "A verdict that holds together with those on all 6 comparisons, as headlines count them, needs "),
    ],
)
def test_power_of_corrected_verdicts_is_stated(tests: int, sentence: str) -> None:
    power = PlannedPower(10, 0.005, 0.8, 0.015, None, Spread(), {}, tests, 0.019)
    assert power.sentences[1].startswith(sentence)


def planned(
    evidence: dict[str, Any], methods: Sequence[str] = ("label_smoothing", "kd"), *, tuned: bool = False
) -> int:
    """Return the number of tests of a study of two sizes and two provenances."""
    values = {"study": "tiny", "data": {"source": "digits"}, "students": "resnet8"}
    values["teacher"] = {"model": "resnet8", "provenance": ["full", "same"]}
    values |= {"methods": list(methods), "seeds": 5, "evidence": evidence, "factors": {"size": [5, 20]}}
    cells = [
        Cell({"size": size}, provenance, "resnet8", "resnet8", method, seed, 9, setting=setting)
        for setting in (("default", "tuned") if tuned else ("",))
        for size in (5.0, 20.0)
        for provenance in ("full", "same")
        for method in ("ce", *methods)
        for seed in range(5)
    ]
    shared = {"ce", "label_smoothing"}  # runs that do not depend on the teacher
    planned = (
        replace(cell, run=f"{cell.levels} {cell.method} {cell.seed} {cell.setting}{provenance}")
        for cell in cells
        for provenance in ["" if cell.method in shared else cell.provenance]
    )
    return planned_tests(parse_study(values, Path(), "study"), planned)


@pytest.mark.parametrize(
    ("evidence", "tests"),
    [
        ({}, 6),  # kd under two provenances and label smoothing once, at two sizes
        ({"contrasts": ["kd"]}, 4),
        ({"contrasts": [{"method": "kd", "at": {"size": 5}, "provenance": "full"}]}, 1),
        ({"contrasts": ["kd", {"method": "kd", "difference": "size"}]}, 6),
        ({"contrasts": [{"method": "kd", "difference": "size"}]}, 0),
        ({"baselines": ["ce", "label_smoothing"]}, 6),
    ],
)
def test_planned_tests_are_those_that_verdicts_are_corrected_for(
    evidence: dict[str, Any], tests: int
) -> None:
    assert planned(evidence) == tests
    assert planned(evidence, tuned=True) == tests
