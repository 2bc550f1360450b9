"""Verification: error rates on known scores, and the task that is judged by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_curve
from torch import nn

from distillab.data.examples import Examples
from distillab.data.targets import Identities, Labels
from distillab.modalities.image import PixelNormalization
from distillab.models import InputSpec, build_model
from distillab.tasks import Verification, unit_embeddings
from distillab.tasks.error_rates import ErrorCurve, verification_contributions
from distillab.training.evaluation import Evaluator

CPU = torch.device("cpu")


def drawn(
    seed: int, number: int = 24, identities: int = 4, trials: int | None = None
) -> tuple[Any, Identities]:
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % identities
    centers = rng.normal(size=(identities, 6))
    embeddings = unit_embeddings(torch.tensor(centers[labels] + rng.normal(size=(number, 6))))
    pairs = None
    if trials:
        pairs = np.array([rng.choice(number, 2, replace=False) for _ in range(trials)])
        pairs[:2] = [[0, identities], [0, 1]]
    return embeddings, Identities(labels, identities, pairs)


@pytest.mark.parametrize(
    ("scores", "same", "eer", "cost"),
    [
        ([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], 0.0, 0.0),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 1.0, 1.0),
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 1, 0], 0.5, 1.0),
        # At the threshold 0.6 one of four misses is left out and one of four others accepted.
        ([0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1], [1, 1, 1, 1, 0, 0, 0, 0], 0.25, 0.5),
    ],
)
def test_error_rates_of_known_scores(scores: list[float], same: list[int], eer: float, cost: float) -> None:
    curve = ErrorCurve.of(np.array(scores), np.array(same, bool))
    assert curve.equal_error_rate == pytest.approx(eer)
    assert curve.min_cost(0.5) == pytest.approx(cost)


def test_the_detection_cost_weighs_false_alarms_by_the_prior() -> None:
    curve = ErrorCurve.of(np.array([0.9, 0.5, 0.6, 0.1]), np.array([True, True, False, False]))
    # Of the thresholds 0.1, 0.5, 0.6, 0.9 and infinity, 0.9 costs half the misses and no false alarm.
    assert curve.min_cost(0.01) == pytest.approx(0.01 * 0.5 / 0.01)
    assert curve.min_cost(0.99) == pytest.approx(0.01 * 0.5 / 0.01)


@given(st.integers(0, 10_000), st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_the_equal_error_rate_lies_on_the_curve_of_scikit_learn(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    same = np.append(rng.random(60) < 0.4, [True, False])
    scores = np.round(rng.normal(size=62) + same, 0 if levels < 5 else 2)
    rate = ErrorCurve.of(scores, same).equal_error_rate
    points = np.stack(roc_curve(same, scores, drop_intermediate=False)[:2], axis=1)
    start, step = points[:-1], np.diff(points, axis=0)
    there = np.array([rate, 1 - rate]) - start
    share = np.clip((there * step).sum(1) / np.maximum((step**2).sum(1), 1e-12), 0, 1)
    assert np.linalg.norm(there - share[:, None] * step, axis=1).min() < 1e-9


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_error_rates_do_not_change_with_the_scale_or_the_order_of_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    same = np.append(rng.random(40) < 0.5, [True, False])
    scores, order = rng.normal(size=42), rng.permutation(42)
    one, other = ErrorCurve.of(scores, same), ErrorCurve.of(np.exp(scores[order]), same[order])
    assert one.equal_error_rate == pytest.approx(other.equal_error_rate)
    assert one.min_cost(0.05) == pytest.approx(other.min_cost(0.05))


def test_all_pairs_are_the_trials_unless_they_are_listed() -> None:
    embeddings, every = drawn(3)
    first, second = np.triu_indices(len(every), 1)
    listed = Identities(every.values, every.classes, np.stack([first, second], axis=1))
    task = Verification()
    own, other = task.measure(embeddings, every), task.measure(embeddings, listed)
    for name, value in own.items():
        np.testing.assert_allclose(other[name], value, err_msg=name)
    scores = (embeddings.astype(np.float64) @ embeddings.astype(np.float64).T)[first, second]
    curve = ErrorCurve.of(scores, every.values[first] == every.values[second])
    assert own["eer"] == pytest.approx(curve.equal_error_rate, abs=0.01)
    assert own["one_minus_eer"] == 1 - own["eer"] == task.score(embeddings, every)


def test_retrieval_is_that_of_the_other_examples() -> None:
    embeddings, targets = drawn(5)
    found = Verification().measure(embeddings, targets)
    similarity = (embeddings.astype(np.float32) @ embeddings.astype(np.float32).T).round(6)
    precisions, nearest = [], []
    for row in range(len(targets)):
        others = np.flatnonzero(np.arange(len(targets)) != row)
        right = targets.values[others] == targets.values[row]
        precisions.append(average_precision_score(right, similarity[row, others]))
        nearest.append(right[similarity[row, others].argmax()])
    assert found["map"] == pytest.approx(np.mean(precisions), abs=1e-6)
    assert found["precision_at_1"] == pytest.approx(np.mean(nearest), abs=0.05)


def test_contributions_are_those_of_leaving_out_each_identity() -> None:
    embeddings, targets = drawn(7, number=600, identities=30)
    task = Verification()
    contributions = task.contributions(embeddings, targets)
    score = task.score(embeddings, targets)
    assert contributions.mean() == pytest.approx(score)
    own = np.bincount(targets.values, weights=contributions) / 20
    left_out = []
    for identity in range(30):
        kept = np.flatnonzero(targets.values != identity)
        left_out.append(task.score(embeddings[kept], targets.take(kept)))
    exact = 30 * score - 29 * np.array(left_out)
    assert np.corrcoef(exact, own)[0, 1] > 0.95
    assert own.std() == pytest.approx(exact.std(), rel=0.2)


def test_the_variance_over_identities_is_that_of_repeated_draws() -> None:
    task, scores, estimates = Verification(), [], []
    for seed in range(60):
        embeddings, targets = drawn(seed, number=240, identities=24)
        scores.append(task.score(embeddings, targets))
        sums = np.bincount(targets.values, weights=task.contributions(embeddings, targets)) / 10
        estimates.append(sums.var(ddof=1) / 24)
    # Twenty-four people of a seed are a draw of all people.
    assert np.mean(estimates) == pytest.approx(np.var(scores, ddof=1), rel=0.5)


def test_identities_without_two_kinds_of_trials_have_no_error_rate() -> None:
    embeddings, targets = drawn(1)
    one = Identities(np.zeros(len(targets), np.int64), 2)
    task = Verification()
    assert np.isnan(task.score(embeddings, one))
    assert all(np.isnan(value) for value in task.measure(embeddings, one).values())
    without = np.full((len(targets), 1), np.nan, np.float16)
    assert np.isnan(task.score(without, targets)) and np.isnan(task.contributions(without, targets)).all()
    with pytest.raises(ValueError, match="of one identity and others"):
        ErrorCurve.of(np.zeros(3), np.ones(3, bool))


def test_each_identity_and_group_has_an_error_rate_of_its_own() -> None:
    embeddings, targets = drawn(2)
    task, groups = Verification(), np.arange(len(targets)) // 12
    per_class = task.per_class(embeddings, targets)
    assert per_class.shape == (4,) and np.isfinite(per_class).all()
    found = task.measure(embeddings, targets, groups=groups)
    assert found["worst_class_one_minus_eer"] == per_class.min()
    halves = [task.score(embeddings[groups == g], targets.take(np.flatnonzero(groups == g))) for g in (0, 1)]
    assert found["worst_group_one_minus_eer"] == min(halves)


def test_fidelity_is_the_correlation_of_similarities() -> None:
    embeddings, _ = drawn(4)
    turned = embeddings[:, ::-1]
    task = Verification()
    assert task.fidelity(turned, embeddings)["similarity_correlation"] == pytest.approx(1.0)
    wider = np.concatenate([embeddings, embeddings], axis=1)
    assert task.fidelity(wider, embeddings)["similarity_correlation"] == pytest.approx(1.0)
    assert np.isnan(task.fidelity(np.ones_like(embeddings), embeddings)["similarity_correlation"])


def test_trials_stay_with_their_examples() -> None:
    _, targets = drawn(6, trials=30)
    order = np.random.default_rng(0).permutation(len(targets))
    moved = targets.take(order)
    assert moved.trials is not None and targets.trials is not None
    np.testing.assert_array_equal(order[moved.trials], targets.trials)
    half = targets.take(np.arange(12))
    assert half.trials is not None and len(half.trials) == int((targets.trials < 12).all(axis=1).sum())
    both = half.joined(targets.take(np.arange(12, 24)))
    assert both.trials is not None and len(both.trials) < 30
    again = Identities.from_arrays(targets.arrays(), targets.classes)
    assert again.digest == targets.digest != Identities(targets.values, targets.classes).digest


def test_embeddings_are_stored_at_unit_length_and_networks_without_have_none() -> None:
    rng = np.random.default_rng(0)
    images = Examples.of(
        rng.integers(0, 255, (12, 1, 8, 8), dtype=np.uint8), np.arange(12) % 3, ("a", "b", "c")
    )
    normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
    evaluator = Evaluator(Verification(), images, normalize, CPU, "fp32")
    network = build_model("resnet8", classes=3, inputs=InputSpec(1, 8, 8))
    stored = evaluator.outputs(network, {"test": images}).stored["test"]
    assert stored.shape == (12, 64) and stored.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(stored.astype(np.float64), axis=1), 1, atol=2e-3)
    without = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten())
    assert np.isnan(evaluator.outputs(without, {"test": images}).stored["test"]).all()
    assert isinstance(images.targets, Labels) and np.isfinite(Verification().score(stored, images.targets))


def test_contributions_of_trials_that_leave_examples_out() -> None:
    scores, same = np.array([0.9, 0.2, 0.8, 0.1]), np.array([True, False, False, True])
    pairs = np.array([[0, 1], [0, 2], [1, 2], [3, 4]])
    found = verification_contributions(scores, same, pairs, 6)
    assert np.isfinite(found).all() and found.mean() == pytest.approx(
        1 - ErrorCurve.of(scores, same).equal_error_rate
    )


def test_trials_of_many_examples_are_those_of_some_of_each_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, targets = drawn(8, number=400, identities=10)
    task, whole = Verification(), Verification().score(*drawn(8, number=400, identities=10))
    monkeypatch.setattr("distillab.tasks.verification.MOST_PAIRED", 100)
    found = task.score(embeddings, targets)
    assert found == pytest.approx(whole, abs=0.1) and found != whole
    contributions = task.contributions(embeddings, targets)
    assert contributions.shape == (400,) and contributions.mean() == pytest.approx(
        task.score(embeddings, targets)
    )
