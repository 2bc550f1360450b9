"""Balanced classification: the mean of recalls, sensitivity and specificity, and weighted losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.methods import methods
from distillab.methods.batch import Pair
from distillab.models.outputs import OutputShapes
from distillab.tasks import BalancedClassification, Mixed, parse_task

TASK = BalancedClassification()


def outputs(seed: int, n: int = 60, classes: int = 2) -> tuple[np.ndarray, Labels, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.choice(classes, n - classes)]).astype(np.int64)
    return rng.normal(size=(n, classes)), Labels(labels, classes), rng.integers(0, 4, n)


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_score_is_the_mean_recall_and_the_mean_of_contributions(seed: int, classes: int) -> None:
    logits, targets, _ = outputs(seed, classes=classes)
    expected = balanced_accuracy_score(targets.values, logits.argmax(axis=1))
    assert TASK.score(logits, targets) == pytest.approx(expected)
    assert TASK.contributions(logits, targets).mean() == pytest.approx(expected)
    assert TASK.measure(logits, targets)["balanced_accuracy"] == pytest.approx(expected)


def test_unlabelled_examples_are_left_out() -> None:
    logits = np.eye(2)[[0, 0, 1, 1]]
    assert TASK.score(logits, Labels(np.array([0, 1, 1, -1]), classes=2)) == pytest.approx((1 + 1 / 2) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_sensitivity_is_the_recall_of_the_second_class(seed: int) -> None:
    logits, targets, groups = outputs(seed)
    predicted = logits.argmax(axis=1)
    found = TASK.measure(logits, targets, groups=groups)
    assert found["sensitivity"] == pytest.approx(recall_score(targets.values, predicted))
    assert found["specificity"] == pytest.approx(recall_score(targets.values, predicted, pos_label=0))
    by_group = [
        balanced_accuracy_score(targets.values[groups == g], predicted[groups == g])
        for g in np.unique(groups)
    ]
    assert found["worst_group_balanced_accuracy"] == pytest.approx(min(by_group))
    assert found["group_balanced_accuracy"] == pytest.approx(np.mean(by_group))


def test_groups_of_one_class_have_no_balanced_accuracy() -> None:
    logits, groups = np.eye(2)[[0, 1, 0, 0]], np.array([4, 4, 7, 7])
    targets = Labels(np.array([0, 1, 1, 1]), classes=2)
    by_group = TASK.per_group(logits, targets, groups)
    assert by_group[4] == 1.0 and np.isnan(by_group[7])
    found = TASK.measure(logits, targets, groups=groups)
    assert found["group_balanced_accuracy"] == found["worst_group_balanced_accuracy"] == 1.0
    found = TASK.measure(logits[[0, 2]], targets.take(np.array([0, 2])), groups=groups[[0, 2]])
    assert np.isnan(found["group_balanced_accuracy"]) and np.isnan(found["worst_group_balanced_accuracy"])


def test_more_than_two_classes_have_no_sensitivity() -> None:
    logits, targets, _ = outputs(0, classes=3)
    assert not {"sensitivity", "specificity"} & set(TASK.measure(logits, targets))


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    made = BalancedClassification(class_weights="balanced").for_training(torch.from_numpy(labels), 3)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert made.class_weights == pytest.approx(tuple(expected))


def test_loss_weighs_classes() -> None:
    logits, labels = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, -1])
    weights = torch.tensor([0.5, 3.0])
    found = BalancedClassification(class_weights=(0.5, 3.0)).loss(logits, labels).mean()
    each = cross_entropy(logits[:5], labels[:5], reduction="none") * weights[labels[:5]]
    torch.testing.assert_close(found, each.mean())


def test_mixed_examples_have_the_weights_of_both_classes() -> None:
    logits = torch.zeros(1, 2)
    mixed = Mixed(torch.tensor([1]), share=torch.tensor([0.75]))
    found = BalancedClassification(class_weights=(1.0, 5.0)).loss(logits, torch.tensor([0]), mixed=mixed)
    torch.testing.assert_close(found, torch.log(torch.tensor([2.0])) * (0.75 * 1 + 0.25 * 5))


def test_methods_of_classification_train_with_the_weights_of_their_examples() -> None:
    shapes = OutputShapes(classes=2, embedding=4)
    task = BalancedClassification(class_weights="balanced")
    pair = Pair(shapes, shapes, n_train=4, labels=torch.tensor([0, 0, 0, 1]), task=task)
    method = methods["dkd"](methods["dkd"].Config(), pair)
    assert isinstance(method.task, BalancedClassification)
    assert method.task.class_weights == pytest.approx((2 / 3, 2.0))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"class_weights": "heavy"}, "class_weights"),
        ({"class_weights": [1, -1]}, "[1.0, -1.0] are not weights"),
    ],
)
def test_unusable_weights_are_refused(entry: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_task({"name": "balanced_classification", **entry})
    assert message in str(caught.value)


def test_weights_that_do_not_fit_the_classes_are_refused() -> None:
    with pytest.raises(RequestError, match="there are 3 weights for 2 classes"):
        BalancedClassification(class_weights=(1, 2, 3)).loss(torch.zeros(1, 2), torch.tensor([0]))
    with pytest.raises(RequestError, match="a class has no labelled training example"):
        BalancedClassification(class_weights="balanced").for_training(torch.tensor([0, 0]), 2)
