"""Scores within groups, and the baseline that predicts from groups alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distillab.data.examples import Examples
from distillab.data.targets import LabelSets
from distillab.evidence.group_scores import MOST_GROUPS, group_baseline, scores_by_group
from distillab.evidence.part_scores import part_rows
from distillab.tasks import Classification, MultiLabel, tasks

BALANCED = tasks["balanced_classification"]()


def examples(labels: list[int], groups: list[int] | None) -> Examples:
    made = Examples.of(np.zeros((len(labels), 1, 8, 8), np.uint8), labels, ("no", "yes"))
    if groups is None:
        return made
    return replace(made, groups=np.array(groups), group_names=tuple(map(str, range(MOST_GROUPS + 1))))


def logits_for(predicted: list[int]) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[predicted]


def test_scores_are_those_of_the_examples_of_each_group() -> None:
    test = examples([0, 1, 1, 0], [2, 2, 2, 0])
    scores = scores_by_group(logits_for([0, 1, 0, 1]), test, Classification())
    assert scores == {"0": (0.0, 1), "2": (pytest.approx(2 / 3), 3)}


def test_balanced_accuracy_is_undefined_in_a_group_that_lacks_a_class() -> None:
    test = examples([0, 0, 1, 1, 1], [0, 0, 0, 1, 1])
    scores = scores_by_group(logits_for([0, 1, 1, 1, 1]), test, BALANCED)
    assert scores is not None and scores["0"] == (pytest.approx(0.75), 3)
    assert math.isnan(scores["1"][0]) and scores["1"][1] == 2


@pytest.mark.parametrize("groups", [None, [0] * 60, list(range(MOST_GROUPS + 1)) + [0] * 9])
def test_no_groups_one_group_and_too_many_have_no_scores(groups: list[int] | None) -> None:
    assert scores_by_group(logits_for([0] * 60), examples([0, 1] * 30, groups), Classification()) is None


def test_rows_name_run_and_group() -> None:
    row = {"run_id": "r", "dataset": "d", "factor.size": 5.0, "method": "kd", "seed": 1, "accuracy": 0.5}
    done = part_rows("group", "accuracy", [row, row], [{"a": (0.5, 4), "b": (1.0, 2)}, None])
    assert [each["group"] for each in done] == ["a", "b"]
    assert done[1] == {
        "run_id": "r",
        "dataset": "d",
        "factor.size": 5.0,
        "method": "kd",
        "seed": 1,
        "group": "b",
        "metric": "accuracy",
        "n_test": 2,
        "score": 1.0,
    }


def test_group_baseline_takes_the_majority_of_each_group() -> None:
    """Group 0 has 3 of 4 of class 0, group 1 has 2 of 3 of class 1; class 0 is the majority of all."""
    train = examples([0, 0, 0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1, 1, 2])
    found = group_baseline(train, examples([0, 1, 1, 1, 0], [0, 0, 1, 1, 1]), Classification())
    assert found is not None
    assert (found.metric, found.score, found.without_groups) == ("accuracy", 3 / 5, 2 / 5)
    assert found.n_groups == 2
    assert "majority class of its group in train" in found.sentence(Classification())
    assert "accuracy 60.0 % (40.0 % without the group)" in found.sentence(Classification())


def test_group_baseline_of_balanced_accuracy_weighs_classes_equally() -> None:
    """Group 1 has more of class 0 than of class 1, but all of class 1."""
    train = examples([0] * 8 + [1] * 2, [0] * 5 + [1] * 3 + [1] * 2)
    found = group_baseline(train, examples([0, 0, 1], [0, 1, 1]), BALANCED)
    assert found is not None and found.metric == "balanced_accuracy"
    assert (found.score, found.without_groups) == (pytest.approx((1 / 2 + 1) / 2), 0.5)
    assert "balanced accuracy 75.0 %" in found.sentence(BALANCED)


def test_new_groups_are_predicted_to_be_of_the_majority_class() -> None:
    train = examples([0, 1, 1], [0, 1, 1])
    found = group_baseline(train, examples([1, 0], [2, 0]), Classification())
    assert found is not None and found.score == 1.0


def test_there_is_no_baseline_without_shared_groups_or_single_labels() -> None:
    grouped = examples([0, 1], [0, 1])
    assert group_baseline(grouped, examples([0, 1], [2, 3]), Classification()) is None
    assert group_baseline(grouped, examples([0, 1], None), Classification()) is None
    sets = replace(grouped, targets=LabelSets(np.eye(2, dtype=np.int8), 2))
    assert group_baseline(sets, sets, MultiLabel()) is None
