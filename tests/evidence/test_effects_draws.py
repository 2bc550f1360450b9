"""Effect rows over draws: new test examples, teachers, and verdicts that hold together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distillab.evidence.contrast import ExampleValues
from distillab.evidence.draws import FloatArray
from distillab.evidence.effects import compute_effects
from distillab.evidence.pairs import Row
from distillab.evidence.sequential import look_plan
from distillab.tasks import Classification

TASK = Classification()
SEEDS, EXAMPLES = 6, 200


def table(seed: int = 0, spread: float = 0.0) -> dict[str, FloatArray]:
    """Return the correctness of a plain and a distilled run per seed: all gain the same 20 examples."""
    rng = np.random.default_rng(seed)
    runs: dict[str, FloatArray] = {}
    for number in range(SEEDS):
        plain = np.zeros(EXAMPLES)
        plain[:100] = 1.0
        distilled = plain.copy()
        distilled[100:120] = 1.0
        flipped = rng.integers(EXAMPLES, size=int(spread * EXAMPLES))
        distilled[flipped] = 1.0 - distilled[flipped]
        runs |= {f"ce-{number}": plain, f"kd-{number}": distilled}
    return runs


def rows(runs: dict[str, FloatArray], **other: Any) -> list[Row]:
    found = []
    for name, correct in runs.items():
        method, seed = name.split("-")
        row = {"run_id": name, "method": method, "seed": int(seed), "status": "done", "n_test": EXAMPLES}
        found.append(row | {"accuracy": float(correct.mean())} | other)
    return found


def effect(of: list[Row], **settings: Any) -> Row:
    return next(row for row in compute_effects(of, TASK, **settings) if row["metric"] == "accuracy")


def test_interval_for_new_examples_is_wider_than_that_of_seeds() -> None:
    runs = table()
    fixed = effect(rows(runs))
    drawn = effect(rows(runs), contributions=lambda row: runs[row["run_id"]])
    assert (fixed["ci_low"], fixed["ci_high"]) == (drawn["ci_low_same_test"], drawn["ci_high_same_test"])
    # All seeds gain the same tenth of the examples: only the draw of the examples is uncertain.
    half = 1.96 * np.sqrt(0.1 * 0.9 / EXAMPLES)
    assert drawn["ci_high"] - drawn["gain"] == pytest.approx(half, rel=0.05)
    assert fixed["ci_high"] - fixed["gain"] < half / 5
    assert fixed["ci_low_same_runs"] is None
    assert drawn["gain"] - drawn["ci_low_same_runs"] == pytest.approx(half, rel=0.02)


def test_verdict_uses_the_interval_for_new_examples() -> None:
    runs = table()
    assert effect(rows(runs), margin=0.08)["verdict"] == "helps"
    new = effect(rows(runs), margin=0.08, contributions=lambda row: runs[row["run_id"]])
    assert new["verdict"] == "undecided"


def test_sequential_stopping_uses_the_interval_for_new_examples() -> None:
    runs = table()
    looks = look_plan([5, 6])
    assert effect(rows(runs), margin=0.08, looks=looks)["look"] == 1
    new = effect(rows(runs), margin=0.08, looks=looks, contributions=lambda row: runs[row["run_id"]])
    assert new["look"] == 2
    assert new["verdict"] == "undecided"


def test_few_teachers_widen_the_interval_and_are_counted() -> None:
    of = rows(table(spread=0.1))
    for row in of:
        row["teacher_run"] = f"teacher-{row['seed'] % 3}"
    alone = effect(rows(table(spread=0.1)))
    clustered = effect(of)
    assert alone["n_teachers"] is None
    assert clustered["n_teachers"] == 3
    assert clustered["ci_high"] - clustered["ci_low"] >= alone["ci_high"] - alone["ci_low"]
    assert clustered["p_value"] >= 0.25  # of the 8 flips of three teachers' signs


def levels(gains: list[float], spread: float) -> list[Row]:
    """Return a study of several levels with the given gains."""
    rng = np.random.default_rng(1)
    found: list[Row] = []
    for level, gain in enumerate(gains):
        for seed in range(8):
            for method, extra in (("ce", 0.0), ("kd", gain + spread * rng.normal())):
                row = {"run_id": f"{method}-{seed}-{level}", "method": method, "seed": seed, "status": "done"}
                found.append(row | {"factor.size": float(level), "accuracy": 0.5 + extra})
    return found


def test_verdicts_of_a_family_hold_together() -> None:
    found = [
        r for r in compute_effects(levels([0.02] + [0.01] * 9, 0.006), TASK) if r["metric"] == "accuracy"
    ]
    alone = sum(row["verdict"] == "helps" for row in found)
    together = sum(row["verdict_family"] == "helps" for row in found)
    assert found[0]["verdict_family"] == "helps"
    assert together < alone
    assert all(row["verdict_family"] in (row["verdict"], "undecided") for row in found)
    assert all((row["p_verdict"] <= 0.05) == (row["verdict"] != "undecided") for row in found)


def test_false_verdicts_of_a_family_are_rare() -> None:
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(60):
        of = levels([0.0] * 6, 0.0)
        for row in of:
            row["accuracy"] += rng.normal(0, 0.01)
        found = compute_effects(of, TASK, margin=0.0)
        wrong += any(row["verdict_family"] != "undecided" for row in found)
    assert wrong <= 8  # at most 3 expected, and three standard deviations more


@pytest.mark.parametrize("sizes", [(200,) * SEEDS, (120, 200, 200, 160, 200, 180)])
def test_seeds_may_test_on_different_examples(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values: dict[str, ExampleValues] = {}
    of = []
    for seed, size in enumerate(sizes):
        ids = rng.permutation(EXAMPLES)[:size]
        for method in ("ce", "kd"):
            # Distillation gains the same fifth of the examples under all seeds, and another tenth under each.
            gained = (method == "kd") * ((ids < EXAMPLES // 5) | (rng.random(size) < 0.1))
            found = values[f"{method}-{seed}"] = ExampleValues(gained.astype(np.float64), ids)
            row = {"run_id": f"{method}-{seed}", "method": method, "seed": seed, "status": "done"}
            of.append(row | {"n_test": size, "accuracy": float(found.values.mean())})
    drawn = effect(of, contributions=lambda row: values[row["run_id"]])
    fixed = effect(of)
    assert (fixed["ci_low"], fixed["ci_high"]) == (drawn["ci_low_same_test"], drawn["ci_high_same_test"])
    half = (drawn["ci_high"] - drawn["ci_low"]) / 2
    assert half == pytest.approx(2.0 * np.sqrt(0.72**2 * 0.25 / EXAMPLES), rel=0.3)
    assert drawn["ci_low_same_runs"] < drawn["gain"] < drawn["ci_high_same_runs"]


def test_seeds_with_examples_of_their_own_cover_new_examples() -> None:
    values = {}
    of = []
    for seed in range(SEEDS):
        for method, share in (("ce", 0.5), ("kd", 0.6)):
            found = ExampleValues((np.arange(100) < 100 * share).astype(float), np.arange(100) + 100 * seed)
            values[f"{method}-{seed}"] = found
            row = {"run_id": f"{method}-{seed}", "method": method, "seed": seed, "status": "done"}
            of.append(
                row | {"n_test": 100, "accuracy": float(found.values.mean()) + seed * (method == "kd") / 99}
            )
    drawn = effect(of, contributions=lambda row: values[row["run_id"]])
    assert drawn["ci_low"] == drawn["ci_low_same_test"]
