"""Multi-label metrics agree with scikit-learn, and with values worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    hamming_loss,
    log_loss,
    roc_auc_score,
)

from distillab.data.targets import LabelSets
from distillab.tasks import MultiLabel
from distillab.tasks.multilabel_metrics import (
    best_thresholds,
    group_aucs,
    label_aucs,
    multilabel_fidelity,
    multilabel_metrics,
)

Floats = npt.NDArray[Any]
Sets = npt.NDArray[np.int8]


def outputs(seed: int, n: int = 300, k: int = 5) -> tuple[Floats, Sets, npt.NDArray[np.int64]]:
    """Logits with ties, labels of unequal frequency, and groups."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, k)) < np.linspace(0.1, 0.6, k)).astype(np.int8)
    logits = np.round(rng.normal(size=(n, k)) * 2 + 1.5 * labels - 0.5, 1)
    return logits, labels, rng.integers(0, 3, size=n)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed: int) -> None:
    logits, labels, groups = outputs(seed)
    p, predicted = expit(logits), logits >= 0
    found = multilabel_metrics(logits, labels, groups)
    per_label = roc_auc_score(labels, p, average=None)
    expected = {
        "macro_auc": roc_auc_score(labels, p, average="macro"),
        "micro_auc": roc_auc_score(labels, p, average="micro"),
        "macro_ap": average_precision_score(labels, p, average="macro"),
        "micro_ap": average_precision_score(labels, p, average="micro"),
        "macro_f1": f1_score(labels, predicted, average="macro"),
        "micro_f1": f1_score(labels, predicted, average="micro"),
        "exact_match": accuracy_score(labels, predicted),
        "hamming_loss": hamming_loss(labels, predicted),
        "worst_label_auc": per_label.min(),
        "worst_group_auc": min(roc_auc_score(labels[groups == g], p[groups == g]) for g in range(3)),
        "nll": np.mean([log_loss(labels[:, i], p[:, i]) for i in range(5)]),
        "brier": np.mean((p - labels) ** 2),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(label_aucs(logits, labels), per_label, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_unknown_labels_are_left_out(seed: int) -> None:
    logits, labels, _ = outputs(seed)
    some = np.where(np.random.default_rng(seed + 100).random(labels.shape) < 0.3, -1, labels).astype(np.int8)
    known, p = some != -1, expit(logits)
    columns = [(some[known[:, i], i], p[known[:, i], i]) for i in range(5)]
    found = multilabel_metrics(logits, some)
    assert found["macro_auc"] == pytest.approx(np.mean([roc_auc_score(*column) for column in columns]))
    assert found["macro_ap"] == pytest.approx(np.mean([average_precision_score(*c) for c in columns]))
    assert found["micro_auc"] == pytest.approx(roc_auc_score(some[known], p[known]))
    assert found["micro_f1"] == pytest.approx(f1_score(some[known], logits[known] >= 0))
    assert found["hamming_loss"] == pytest.approx(hamming_loss(some[known], logits[known] >= 0))
    assert found["brier"] == pytest.approx(np.mean((p - some)[known] ** 2))
    right = ((logits >= 0) == (some == 1)) | ~known
    assert found["exact_match"] == pytest.approx(right.all(axis=1)[known.any(axis=1)].mean())


def test_calibration_error_by_hand() -> None:
    """Two labels, each with its probabilities in two bins."""
    p = np.array([[0.9, 0.5], [0.9, 0.5], [0.1, 0.5], [0.1, 0.5]])
    labels = np.array([[1, 1], [0, 0], [0, 1], [0, 0]], dtype=np.int8)
    found = multilabel_metrics(np.log(p / (1 - p)), labels)["ece"]
    assert found == pytest.approx((0.5 * abs(0.9 - 0.5) + 0.5 * 0.1 + 0.0) / 2)


@given(st.integers(0, 10_000), st.sampled_from([np.float16, np.float32, np.float64]))
@settings(max_examples=40, deadline=None)
def test_metrics_stay_in_range_and_ranks_ignore_monotone_changes(seed: int, dtype: type) -> None:
    logits, labels, groups = outputs(seed, n=30, k=3)
    found = multilabel_metrics(logits.astype(dtype), labels, groups)
    for name, value in found.items():
        assert np.isnan(value) or 0 <= value <= (np.inf if name == "nll" else 1)
    stretched = multilabel_metrics(3 * logits.astype(dtype).astype(np.float64) + 1, labels, groups)
    for name in ("macro_auc", "macro_ap", "worst_label_auc", "worst_group_auc"):
        assert stretched[name] == pytest.approx(found[name], nan_ok=True)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_turned_round_logits_have_the_complementary_auc(seed: int) -> None:
    logits, labels, _ = outputs(seed, n=40, k=3)
    np.testing.assert_allclose(label_aucs(-logits, labels), 1 - label_aucs(logits, labels), atol=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_chosen_thresholds_are_the_best_on_their_own_set(seed: int) -> None:
    logits, labels, _ = outputs(seed, n=25, k=3)
    chosen = multilabel_metrics(logits, labels, thresholds=best_thresholds(logits, labels))["macro_f1"]
    for threshold in np.unique(logits):
        other = multilabel_metrics(logits, labels, thresholds=np.full(3, threshold))["macro_f1"]
        assert np.isnan(other) or chosen >= other - 1e-12


def test_groups_have_the_macro_auc_of_their_examples() -> None:
    logits, labels, groups = outputs(0)
    found = group_aucs(logits, labels, groups)
    assert list(found) == [0, 1, 2]
    assert found[1] == pytest.approx(roc_auc_score(labels[groups == 1], logits[groups == 1]))
    assert np.isnan(group_aucs(logits[:1], labels[:1], groups[:1])[int(groups[0])])


def test_fidelity_compares_every_label() -> None:
    teacher, _, _ = outputs(1)
    assert multilabel_fidelity(teacher, teacher) == {"agreement": 1.0, "teacher_kl": 0.0}
    student, _, _ = outputs(2)
    p, q = expit(teacher), expit(student)
    found = multilabel_fidelity(student, teacher)
    assert found["teacher_kl"] == pytest.approx(
        (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    )
    assert found["agreement"] == pytest.approx(((p >= 0.5) == (q >= 0.5)).mean())
    with pytest.raises(ValueError, match="differ"):
        multilabel_fidelity(student, teacher[:, :2])


def test_every_measured_number_has_an_entry_in_the_table() -> None:
    logits, labels, groups = outputs(0)
    measured = multilabel_metrics(logits, labels, groups) | multilabel_fidelity(logits, logits)
    measured |= MultiLabel().by_frequency(label_aucs(logits, labels), labels.sum(axis=0).astype(np.int64))
    assert set(measured) | {MultiLabel().selected} == set(MultiLabel.metrics)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2))),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.zeros(3), np.zeros(3)),
        (np.array([[np.nan, 0.0]]), np.zeros((1, 2))),
        (np.array([[np.inf, 0.0]]), np.zeros((1, 2))),
    ],
)
def test_unusable_outputs_are_refused(logits: Floats, labels: Floats) -> None:
    with pytest.raises(ValueError, match=r"logits|labels"):
        multilabel_metrics(logits, labels.astype(np.int8))


def test_small_groups_have_no_auc() -> None:
    logits, labels, _ = outputs(0, n=60)
    groups = np.repeat([0, 1, 2], [19, 20, 21])
    found = group_aucs(logits, labels, groups)
    assert list(found) == [0, 1, 2]
    assert [bool(np.isnan(found[group])) for group in (0, 1, 2)] == [True, False, False]
    assert np.isnan(multilabel_metrics(logits, labels, np.arange(60))["worst_group_auc"])


def rare_outputs(seed: int) -> tuple[Floats, Sets]:
    """Outputs for one label that 4 of 200 examples have, and one that 4 lack."""
    logits, labels, _ = outputs(seed, n=200, k=5)
    labels[:, 0], labels[:, 4] = 0, 1
    labels[:4, 0], labels[:4, 4] = 1, 0
    return logits, labels


@pytest.mark.parametrize("least", [4, 5])
def test_labels_with_too_few_examples_are_left_out_of_means_over_labels(least: int) -> None:
    logits, labels = rare_outputs(0)
    found = multilabel_metrics(logits, labels, least=least)
    kept = slice(None) if least == 4 else slice(1, 4)
    per_label = roc_auc_score(labels[:, kept], logits[:, kept], average=None)
    assert found["macro_auc"] == pytest.approx(per_label.mean())
    assert found["worst_label_auc"] == pytest.approx(per_label.min())
    assert found["macro_ap"] == pytest.approx(average_precision_score(labels[:, kept], logits[:, kept]))
    assert found["micro_auc"] == pytest.approx(roc_auc_score(labels.ravel(), logits.ravel())), "all decisions"
    assert np.isnan(label_aucs(logits, labels, least)).sum() == (0 if least == 4 else 2)


def test_macro_auc_among_examples_with_a_label_does_not_reward_finding_them() -> None:
    """Outputs that show only who has a label are good over all examples, and a guess among those with one."""
    rng = np.random.default_rng(0)
    labels = np.zeros((400, 2), np.int8)
    labels[np.arange(200), rng.integers(0, 2, 200)] = 1
    logits = np.repeat((labels.sum(axis=1, keepdims=True) > 0).astype(float), 2, axis=1)
    found = multilabel_metrics(logits, labels)
    assert found["macro_auc"] > 0.8
    assert found["macro_auc_positive"] == pytest.approx(0.5)
    having = labels.any(axis=1)
    noisy = logits + rng.normal(size=logits.shape) + labels
    expected = roc_auc_score(labels[having], noisy[having])
    assert multilabel_metrics(noisy, labels)["macro_auc_positive"] == pytest.approx(expected)


def test_macro_auc_among_examples_with_a_label_may_be_undefined() -> None:
    logits, labels = np.zeros((4, 1)), np.array([[1], [1], [0], [0]], np.int8)
    assert np.isnan(multilabel_metrics(logits, labels)["macro_auc_positive"]), "all of them have the label"
    assert np.isnan(multilabel_metrics(logits[2:], labels[2:])["macro_auc_positive"]), "none of them has one"


@given(seed=st.integers(0, 200), least=st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_contributions_average_to_the_score_over_counted_labels(seed: int, least: int) -> None:
    logits, labels = rare_outputs(seed)
    task, sets = MultiLabel(min_positives=least), LabelSets(labels, 5)
    score = task.score(logits, sets)
    assert task.contributions(logits, sets).mean() == pytest.approx(score)
    assert score == pytest.approx(task.measure(logits, sets)["macro_auc"])
    assert task.undefined_classes(sets) == (0 if least <= 4 else 2)
