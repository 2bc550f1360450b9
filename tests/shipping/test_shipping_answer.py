"""Which student is shipped, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from distillab.shipping.answer import ShippingComparison, best_run, headline_text


def effect(verdict: str, pairs: int = 5, **changes: Any) -> dict[str, Any]:
    return {
        "metric": "accuracy",
        "method": "kd",
        "student": "resnet8",
        "n_pairs": pairs,
        "gain": 0.02,
        "ci_low": 0.01,
        "ci_high": 0.03,
        "verdict": verdict,
        "verdict_family": verdict,
    } | changes


def result(run: str, method: str, seed: int, val: float | None, **changes: Any) -> dict[str, Any]:
    row = {"run_id": run, "method": method, "student": "resnet8", "seed": seed, "status": "done"}
    return row | {"val_score": val} | changes


RESULTS = [
    result("a", "ce", 0, 0.80),
    result("b", "ce", 1, 0.84),
    result("c", "kd", 0, 0.90),
    result("d", "kd", 1, 0.70),
    result("e", "kd", 2, 0.99, status="failed"),
    result("f", "kd", 3, 0.98, student="other"),
]


@pytest.mark.parametrize(
    ("verdict", "ship"),
    [("helps", "distilled"), ("harms", "plain"), ("equivalent", "plain"), ("undecided", "undecided")],
)
def test_the_verdict_decides_what_is_shipped(verdict: str, ship: str) -> None:
    found = ShippingComparison.of([effect(verdict)], "accuracy")
    assert found is not None and found.ship == ship


def test_fewer_than_five_pairs_decide_nothing() -> None:
    found = ShippingComparison.of([effect("helps", pairs=4)], "accuracy")
    assert found is not None and found.ship == "undecided"


def test_there_is_no_comparison_without_a_pair() -> None:
    assert (
        ShippingComparison.of([effect("undecided", pairs=0), effect("helps", metric="nll")], "accuracy")
        is None
    )


@pytest.mark.parametrize(("ship", "run"), [("distilled", "c"), ("plain", "b"), ("undecided", "b")])
def test_the_best_seed_on_val_is_exportable(ship: Any, run: str) -> None:
    found = best_run(RESULTS, ship, "kd", "resnet8")
    assert found is not None and found.run_id == run


def test_the_plain_student_is_exportable_if_both_are_equal_on_val() -> None:
    rows = [result("a", "kd", 0, 0.9), result("b", "ce", 0, 0.9)]
    found = best_run(rows, "undecided", "kd", "resnet8")
    assert found is not None and found.is_plain


def test_a_run_without_a_score_is_the_last_choice() -> None:
    rows = [result("a", "ce", 0, None), result("b", "ce", 1, 0.1)]
    found = best_run(rows, "plain", "kd", "resnet8")
    assert found is not None and found.run_id == "b"


def test_nothing_is_exportable_if_nothing_is_done() -> None:
    assert best_run([result("a", "ce", 0, 0.5, status="queued")], "plain", "kd", "resnet8") is None


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (
            "helps",
            "Ship the distilled student: kd gains +2.0 [+1.0, +3.0] points of accuracy on test, 5 pairs.",
        ),
        ("harms", "Ship the plain student: distilling by kd harms (+2.0 [+1.0, +3.0] points"),
        ("equivalent", "Ship the plain student: distilling by kd did not help (+2.0 [+1.0, +3.0] points"),
        ("undecided", "Undecided whether distilling by kd helps (+2.0 [+1.0, +3.0] points"),
    ],
)
def test_the_headline_states_the_gain_with_its_interval(verdict: str, words: str) -> None:
    found = ShippingComparison.of([effect(verdict)], "accuracy")
    assert found is not None
    run = best_run(RESULTS, found.ship, "kd", "resnet8")
    assert headline_text(found, found.ship, "accuracy", run).startswith(words)
