"""The variance of a mean gain over draws of seeds, teachers and test examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.data.targets import LabelSets
from distillab.evidence.contrast import values_of_groups
from distillab.evidence.draws import Variance, variance_over_examples, variance_over_seeds
from distillab.evidence.gains import PairedDifferences, paired_gain, sign_flip_p
from distillab.tasks import tasks

GAINS = np.array([0.010, 0.031, 0.022, 0.058, 0.017, 0.040])


def test_one_teacher_or_one_for_each_seed_gives_the_standard_error() -> None:
    usual = Variance(float(GAINS.var(ddof=1)) / 6, 5.0)
    for teachers in (None, ["a"] * 6, list("abcdef")):
        assert variance_over_seeds(GAINS, teachers) == usual


def test_equally_many_pairs_per_teacher_give_the_variance_of_teacher_means() -> None:
    gains = np.array([0.01, 0.05, 0.09, 0.02, 0.06, 0.10])
    means = gains.reshape(2, 3).mean(axis=0)
    found = variance_over_seeds(gains, list("abcabc"))
    assert found.value == pytest.approx(means.var(ddof=1) / 3)
    assert found.freedom == pytest.approx(2.0)


def test_teachers_that_do_not_differ_never_narrow_an_interval() -> None:
    gains = np.array([0.01, 0.05, 0.03, 0.05, 0.01, 0.03])
    found = variance_over_seeds(gains, list("abcabc"))
    assert (found.value, found.freedom) == (variance_over_seeds(gains).value, 2.0)


def test_two_teachers_leave_one_degree_of_freedom() -> None:
    assert variance_over_seeds(GAINS, list("ababab")).freedom == 1.0


def test_unequal_numbers_of_pairs_per_teacher_follow_the_analysis_of_variance() -> None:
    gains, teachers = np.array([1.0, 3.0, 8.0, 10.0, 12.0, 20.0]), list("aabbbc")
    # Teacher means 2, 10, 20; grand mean 9: by hand.
    between = (2 * 49 + 3 * 1 + 1 * 121) / 2
    within = (1 + 1 + 4 + 0 + 4) / 3
    typical = (6 - (4 + 9 + 1) / 6) / 2
    of_teachers = (between - within) / typical
    expected = of_teachers * (4 + 9 + 1) / 36 + within / 6
    assert variance_over_seeds(gains, teachers).value == pytest.approx(expected)


def test_an_effect_of_examples_is_found_whatever_the_seeds_do() -> None:
    rng = np.random.default_rng(0)
    examples = rng.normal(0, 0.5, 4000)
    table = examples + rng.normal(0, 0.3, (8, 1)) + rng.normal(0, 0.4, (8, 4000))
    found = variance_over_examples(table)
    assert found.value == pytest.approx(0.25 / 4000, rel=0.1)
    assert variance_over_examples(table - examples).value < 0.01 / 4000


@given(st.integers(2, 6), st.integers(2, 40), st.integers(0, 2**31))
def test_interval_for_new_examples_contains_that_for_the_same_examples(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(-1, 2, (n, m)).astype(float)
    teachers = [str(rng.integers(3)) for _ in range(n)]
    gain = paired_gain(
        table.mean(axis=1), np.zeros(n), resolution=1 / m, teachers=teachers, contributions=table
    )
    assert gain.ci_low <= gain.ci_low_same_test <= gain.gain <= gain.ci_high_same_test <= gain.ci_high


def test_without_contributions_both_intervals_are_the_same() -> None:
    gain = paired_gain(GAINS, np.zeros(6))
    assert (gain.ci_low, gain.ci_high) == (gain.ci_low_same_test, gain.ci_high_same_test)


def test_signs_of_the_pairs_of_a_teacher_flip_together() -> None:
    gain = paired_gain(GAINS, np.zeros(6), teachers=list("abcabc"))
    assert gain.p_value == sign_flip_p(GAINS[:3] + GAINS[3:]) == 0.25
    assert (
        paired_gain(GAINS, np.zeros(6), teachers=["a"] * 6).p_value == paired_gain(GAINS, np.zeros(6)).p_value
    )


@pytest.mark.parametrize(("pairs", "teachers"), [(5, 5), (6, 3), (10, 3), (10, 10), (20, 4), (20, 20)])
def test_interval_covers_draws_of_teachers_and_examples(pairs: int, teachers: int) -> None:
    rng = np.random.default_rng(pairs + teachers)
    of = np.arange(pairs) % teachers
    studies, covered = 400, 0
    for _ in range(studies):
        table = rng.normal(0, 0.2, 100) + rng.normal(0, 0.4, (pairs, 100))
        table += rng.normal(0, 0.006, (pairs, 1)) + rng.normal(0, 0.006, teachers)[of][:, None]
        gain = paired_gain(table.mean(axis=1), np.zeros(pairs), teachers=of.tolist(), contributions=table)
        covered += gain.ci_low <= 0.0 <= gain.ci_high
    assert covered / studies >= 0.93 - 2 * math.sqrt(0.05 * 0.95 / studies)


# Those of detections are in tests/tasks/test_detection.py.
@pytest.mark.parametrize("name", [name for name in tasks if not tasks[name].dense])
def test_contributions_average_to_the_score(name: str) -> None:
    rng = np.random.default_rng(3)
    task = tasks[name]()
    logits = rng.normal(size=(60, 3 + task.extra_columns)).round(1)
    sets = rng.integers(-1, 2, (60, 3)).astype(np.int8)
    values = sets if task.targets is LabelSets else rng.integers(-1, 3, 60)
    targets = task.targets(values, classes=3)
    contributions = task.contributions(logits, targets)
    assert contributions.shape == (int(targets.labelled.sum()),)
    assert contributions.mean() == pytest.approx(task.score(logits, targets))


def test_contributions_to_an_auc_have_the_variance_of_delong() -> None:
    rng = np.random.default_rng(4)
    labels = (np.arange(40) < 12).astype(np.int8)[:, None]
    scores = rng.normal(size=(40, 1)) + labels
    wins = (scores[:12] > scores[12:].T) + 0.5 * (scores[:12] == scores[12:].T)
    expected = wins.mean(axis=1).var() / 12 + wins.mean(axis=0).var() / 28
    found = tasks["multilabel"]().contributions(scores, LabelSets(labels, classes=1))
    assert found.var() / 40 == pytest.approx(expected)


def test_variance_over_patients_is_that_of_a_bootstrap_over_patients() -> None:
    """Images of a patient are alike, so that single images would give intervals that are too narrow."""
    rng, task = np.random.default_rng(0), tasks["multilabel"]()
    patients = np.repeat(np.arange(120), 3)
    labels = np.repeat(rng.random((120, 3)) < 0.4, 3, axis=0).astype(np.int8)
    seeds = 3
    alike, apart = rng.normal(0, 1, (2, 120, 3))[:, patients], rng.normal(0, 0.3, (2, seeds, 360, 3))
    plain, distilled = labels * 0.8 + alike[:, None] + apart

    def gain(rows: np.ndarray) -> float:
        sets = LabelSets(labels[rows], 3)
        scores = [[task.score(each[rows], sets) for each in runs] for runs in (distilled, plain)]
        return float(np.mean(scores[0]) - np.mean(scores[1]))

    sets = LabelSets(labels, 3)
    tables = [np.stack([task.contributions(each, sets) for each in runs]) for runs in (distilled, plain)]
    by_image = tables[0] - tables[1]
    by_patient = np.stack([values_of_groups(each, patients).values for each in by_image])
    assert by_patient.mean() == pytest.approx(gain(np.arange(360)))
    images = np.arange(360).reshape(120, 3)
    drawn = [gain(images[rng.integers(0, 120, 120)].ravel()) for _ in range(300)]
    found = variance_over_examples(by_patient).value
    assert found == pytest.approx(np.var(drawn, ddof=1), rel=0.3)
    assert variance_over_examples(by_image).value < 0.5 * found


def test_interval_of_the_same_networks_is_that_of_a_bootstrap_over_examples() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(0.1, 0.5, 400) + rng.normal(0, 0.4, (5, 400))
    differences = PairedDifferences.of(parts.mean(1) + 0.5, np.full(5, 0.5), contributions=parts)
    ends = differences.interval_same_runs(0.95)
    drawn = [parts.mean(0)[rng.integers(0, 400, 400)].mean() for _ in range(4000)]
    assert ends == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.003)
    assert PairedDifferences.of([0.5, 0.6], [0.4, 0.4]).interval_same_runs(0.95) is None
