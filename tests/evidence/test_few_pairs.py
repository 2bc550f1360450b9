"""Below five pairs there is no verdict, in no table and no sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distillab.evidence.answer import Answer, summarize
from distillab.evidence.curves import compute_curves
from distillab.evidence.effects import compute_effects
from distillab.evidence.gains import Gain
from distillab.evidence.harms import class_harms
from distillab.evidence.pairs import Row
from distillab.evidence.verdicts import judge
from distillab.report.collect.rows import effects_of
from distillab.report.page.tables import effects_table
from distillab.study.run_count import RunCount
from distillab.study.spec.seeds import LEAST_PAIRS, SeedRange
from distillab.tasks import Classification

TASK = Classification()
FEW = range(1, LEAST_PAIRS)


def runs(seeds: int, gain: float = 0.2, sizes: tuple[float, ...] = (10.0, 20.0, 40.0)) -> list[Row]:
    """Return plain and distilled runs with large gains that hardly vary between seeds."""
    names = {"dataset": "d", "provenance": "full", "teacher": "t", "student": "s", "status": "done"}
    return [
        names
        | {"factor.size": size, "run_id": f"{method}{seed}{size}", "method": method, "seed": seed}
        | {"accuracy": 0.5 + shift + 0.001 * (seed % 3) + 0.0001 * size * shift, "n_test": 1000}
        for size in sizes
        for method, shift in (("ce", 0.0), ("kd", gain))
        for seed in range(seeds)
    ]


def answer(seeds: int, count: RunCount | None = None) -> Answer:
    rows = runs(seeds)
    curves = compute_curves(rows, TASK.metrics["accuracy"])
    return summarize(compute_effects(rows, TASK), TASK, curves, runs=count)


@pytest.mark.parametrize("pairs", FEW)
@pytest.mark.parametrize(("low", "high"), [(0.1, 0.3), (-0.3, -0.1), (0.0, 0.0)])
def test_few_pairs_have_no_verdict_wherever_the_interval_lies(pairs: int, low: float, high: float) -> None:
    assert judge(Gain(pairs, (low + high) / 2, low, high, 0.5), 0.005, True) == "undecided"
    assert judge(Gain(LEAST_PAIRS, (low + high) / 2, low, high, 0.5), 0.005, True) != "undecided"


@pytest.mark.parametrize("seeds", FEW)
def test_effects_of_few_pairs_state_the_reason(seeds: int) -> None:
    for effect in compute_effects(runs(seeds), TASK):
        assert (effect["verdict"], effect["undecided_because"]) == ("undecided", "fewer than 5 pairs")


def test_effects_of_five_pairs_have_a_verdict_and_no_reason() -> None:
    for effect in compute_effects(runs(LEAST_PAIRS), TASK):
        assert (effect["verdict"], effect["undecided_because"]) == ("helps", None)


def test_reason_of_a_wide_interval_is_the_interval() -> None:
    rows = runs(6, gain=0.0)
    for row in rows:
        row["accuracy"] += 0.1 * (row["seed"] % 2) * (row["method"] == "kd")
    assert {row["undecided_because"] for row in compute_effects(rows, TASK)} == {
        "the interval allows several verdicts"
    }


@pytest.mark.parametrize("seeds", FEW)
def test_answer_from_few_pairs_has_no_verdict_trend_or_power(seeds: int) -> None:
    found = answer(seeds)
    assert found.headline == (
        "There is no verdict on distillation (kd): each of 3 comparisons with plain training has fewer than "
        "5 pairs."
    )
    assert (found.decided, found.undecided) == (0, 3)
    assert found.missing == ("A verdict needs at least 5 pairs; 3 of 3 comparisons have fewer.",)
    written = " ".join([found.headline, *found.sentences, *found.caveats])
    assert not any(text in written for text in ("helps", "improves", "grows", "shrinks", "rely on the"))


def test_answer_from_five_pairs_has_verdict_and_trend() -> None:
    found = answer(LEAST_PAIRS)
    assert found.headline == "Distillation (kd) improves accuracy at all 3 levels of size."
    assert any("gain of kd" in sentence for sentence in found.sentences)


def test_pairs_needed_are_not_estimated_from_few_pairs() -> None:
    many = {"verdict": "undecided", "n_pairs": 6, "gain": 0.0, "ci_low": -0.02, "ci_high": 0.02}
    few = many | {"n_pairs": 2, "ci_low": -0.9, "ci_high": 0.9}
    rows = compute_effects(runs(6), TASK)
    only_many = summarize([rows[0] | many, rows[1]], TASK).missing
    with_few = summarize([rows[0] | many, rows[1], rows[2] | few], TASK).missing
    assert with_few == ("A verdict needs at least 5 pairs; 1 of 3 comparisons has fewer.", *only_many)


def test_control_of_few_pairs_explains_no_gain() -> None:
    rows = compute_effects(runs(6, sizes=(10.0,)), TASK)
    control = rows[0] | {"method": "random_teacher", "n_pairs": 2, "verdict": "undecided"}
    assert summarize([rows[0], control], TASK).headline == "Distillation (kd) improves accuracy."


def test_classes_of_few_pairs_neither_lose_nor_gain() -> None:
    plain = np.full((6, 1), 0.8) + 0.001 * np.arange(6)[:, None] ** 2
    lost = plain - 0.3 + 0.001 * (np.arange(6)[:, None] % 2)
    for seeds, direction in ((4, "undecided"), (5, "loses")):
        [harm] = class_harms(lost[:seeds], plain[:seeds], ["cat"])
        assert (harm.n_pairs, harm.direction) == (seeds, direction)


def test_table_of_the_page_states_the_reason() -> None:
    table = effects_table(effects_of(compute_effects(runs(2), TASK)), TASK.metrics["accuracy"])
    verdict = [column.title for column in table.columns].index("Verdict")
    assert {row[verdict].text for row in table.rows} == {"○ undecided: fewer than 5 pairs"}


@pytest.mark.parametrize(
    ("count", "start"),
    [
        (RunCount(25, open=29), "So far: 25 of 54 runs. Distillation (kd) improves"),
        (RunCount(25, failed=2, open=27), "So far: 25 of 54 runs, 2 failed. Distillation (kd) improves"),
        (RunCount(10, held=20), "So far: 10 of at most 30 runs. Distillation (kd) improves"),
        (RunCount(54), "Distillation (kd) improves"),
        (RunCount(50, failed=4), "Distillation (kd) improves"),
        (None, "Distillation (kd) improves"),
    ],
)
def test_headline_of_an_unfinished_study_begins_with_its_runs(count: RunCount | None, start: str) -> None:
    found = answer(LEAST_PAIRS, count)
    assert found.headline.startswith(start)
    assert bool(found.progress) == start.startswith("So far")


def test_study_without_a_pair_states_its_runs_as_well() -> None:
    assert summarize([], TASK, runs=RunCount(0, open=4)).headline.startswith(
        "So far: 0 of 4 runs. No distilled"
    )


@pytest.mark.parametrize(
    "values", [{"min": 4, "max": 8, "stop": "decided"}, {"min": 2, "max": 20, "stop": "decided"}]
)
def test_sequential_studies_start_at_five_seeds(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="5"):
        SeedRange.model_validate(values)
