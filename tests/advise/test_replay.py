"""The prior and the replay judge on a synthetic base with planted gains."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.advise import Replay
from distillab.advise.pilot import LengthError, stored_runs
from distillab.advise.policies import always
from distillab.advise.prior import Prior
from distillab.advise.race_plan import Rung
from distillab.advise.replay import Score
from distillab.advise.truths import split_seeds
from distillab.base import EvidenceBase
from distillab.errors import RequestError
from support.evidence_base import STARVED, write_evidence_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> EvidenceBase:
    return write_evidence_base(tmp_path_factory.mktemp("base"), contexts=48, seeds=8)


@pytest.fixture(scope="module")
def replay(base: EvidenceBase) -> Replay:
    return Replay.of(base)


@pytest.fixture(scope="module")
def scores(replay: Replay) -> dict[str, Score]:
    return {score.policy: score for score in replay.scores(budgets=(0, 5))}


def test_starved_contexts_are_never_used(replay: Replay) -> None:
    starved = {f"r-{number:04d}" for number in STARVED}
    assert starved.isdisjoint(replay.prior.facts)
    assert len({judged.context for judged in replay.contexts}) == 48 - len(starved)


def test_a_pilot_and_the_truth_share_no_network(base: EvidenceBase, replay: Replay) -> None:
    for judged in replay.contexts:
        assert judged.runs is not None
        part = split_seeds(range(8))[judged.part]
        for rows in judged.runs.by_method.values():
            assert set(rows) <= set(part.pilot)
        for name in judged.place:
            [pairs] = [each for each in base.pairs(name) if each.context == judged.context]
            chosen = [seed in part.judging for seed in pairs.seeds]
            truth = replay.truths[judged.context, judged.part, name]
            assert truth.gain == pytest.approx(pairs.differences[chosen].mean()) and truth.pairs == sum(
                chosen
            )


@given(st.integers(3, 30))
def test_every_seed_judges_as_often_as_any_other(seeds: int) -> None:
    parts = split_seeds(range(seeds))
    assert all(sorted(part.pilot + part.judging) == list(range(seeds)) for part in parts)
    assert all(len(part.judging) >= 2 and part.pilot for part in parts)
    counts = np.bincount([seed for part in parts for seed in part.judging])
    assert set(counts) == {len(parts[0].judging)}


def test_prior_predicts_base_sets_that_it_was_not_fitted_on(replay: Replay) -> None:
    kd = replay.prior.methods["kd"]
    errors = kd.model.errors
    assert errors[kd.model.name] == min(errors.values()) < errors["mean"]
    assert np.corrcoef(kd.model.held_out, kd.gains)[0, 1] > 0.5


def test_a_prediction_does_not_depend_on_its_own_base_set(base: EvidenceBase, replay: Replay) -> None:
    kd = replay.prior.methods["kd"]
    place = kd.base_sets.index("usps")
    runs = base.runs.to_pylist()
    usps = {row["context"] for row in base.contexts.to_pylist() if row["base_set"] == "usps"}
    for row in runs:
        if row["context"] in usps and row["method"] == "kd" and row["accuracy"] is not None:
            row["accuracy"] += 0.1
    changed = Prior.of(dataclasses.replace(base, runs=type(base.runs).from_pylist(runs, base.runs.schema)))
    assert changed is not None
    again = changed.methods["kd"]
    assert again.gains[place] == pytest.approx(kd.gains[place] + 0.1, abs=1e-4)
    assert again.model.held_out[place] == pytest.approx(kd.model.held_out[place], abs=2e-3)


def test_the_oracle_is_never_wrong_and_nothing_has_less_regret(scores: dict[str, Score]) -> None:
    oracle = scores["oracle"]
    assert oracle.right == oracle.sign_right == 1.0
    assert all(score.regret >= oracle.regret - 1e-9 for score in scores.values())


def test_a_pilot_makes_the_adviser_surer(scores: dict[str, Score]) -> None:
    without, with_pilot = scores["adviser, 0 min"], scores["adviser, 5 min"]
    assert with_pilot.abstained < without.abstained
    assert with_pilot.regret < without.regret
    assert with_pilot.sign_right > 0.9


def test_budget_zero_is_the_prior_alone(scores: dict[str, Score]) -> None:
    zero, prior = scores["adviser, 0 min"], scores["prior only"]
    assert dataclasses.replace(zero, policy="") == dataclasses.replace(prior, policy="")


def test_simple_rules_always_answer_and_have_no_interval(scores: dict[str, Score]) -> None:
    for name in ("always plain", "always kd", "teacher gap", "static ranking"):
        assert scores[name].abstained == 0.0 and math.isnan(scores[name].coverage)


def test_intervals_cover_about_as_often_as_stated_by_base_set(scores: dict[str, Score]) -> None:
    assert 0.65 < scores["adviser, 5 min"].coverage <= 1.0


def test_wrong_advice_lowers_the_score(replay: Replay) -> None:
    right = replay.score("kd", lambda judged: always("kd", judged))
    wrong = replay.score("plain", lambda judged: always("ce", judged))
    assert wrong.sign_right < right.sign_right and wrong.regret > right.regret


def test_a_simulated_pilot_is_the_difference_of_validation_curves(base: EvidenceBase) -> None:
    runs = stored_runs(base)["r-0000"]
    arm = runs.arm("kd", pairs=3, share=0.5)
    assert arm is not None and (arm.pairs, arm.share) == (3, 0.5)
    rows = [(runs.by_method["kd"][seed], runs.by_method["ce"][seed]) for seed in runs.pairs("kd")[:3]]
    expected = np.mean([after["val_curve"][1] - before["val_curve"][1] for after, before in rows])
    assert arm.mean == pytest.approx(expected)


def test_a_pilot_never_reads_the_test_set(base: EvidenceBase) -> None:
    runs = base.runs.to_pylist()
    for row in runs:
        row |= {"accuracy": None, "test_curve": None}
    blind = stored_runs(dataclasses.replace(base, runs=type(base.runs).from_pylist(runs, base.runs.schema)))
    seen = stored_runs(base)
    for context, each in seen.items():
        assert blind[context].arm("kd", 4, 0.25) == each.arm("kd", 4, 0.25)


def test_length_errors_leave_out_the_base_set_that_is_judged(replay: Replay) -> None:
    every = replay.lengths.error()
    assert every.is_measured and every.biases[0] < 0  # early gains are smaller in the planted curves
    sets = {name for found in replay.lengths.differences.values() for name in found}
    assert all(replay.lengths.error(name) != every for name in sets)


def test_adviser_abstains_where_no_context_has_a_run(replay: Replay) -> None:
    judged = dataclasses.replace(replay.contexts[0], runs=None)
    adviser = replay.adviser({})
    assert adviser.decide(judged, Rung(3, 1.0)) == adviser.decide(judged, None)


def test_too_few_base_sets_are_refused(tmp_path: Path) -> None:
    few = write_evidence_base(tmp_path / "few", contexts=3)
    with pytest.raises(RequestError, match="too few base sets"):
        Replay.of(few)


def test_far_data_lie_outside_of_what_was_studied(replay: Replay) -> None:
    facts = dict(replay.prior.facts["r-0001"])
    assert not replay.prior.distance(facts).outside
    assert replay.prior.distance(facts | {"n_train": 10**9, "predictor.entropy": 50.0}).outside


def test_unmeasured_length_is_assumed() -> None:
    assert not LengthError().is_measured
