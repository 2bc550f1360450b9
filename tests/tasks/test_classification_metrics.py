"""Metrics agree with scikit-learn and torchmetrics, and with values worked out by hand."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, recall_score
from torchmetrics.functional.classification import multiclass_calibration_error

from distillab.tasks.arrays import GroupArray, LabelArray, Logits
from distillab.tasks.classification import METRICS, Classification
from distillab.tasks.classification_metrics import (
    class_accuracies,
    classification_metrics,
    fidelity,
    group_accuracies,
    thirds,
)


def outputs(
    seed: int, n: int = 400, c: int = 7, dtype: type = np.float64
) -> tuple[Logits, LabelArray, GroupArray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(c, size=n, p=np.arange(1, c + 1) / np.arange(1, c + 1).sum())
    logits = rng.normal(size=(n, c)) + 1.5 * np.eye(c)[labels]
    return logits.astype(dtype), labels.astype(np.int64), rng.integers(0, 3, size=n)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed: int) -> None:
    logits, labels, groups = outputs(seed)
    predicted, probabilities = logits.argmax(axis=1), softmax(logits, axis=1)
    found = classification_metrics(logits, labels, groups)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted), abs=1e-12)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-12)
    recalls = recall_score(labels, predicted, average=None)
    assert found["worst_class_accuracy"] == pytest.approx(recalls.min(), abs=1e-12)
    np.testing.assert_allclose(class_accuracies(logits, labels), recalls, atol=1e-12)
    assert found["nll"] == pytest.approx(log_loss(labels, probabilities, labels=range(7)), abs=1e-12)
    expected = ((probabilities - np.eye(7)[labels]) ** 2).sum(axis=1).mean()
    assert found["brier"] == pytest.approx(expected, abs=1e-12)
    by_group = [accuracy_score(labels[groups == g], predicted[groups == g]) for g in range(3)]
    assert found["worst_group_accuracy"] == pytest.approx(min(by_group), abs=1e-12)
    assert found["group_accuracy"] == pytest.approx(np.mean(by_group), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_agrees_with_torchmetrics(seed: int) -> None:
    logits, labels, _ = outputs(seed)
    expected = multiclass_calibration_error(
        torch.tensor(softmax(logits, axis=1)), torch.tensor(labels), num_classes=7, n_bins=15, norm="l1"
    )
    assert classification_metrics(logits, labels)["ece"] == pytest.approx(float(expected), abs=1e-6)


def test_macro_f1_counts_classes_that_are_only_predicted() -> None:
    logits = np.eye(4)[[0, 1, 2, 0]] * 9
    labels = np.array([0, 1, 1, 0])  # class 2 is predicted, never true; class 3 never occurs
    expected = f1_score(labels, logits.argmax(axis=1), average="macro")
    assert classification_metrics(logits, labels)["macro_f1"] == pytest.approx(expected)


def test_values_by_hand() -> None:
    logits = np.log(np.array([[0.8, 0.2], [0.6, 0.4]]))
    found = classification_metrics(logits, np.array([0, 1]))
    assert found["accuracy"] == 0.5
    assert found["nll"] == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    assert found["brier"] == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2)
    assert found["ece"] == pytest.approx((0.2 + 0.6) / 2)  # bins of 0.8 and 0.6, gaps 0.2 and 0.6
    assert found["worst_class_accuracy"] == 0.0
    assert np.isnan(found["worst_group_accuracy"]) and np.isnan(found["group_accuracy"])


def test_every_group_counts_once_in_the_mean_over_groups() -> None:
    """The recognition rate of three patients: 1 of 1, 2 of 4 and 0 of 1 images are right."""
    logits = np.eye(2)[[0, 1, 1, 0, 0, 0]]
    patients = np.array([7, 9, 9, 9, 9, 4])
    found = classification_metrics(logits, np.array([0, 1, 1, 1, 1, 1]), patients)
    assert found["group_accuracy"] == pytest.approx((1 + 2 / 4 + 0) / 3)
    assert found["accuracy"] == pytest.approx(3 / 6)


@given(st.integers(0, 10_000), st.sampled_from([np.float16, np.float32, np.float64]))
def test_metrics_stay_in_range_and_ignore_shifts_of_logits(seed: int, dtype: type) -> None:
    logits, labels, groups = outputs(seed, n=30, c=4, dtype=dtype)
    found = classification_metrics(logits, labels, groups)
    for name, value in found.items():
        assert 0 <= value <= (np.inf if name == "nll" else 2 if name == "brier" else 1)
    shifted = classification_metrics(logits.astype(np.float64) + 5.0, labels, groups)
    for name, value in found.items():
        assert shifted[name] == pytest.approx(value, abs=1e-9)


def test_half_precision_changes_little() -> None:
    logits, labels, _ = outputs(0)
    exact = classification_metrics(logits, labels)
    half = classification_metrics(logits.astype(np.float16), labels)
    assert half["nll"] == pytest.approx(exact["nll"], abs=1e-3)


def test_large_logits_neither_overflow_nor_lose_the_last_bin() -> None:
    found = classification_metrics(np.array([[1e4, -1e4], [1e4, -1e4]]), np.array([0, 1]))
    assert found["nll"] == pytest.approx(1e4)
    assert found["ece"] == pytest.approx(0.5)


def test_fidelity_agrees_with_its_formulas() -> None:
    teacher, _, _ = outputs(1)
    same = fidelity(teacher + 3.0, teacher)
    assert same == {"agreement": 1.0, "teacher_kl": pytest.approx(0.0, abs=1e-12)}
    student, _, _ = outputs(2)
    p, q = softmax(teacher, axis=1), softmax(student, axis=1)
    found = fidelity(student, teacher)
    assert found["teacher_kl"] == pytest.approx((p * np.log(p / q)).sum(axis=1).mean())
    assert found["agreement"] == pytest.approx(accuracy_score(teacher.argmax(1), student.argmax(1)))


def test_classes_and_groups_without_images() -> None:
    logits, labels = np.eye(3), np.array([0, 1, 1])
    np.testing.assert_array_equal(class_accuracies(logits, labels), [1.0, 0.5, np.nan])
    assert group_accuracies(logits, labels, np.array([4, 4, 9])) == {4: 1.0, 9: 0.0}


@pytest.mark.parametrize(
    ("logits", "labels", "groups"),
    [
        (np.zeros((2, 3)), [0], None),
        (np.zeros((2, 3)), [0, 3], None),
        (np.zeros((2, 3)), [0, -1], None),
        (np.zeros((0, 3)), [], None),
        (np.zeros(3), [0, 1, 2], None),
        (np.array([[np.nan, 0.0]]), [0], None),
        (np.array([[np.inf, 0.0]]), [0], None),
        (np.zeros((2, 3)), [0, 1], [0]),
    ],
)
def test_unusable_outputs_are_refused(logits: Logits, labels: list[int], groups: list[int] | None) -> None:
    with pytest.raises(ValueError, match=r"logits|label|groups"):
        classification_metrics(
            logits, np.array(labels, dtype=np.int64), None if groups is None else np.array(groups)
        )


def test_fidelity_refuses_outputs_of_different_sets() -> None:
    with pytest.raises(ValueError, match="differ"):
        fidelity(np.zeros((2, 3)), np.zeros((3, 3)))


def test_every_measured_number_has_an_entry_in_the_table() -> None:
    logits, labels, groups = outputs(0)
    measured = classification_metrics(logits, labels, groups) | fidelity(logits, logits)
    measured |= Classification().by_frequency(class_accuracies(logits, labels), np.arange(logits.shape[1]))
    assert set(measured) | {"accuracy_selected"} == set(METRICS)
    assert all(metric.margin > 0 and metric.unit in ("points", "nats") for metric in METRICS.values())
    assert METRICS["accuracy"].margin_for(0.02) == 0.02
    assert METRICS["nll"].margin_for(0.5) == METRICS["nll"].margin


def test_classes_are_ranked_by_training_examples() -> None:
    per_class = np.array([0.9, 0.1, 0.5, 0.7, 0.3, np.nan, 0.2])
    trained = np.array([50, 2, 20, 40, 10, 5, 5])
    # Seven classes by frequency: 0, 3, 2 | 4, 5 | 6, 1; a class without a test image does not count.
    assert thirds(per_class, trained) == pytest.approx({"head": 0.7, "middle": 0.3, "tail": 0.15})
    assert thirds(per_class, np.full(7, 5)) == {}
    assert thirds(per_class[:2], trained[:2]) == {}


@given(st.integers(3, 40), st.randoms(use_true_random=False))
def test_thirds_hold_every_class_once(classes: int, random: Random) -> None:
    trained = np.array([random.randint(0, 9) for _ in range(classes - 1)] + [10])
    parts = thirds(np.eye(classes)[0], trained)  # a mean of ones and zeros tells how many are in it
    sizes = [round(1 / value) for value in parts.values() if value]
    assert len(sizes) == 1 and abs(sizes[0] - classes / 3) < 1
