"""How well groups alone predict classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distillab.data.examples import Examples
from distillab.data.group_rule import balanced_accuracy_of_group, group_note
from distillab.data.targets import LabelSets


def examples(labels: list[int], groups: list[int] | None, classes: int = 2) -> Examples:
    images = np.zeros((len(labels), 1, 8, 8), np.uint8)
    names = tuple(f"class {number}" for number in range(classes))
    made = Examples.of(images, labels, names)
    return made if groups is None else replace(made, groups=np.array(groups), group_names=("a", "b", "c"))


def test_group_that_has_one_class_predicts_it() -> None:
    train = examples([0, 0, 1, 1], [0, 0, 1, 1])
    assert balanced_accuracy_of_group(train, examples([0, 1, 1], [0, 1, 1])) == 1.0
    assert balanced_accuracy_of_group(train, examples([1, 0], [0, 1])) == 0.0


def test_rule_weighs_classes_equally() -> None:
    """Group b holds more of class 0 than of class 1, but a larger share of class 1."""
    train = examples([0] * 8 + [1] * 2, [0] * 5 + [1] * 3 + [1] * 2)
    assert balanced_accuracy_of_group(train, examples([0, 0, 1], [0, 1, 1])) == pytest.approx((1 / 2 + 1) / 2)


def test_groups_without_association_are_not_noted() -> None:
    train = examples([0, 1] * 6, [0, 0, 1, 1] * 3)
    assert balanced_accuracy_of_group(train, train) == 0.5
    assert group_note(train, train) == ()


def test_note_states_the_rule_and_what_guessing_reaches() -> None:
    train = examples([0, 0, 1, 1], [0, 0, 1, 1])
    [note] = group_note(train, train)
    assert "balanced accuracy of 100 % (50 % by guessing)" in note


def test_new_groups_predict_nothing() -> None:
    train = examples([0, 1, 0, 1], [0, 1, 0, 1])
    assert balanced_accuracy_of_group(train, examples([0, 1], [2, 2])) == 0.5


def test_without_groups_or_single_labels_there_is_no_rule() -> None:
    train = examples([0, 1], None)
    assert balanced_accuracy_of_group(train, train) is None
    grouped = examples([0, 1], [0, 1])
    sets = replace(grouped, targets=LabelSets(np.eye(2, dtype=np.int8), 2))
    assert balanced_accuracy_of_group(sets, sets) is None
