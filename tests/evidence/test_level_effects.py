"""Differences of gains between the levels of a factor: paired by seed, with intervals and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from distillab.evidence.contrast import ExampleValues
from distillab.evidence.draws import FloatArray
from distillab.evidence.gains import paired_gain
from distillab.evidence.level_effects import compute_level_effects
from distillab.evidence.pairs import Row
from distillab.evidence.sequential import look_plan
from distillab.tasks import Classification

TASK = Classification()
Scores = Mapping[float | str, tuple[Sequence[float], Sequence[float]]]
"""Level -> accuracy by seed of the plain and of the distilled students."""


def rows(scores: Scores, factor: str = "label_noise", metric: str = "accuracy", **other: Any) -> list[Row]:
    found = []
    for level, by_method in scores.items():
        for method, values in zip(("ce", "kd"), by_method, strict=True):
            for seed, value in enumerate(values):
                row = {"run_id": f"{method} {level} {seed} {other}", "method": method, "seed": seed}
                row |= {f"factor.{factor}": level, "status": "done", metric: value}
                found.append(row | other)
    return found


def drawn(
    levels: Sequence[float | str], gains: Sequence[float], seeds: int = 8, spread: float = 0.01
) -> Scores:
    """Return scores whose gain at each level is the given one for every seed, up to noise."""
    rng = np.random.default_rng(0)
    scores = {}
    for level, gain in zip(levels, gains, strict=True):
        plain = 0.6 + rng.normal(0, 0.05, seeds)
        scores[level] = plain, plain + gain + rng.normal(0, spread, seeds)
    return scores


def level_effects(of: list[Row], metric: str = "accuracy", **settings: Any) -> list[Row]:
    return [row for row in compute_level_effects(of, TASK, **settings) if row["metric"] == metric]


def test_difference_is_that_of_paired_differences_by_seed() -> None:
    scores = drawn([0.0, 0.4], [0.02, 0.08])
    [row] = level_effects(rows(scores))
    gains = {level: np.subtract(after, before) for level, (before, after) in scores.items()}
    expected = paired_gain(gains[0.4], gains[0.0])
    assert row["difference"] == pytest.approx(expected.gain)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.ci_low, expected.ci_high))
    assert row["p_value"] == expected.p_value
    assert (row["gain"], row["gain_reference"]) == pytest.approx((gains[0.4].mean(), gains[0.0].mean()))
    assert (row["verdict"], row["verdict_family"], row["n_pairs"]) == ("larger", "larger", 8)


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.08, "larger"), (-0.06, "smaller"), (0.02, "equivalent"), (0.035, "undecided")]
)
def test_verdict_follows_the_interval_against_the_margin(gain: float, verdict: str) -> None:
    [row] = level_effects(rows(drawn([0.0, 0.4], [0.02, gain], spread=0.004)), margin=0.015)
    assert row["verdict"] == verdict
    assert (row["undecided_because"] is None) == (verdict != "undecided")


def test_larger_is_in_the_direction_of_improvement() -> None:
    scores = drawn([0.0, 0.4], [-0.1, -0.5])
    [row] = level_effects(rows(scores, metric="nll"), metric="nll")
    assert row["difference"] < 0  # distillation lowers the loss by more at 0.4
    assert row["verdict"] == "larger"


def test_no_verdict_below_five_pairs() -> None:
    [row] = level_effects(rows(drawn([0.0, 0.4], [0.02, 0.3], seeds=4, spread=0.001)))
    assert (row["verdict"], row["undecided_because"]) == ("undecided", "fewer than 5 pairs")


@pytest.mark.parametrize(
    ("levels", "references", "expected"),
    [
        ([0.4, 0.0, 0.2], {"label_noise": 0.0}, [("0.2", "0"), ("0.4", "0"), ("trend", "0")]),
        ([50.0, 100.0], {}, [("100", "50")]),
        ([100.0, 50.0], {}, [("50", "100")]),
        (["hardest", "random"], {"label_noise": "random"}, [("hardest", "random")]),
        (["b", "a", "c"], {}, [("a", "b"), ("c", "b")]),
        ([0.1, 0.3], {"label_noise": 0.0}, [("0.3", "0.1")]),
        ([0.1], {}, []),
    ],
)
def test_levels_are_compared_with_the_reference_level(
    levels: list[float | str], references: dict[str, float | str], expected: list[tuple[str, str]]
) -> None:
    of = rows(drawn(levels, [0.01] * len(levels)))
    found = level_effects(of, references=references)
    assert [(row["level"], row["reference"]) for row in found] == expected
    assert [row["factor.label_noise"] for row in found if row["level"] == "trend"] == [None] * (
        len(expected) == 3 and not isinstance(levels[0], str)
    )


def test_trend_is_the_fitted_change_from_the_lowest_to_the_highest_level() -> None:
    scores = drawn([25.0, 100.0, 400.0], [0.09, 0.06, 0.03], spread=1e-5)  # a line over the logarithm
    trend = level_effects(rows(scores, factor="size"))[-1]
    assert trend["level"] == "trend"
    assert trend["difference"] == pytest.approx(-0.06, abs=1e-4)
    uneven = drawn([0.0, 0.1, 0.4], [0.0, 0.01, 0.04], spread=1e-5)  # a line over the levels themselves
    assert level_effects(rows(uneven))[-1]["difference"] == pytest.approx(0.04, abs=1e-4)


def test_other_factors_and_settings_are_held() -> None:
    of = [
        row
        for size in (25.0, 100.0)
        for provenance in ("full", "same")
        for row in rows(drawn([0.0, 0.4], [0.0, size / 1000]), provenance=provenance, **{"factor.size": size})
    ]
    found = level_effects(of)
    noise = [row for row in found if row["factor"] == "label_noise"]
    assert [(row["factor.size"], row["provenance"]) for row in noise] == [
        (size, provenance) for size in (25.0, 100.0) for provenance in ("full", "same")
    ]
    assert [row["difference"] for row in noise] == pytest.approx([0.025, 0.025, 0.1, 0.1], abs=0.01)
    assert len([row for row in found if row["factor"] == "size"]) == 4


def test_seeds_without_both_pairs_are_left_out() -> None:
    of = rows(drawn([0.0, 0.4], [0.02, 0.08]))
    next(row for row in of if row["seed"] == 3 and row["factor.label_noise"] == 0.4)["status"] = "failed"
    [row] = level_effects(of)
    assert row["n_pairs"] == 7
    for each in of:
        each["status"] = "failed"
    [row] = level_effects(of)
    assert (row["n_pairs"], row["verdict"], row["undecided_because"]) == (0, "undecided", "no finished pair")


def test_differences_are_corrected_together() -> None:
    of = rows(drawn([0.0, 0.2, 0.4, 0.6], [0.0, 0.009, 0.009, 0.009], spread=0.009))
    found = level_effects(of)
    assert {row["n_tests"] for row in found} == {4}
    assert all(row["p_adjusted"] >= row["p_value"] for row in found)
    alone, family = ([row[name] for row in found].count("larger") for name in ("verdict", "verdict_family"))
    assert (alone, family) == (3, 1)
    together = {row["undecided_because"] for row in found if row["verdict"] != row["verdict_family"]}
    assert together == {"the verdict does not hold together with the others"}


def test_sequential_studies_compare_the_seeds_of_the_first_look() -> None:
    of = rows(drawn([0.0, 0.4], [0.02, 0.08], seeds=10))
    [row] = level_effects(of, looks=look_plan([5, 10]))
    assert row["n_pairs"] == 5


def test_seeds_that_share_teachers_are_not_independent() -> None:
    scores = drawn([0.0, 0.4], [0.02, 0.08])
    scores[0.4][1][::2] += 0.03  # the gain at 0.4 depends on the teacher  # type: ignore[index]
    alone, shared = rows(scores), rows(scores)
    for row in shared:
        row["teacher_run"] = f"teacher {row['seed'] % 2}"
    [first], [second] = level_effects(alone), level_effects(shared)
    assert (first["n_teachers"], second["n_teachers"]) == (None, 2)
    assert second["ci_high"] - second["ci_low"] > 2 * (first["ci_high"] - first["ci_low"])
    for row in shared:
        row["teacher_run"] = f"teacher {row['seed']} at {row['factor.label_noise']}"
    [own] = level_effects(shared)
    assert (own["n_teachers"], own["ci_low"]) == (8, first["ci_low"])


# --- test examples ----------------------------------------------------------------------------------------


def correct(seed: int, level: float, method: str, examples: int, rng: np.random.Generator) -> FloatArray:
    """Return the correctness of a run: distilled students at 0.4 gain the same tenth of the examples."""
    values = np.zeros(examples)
    values[: examples // 2] = 1.0
    if method == "kd" and level == 0.4:
        values[examples // 2 : int(0.6 * examples)] = 1.0
    flipped = rng.integers(examples, size=examples // 50)
    values[flipped] = 1.0 - values[flipped]
    return values


def with_examples(ids: Mapping[float, FloatArray]) -> tuple[list[Row], dict[str, ExampleValues]]:
    rng = np.random.default_rng(0)
    of, values = [], {}
    for level, found in ids.items():
        for method in ("ce", "kd"):
            for seed in range(8):
                run = f"{method} {level} {seed}"
                here = correct(seed, level, method, len(found), rng)
                values[run] = ExampleValues(here, found)
                row = {"run_id": run, "method": method, "seed": seed, "factor.label_noise": level}
                of.append(row | {"status": "done", "accuracy": float(here.mean()), "n_test": len(found)})
    return of, values


@pytest.mark.parametrize("shift", [0, 100, 200])
def test_interval_covers_new_examples_whether_levels_share_them(shift: int) -> None:
    of, values = with_examples({0.0: np.arange(200), 0.4: np.arange(200) + shift})
    [row] = level_effects(of, contributions=lambda row: values[row["run_id"]])
    assert row["shared_examples"] == pytest.approx(1 - shift / 200)
    # The examples that are gained at 0.4 are the same for all seeds: 0.1 (1 - 0.1) / 200.
    half = 1.96 * np.sqrt(0.1 * 0.9 / 200)
    assert row["ci_high"] - row["difference"] == pytest.approx(half, rel=0.25)
    same_test = row["ci_high_same_test"] - row["difference"]
    assert same_test < half / 2


def test_test_sets_of_different_sizes_can_be_compared() -> None:
    of, values = with_examples({0.0: np.arange(120), 0.4: np.arange(200)})
    [row] = level_effects(of, contributions=lambda row: values[row["run_id"]])
    assert row["shared_examples"] == pytest.approx(0.6)
    assert row["ci_low"] < row["ci_low_same_test"]
