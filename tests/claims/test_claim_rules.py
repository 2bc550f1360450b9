"""Every type of decision rule gives each answer on planted tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from distillab.claims import failed_check, findings_of
from distillab.claims.verdict import answer_of, combined, expected_region
from distillab.errors import RequestError
from distillab.evidence import ClassHarm
from support.claims import SEEDS, claim_of, effect, level_effect, runs, tables_with

SMALL, LARGE = {"factor.size": 5.0}, {"factor.size": 20.0}
GAIN = {"rule": "gain", "method": "kd", "at": {"size": "first"}}
CHANGE = {"rule": "gain_difference", "method": "kd", "factor": "size"}
DIFFERENCE = {
    "rule": "difference",
    "of": {"method": "kd", "at": {"size": "last"}},
    "minus": {"method": "kd", "at": {"size": "first"}},
}

# expectation, estimate, half width, answer; the margin is a point
INTERVALS = [
    ("positive", 0.030, 0.010, "supported"),
    ("positive", 0.005, 0.004, "refuted"),
    ("positive", -0.030, 0.010, "refuted"),
    ("positive", 0.015, 0.010, "undecided"),
    ("negative", -0.030, 0.010, "supported"),
    ("negative", 0.000, 0.005, "refuted"),
    ("negative", -0.012, 0.010, "undecided"),
    ("equivalent", 0.001, 0.005, "supported"),
    ("equivalent", 0.030, 0.010, "refuted"),
    ("equivalent", -0.030, 0.010, "refuted"),
    ("equivalent", 0.008, 0.005, "undecided"),
    ("not positive", -0.030, 0.010, "supported"),
    ("not positive", 0.004, 0.005, "supported"),
    ("not positive", 0.030, 0.010, "refuted"),
    ("not positive", 0.010, 0.005, "undecided"),
    ("not negative", 0.030, 0.010, "supported"),
    ("not negative", -0.030, 0.010, "refuted"),
    ("not negative", -0.010, 0.005, "undecided"),
]


@pytest.mark.parametrize(("expect", "estimate", "half", "answer"), INTERVALS)
def test_gain_is_judged_by_its_interval(expect: str, estimate: float, half: float, answer: str) -> None:
    tables = tables_with(effects=[effect(estimate, half, **SMALL), effect(0.5, 0.001, **LARGE)])
    [found] = findings_of(claim_of({**GAIN, "expect": expect}), tables)
    assert (found.answer, found.estimate, found.n_pairs) == (answer, estimate, SEEDS)


@pytest.mark.parametrize(("expect", "estimate", "half", "answer"), INTERVALS)
def test_difference_between_levels_is_judged_alike(
    expect: str, estimate: float, half: float, answer: str
) -> None:
    tables = tables_with(level_effects=[level_effect(estimate, half), level_effect(0.5, 0.1, level="trend")])
    [found] = findings_of(claim_of({**CHANGE, "expect": expect}), tables)
    assert found.answer == answer


@pytest.mark.parametrize(
    ("expect", "estimate", "answer"),
    [
        ("positive", 0.05, "supported"),
        ("positive", 0.0, "refuted"),
        ("positive", 0.011, "undecided"),
        ("negative", -0.05, "supported"),
        ("equivalent", 0.0, "supported"),
        ("equivalent", 0.05, "refuted"),
    ],
)
def test_difference_of_runs_is_paired_by_seed(expect: str, estimate: float, answer: str) -> None:
    rows = [*runs("kd", 0.8, spread=0.03, **SMALL), *runs("kd", 0.8 + estimate, spread=0.034, **LARGE)]
    [found] = findings_of(claim_of({**DIFFERENCE, "expect": expect}), tables_with(rows))
    assert found.answer == answer
    assert found.estimate == pytest.approx(estimate)
    assert found.high is not None and found.high - estimate < 0.01  # seeds vary by 3 points, pairs by 0.4


def test_difference_of_differences_subtracts_the_second() -> None:
    means = {("kd", 5.0): 0.80, ("ce", 5.0): 0.70, ("kd", 20.0): 0.88, ("ce", 20.0): 0.85}
    rows = [
        row for (method, size), mean in means.items() for row in runs(method, mean, **{"factor.size": size})
    ]

    def term(size: str) -> dict[str, Any]:
        return {
            name: {"method": method, "at": {"size": size}} for name, method in (("of", "kd"), ("minus", "ce"))
        }

    rule = {"rule": "difference", **term("first"), "versus": term("last"), "expect": "positive"}
    [found] = findings_of(claim_of(rule), tables_with(rows))
    assert found.estimate == pytest.approx(0.07)
    assert found.answer == "supported"


def test_lower_is_better_is_read_in_the_direction_of_improvement() -> None:
    tables = tables_with(effects=[effect(-0.05, 0.01, metric="ece", **SMALL)])
    rule = {**GAIN, "metric": "ece", "margin": 0.02}
    answers = {
        expect: findings_of(claim_of({**rule, "expect": expect}), tables)[0].answer
        for expect in ("positive", "negative", "equivalent")
    }
    assert answers == {"positive": "supported", "negative": "refuted", "equivalent": "refuted"}


@pytest.mark.parametrize(
    ("bound", "mean", "answer"),
    [
        ({"above": 0.2}, 0.9, "supported"),
        ({"above": 0.2}, 0.1, "refuted"),
        ({"above": 0.2}, 0.2, "undecided"),
        ({"below": 0.2}, 0.1, "supported"),
        ({"below": 0.2}, 0.9, "refuted"),
    ],
)
def test_score_is_judged_by_the_interval_of_its_mean(
    bound: dict[str, float], mean: float, answer: str
) -> None:
    rule = {"rule": "score", "method": "kd", "at": {"size": "first"}, **bound}
    [found] = findings_of(claim_of(rule), tables_with(runs("kd", mean, **SMALL)))
    assert found.answer == answer


@pytest.mark.parametrize(
    ("change", "at_least", "answer"),
    [
        ("any", 0.5, "supported"),
        ("any", 0.9, "refuted"),
        ("lose", 0.2, "supported"),
        ("gain", 0.5, "refuted"),
    ],
)
def test_share_of_changed_classes_is_counted(change: str, at_least: float, answer: str) -> None:
    def changes(after: Any, before: Any) -> list[ClassHarm]:
        assert [row["method"] for row in (after[0], before[0])] == ["kd", "ce"]
        directions = ("gains", "loses", "undecided", "loses")
        return [ClassHarm(str(n), 10, 0.1, 0.0, 0.2, 0.01, 0.02, each) for n, each in enumerate(directions)]

    rule = {
        "rule": "classes",
        "method": "kd",
        "at": {"size": "first"},
        "change": change,
        "at_least": at_least,
    }
    rows = [*runs("kd", 0.8, **SMALL), *runs("ce", 0.8, **SMALL)]
    [found] = findings_of(claim_of(rule), tables_with(rows, class_changes=changes))
    assert found.answer == answer


def test_no_rule_is_answered_below_five_seeds() -> None:
    rows = [*runs("kd", 0.2, seeds=4, **SMALL), *runs("kd", 0.9, seeds=4, **LARGE)]
    tables = tables_with(
        rows, [effect(0.5, 0.001, n_pairs=4, **SMALL)], [level_effect(0.5, 0.001, n_pairs=4)]
    )
    rules = [
        {**GAIN, "expect": "positive"},
        {**CHANGE, "expect": "positive"},
        {**DIFFERENCE, "expect": "positive"},
        {"rule": "score", "method": "kd", "at": {"size": "first"}, "above": 0.1},
    ]
    found = findings_of(claim_of(*rules), tables)
    assert [each.answer for each in found] == ["undecided"] * 4
    assert {each.note for each in found} == {"fewer than 5 seeds"}


def test_rule_without_runs_is_undecided() -> None:
    found = findings_of(
        claim_of({**GAIN, "expect": "positive"}, {**DIFFERENCE, "expect": "positive"}), tables_with()
    )
    assert [(each.answer, each.estimate) for each in found] == [("undecided", None)] * 2
    assert all(each.note for each in found)


def test_rule_that_matches_several_rows_needs_each() -> None:
    tables = tables_with(effects=[effect(0.03, 0.01, **SMALL), effect(0.0, 0.001, **LARGE)])
    rule = {"rule": "gain", "method": "kd", "expect": "positive"}
    with pytest.raises(RequestError, match="matches 2 rows"):
        findings_of(claim_of(rule), tables)
    found = findings_of(claim_of({**rule, "each": True}), tables)
    assert [each.answer for each in found] == ["supported", "refuted"]
    assert combined(found)[0] == "refuted"


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        (["supported", "supported"], "supported"),
        (["supported", "undecided"], "undecided"),
        (["undecided", "refuted"], "refuted"),
    ],
)
def test_all_rules_of_a_claim_must_hold(answers: list[str], verdict: str) -> None:
    gains = {"supported": 0.05, "undecided": 0.011, "refuted": 0.0}
    effects = [
        effect(gains[each], 0.005, **{"factor.size": size})
        for each, size in zip(answers, (5.0, 20.0), strict=True)
    ]
    rules = [{**GAIN, "at": {"size": size}, "expect": "positive"} for size in ("first", "last")]
    assert combined(findings_of(claim_of(*rules), tables_with(effects=effects)))[0] == verdict


def test_power_shrinks_with_the_interval_and_includes_the_margin() -> None:
    seen = []
    for half in (0.02, 0.004):
        tables = tables_with(effects=[effect(0.0, half, **SMALL)])
        [found] = findings_of(claim_of({**GAIN, "expect": "positive"}), tables)
        assert found.could_see is not None
        assert "could have seen" in found.text
        seen.append(found.could_see)
    wide, narrow = seen
    assert 0.01 + 0.02 < wide < 0.01 + 0.04  # a half width and about 0.9 standard errors
    assert narrow - 0.01 == pytest.approx((wide - 0.01) / 5)


def test_regions_are_what_expectations_stand_for() -> None:
    assert expected_region("positive", 0.01) == (0.01, np.inf)
    assert expected_region("equivalent", 0.01) == (-0.01, 0.01)
    assert answer_of(0.01, 0.02, (0.01, np.inf), 5) == "supported"


# -- checks -------------------------------------------------------------------------------------------------


def test_excluded_condition_is_not_tested() -> None:
    rows = runs("kd", 0.8, **SMALL)
    rows[3]["status"] = "excluded"
    reason = failed_check(claim_of({**GAIN, "expect": "positive"}), tables_with(rows))
    assert reason == "A manipulation check of a factor failed: 1 of 10 runs were excluded."


@pytest.mark.parametrize(
    ("check", "changes", "failed"),
    [
        ({"check": "teacher", "better_by": 0.05}, {}, False),
        ({"check": "teacher", "better_by": 0.2}, {}, True),
        ({"check": "teacher", "better_by": 0.05}, {"teacher_accuracy": None}, True),
        ({"check": "score", "method": "ce", "at": {"size": "first"}, "above": 0.5}, {}, False),
        ({"check": "score", "method": "ce", "at": {"size": "first"}, "below": 0.5}, {}, True),
        ({"check": "score", "method": "kd", "at": {"size": "first"}, "above": 0.5}, {}, True),
    ],
)
def test_failed_check_gives_its_reason(check: dict[str, Any], changes: dict[str, Any], failed: bool) -> None:
    tables = tables_with(runs("ce", 0.8, **SMALL), [effect(0.0, 0.001, **SMALL, **changes)])
    reason = failed_check(claim_of({**GAIN, "expect": "positive"}, checks=[check]), tables)
    assert (reason is not None) == failed
    assert reason is None or reason.startswith("The check that ")


@pytest.mark.parametrize(("converged", "failed"), [(True, False), (None, True), (False, True)])
def test_claim_needs_training_that_is_long_enough(converged: bool | None, failed: bool) -> None:
    tables = tables_with(effects=[effect(0.0, 0.001, converged=converged, **SMALL)])
    reason = failed_check(claim_of({**GAIN, "expect": "positive"}), tables)
    assert (reason is not None) == failed
    assert failed_check(claim_of({**GAIN, "expect": "positive"}, needs_converged=False), tables) is None


def test_convergence_of_other_methods_does_not_matter() -> None:
    tables = tables_with(effects=[effect(0.0, 0.001, method="dkd", converged=False, **SMALL)])
    assert failed_check(claim_of({**GAIN, "expect": "positive"}), tables) is None


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "guess", "method": "kd", "expect": "positive"},
        {"rule": "gain", "method": "kd", "expect": "better"},
        {"rule": "gain", "method": "kd", "expect": "positive", "margin": -0.1},
        {"rule": "gain", "method": "kd", "expect": "positive", "levels": [5]},
        {"rule": "score", "method": "kd"},
        {"rule": "score", "method": "kd", "above": 0.1, "below": 0.2},
        {"rule": "score", "method": "kd", "above": True},
        {"rule": "classes", "method": "kd", "at_least": 0},
        {"rule": "difference", "of": {"method": "kd"}, "expect": "positive"},
    ],
    ids=str,
)
def test_rules_outside_the_closed_set_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        claim_of(rule)
