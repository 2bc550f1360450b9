"""Targets: cut, counted and content-addressed, whatever form an annotation takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.canonical import array_digest
from distillab.data.targets import UNLABELLED, Labels, LabelSets, Targets


def label_sets(rows: list[list[int]]) -> LabelSets:
    return LabelSets(np.array(rows, dtype=np.int8), classes=len(rows[0]))


@pytest.mark.parametrize(
    "targets",
    [Labels(np.array([1, UNLABELLED, 0, 1]), 2), label_sets([[1, 0], [-1, -1], [0, -1], [1, 1]])],
    ids=lambda targets: type(targets).__name__,
)
def test_take_keeps_the_given_order(targets: Targets) -> None:
    chosen = targets.take(np.array([3, 1]))
    assert type(chosen) is type(targets) and len(chosen) == 2
    np.testing.assert_array_equal(chosen.values, targets.values[[3, 1]])
    assert targets.labelled.tolist() == [True, False, True, True]
    assert chosen.labelled.tolist() == [True, False]
    assert chosen.counts.dtype == np.int64


def test_unknown_labels_are_not_counted() -> None:
    assert Labels(np.array([2, UNLABELLED, 2]), 4).counts.tolist() == [0, 0, 2, 0]
    assert label_sets([[1, -1, 0], [1, 1, -1]]).counts.tolist() == [2, 1, 0]
    empty = Labels(np.array([], dtype=np.int64), 2)
    assert empty.counts.tolist() == [0, 0] and len(empty.labelled) == 0


@given(st.lists(st.integers(-1, 4), max_size=20))
def test_digest_is_that_of_the_label_array(values: list[int]) -> None:
    labels = np.array(values, dtype=np.int64)
    assert Labels(labels, 5).digest == array_digest(labels)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Labels, np.array([0, 2])),
        (Labels, np.array([-2, 0])),
        (Labels, np.array([0, 1], dtype=np.int32)),
        (Labels, np.array([[0, 1]])),
        (LabelSets, np.array([[0, 2]], dtype=np.int8)),
        (LabelSets, np.array([[0, -2]], dtype=np.int8)),
        (LabelSets, np.array([[0, 1, 1]], dtype=np.int8)),
        (LabelSets, np.array([[0, 1]])),
        (LabelSets, np.array([0, 1], dtype=np.int8)),
    ],
)
def test_targets_of_another_form_are_refused(kind: type[Targets], values: Any) -> None:
    with pytest.raises(ValueError, match="label"):
        kind(values, 2)
