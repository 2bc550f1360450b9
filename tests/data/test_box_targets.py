"""Boxes: cut, joined, renumbered and moved without losing what is known of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillab.data import Boxes, Dataset, Examples, moved_boxes
from distillab.data.boxes import NO_BOX, ignored
from distillab.data.dataset import DataReport
from distillab.data.targets import Labels

TWO = Boxes.of([[(0, 1, 1, 5, 4), (1, 0, 0, 2, 2)], []], classes=2)
ONE = Boxes.of([[(1, 2, 2, 6, 6)]], classes=2)


def test_an_image_without_boxes_is_labelled_and_an_unknown_one_is_not() -> None:
    joined = TWO.joined(TWO.unknown(1))
    assert joined.labelled.tolist() == [True, True, False]
    assert joined.counts.tolist() == [1, 1]
    assert joined.members.tolist() == [[True, True], [False, False], [False, False]]


def test_boxes_of_no_class_have_no_members() -> None:
    none = Boxes.of([[], []], classes=0)
    assert none.members.shape == (2, 0) and none.counts.shape == (0,)


def test_joined_boxes_have_as_many_rows_as_either_needs() -> None:
    joined = ONE.joined(TWO)
    assert joined.values.shape == (3, 2, 5)
    assert joined.values[0].tolist() == [[1, 2, 2, 6, 6], [NO_BOX, 0, 0, 0, 0]]
    assert ONE.unknown(1).joined(TWO).labelled.tolist() == [False, True, True]
    with pytest.raises(ValueError, match="labels of 2 classes cannot follow boxes of 2"):
        ONE.joined(Labels(np.array([0]), 2))


def test_boxes_of_other_classes_are_left_out_and_their_images_stay() -> None:
    only = TWO.of_classes(np.array([1]))
    assert only.belong_to(np.array([0])).tolist() == [True, True]
    assert only.values[0].tolist() == [[0, 0, 0, 2, 2], [NO_BOX, 0, 0, 0, 0]]
    merged = TWO.merged(np.array([0, 0]), 1)
    assert merged.values[0, :, 0].tolist() == [0, 0]
    assert TWO.unknown(2).of_classes(np.array([1])).labelled.tolist() == [False, False]


def test_ignored_boxes_keep_their_class_and_are_not_counted() -> None:
    crowd = Boxes.of([[(ignored(1), 0, 0, 4, 4)]], classes=2)
    assert crowd.counts.tolist() == [0, 0] and crowd.objects.tolist() == [0, 0]
    assert crowd.of_classes(np.array([1])).values[0, 0, 0] == ignored(0)
    assert crowd.of_classes(np.array([0])).values[0, 0, 0] == NO_BOX


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((1, 5), np.float32),
        np.zeros((1, 0, 5), np.float32),
        np.zeros((1, 1, 5)),
        np.array([[[2, 0, 0, 1, 1]]], np.float32),
        np.array([[[-4, 0, 0, 1, 1]]], np.float32),
        np.array([[[0, 3, 0, 3, 1]]], np.float32),
    ],
    ids=["two dimensions", "no rows", "float64", "class too high", "ignored class too high", "no area"],
)
def test_other_arrays_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"box"):
        Boxes(values, 2)


def test_a_stored_dataset_holds_the_same_boxes(tmp_path: Path) -> None:
    images = Examples.of(np.zeros((3, 1, 8, 8), np.uint8), ONE.joined(TWO), ("cell", "plate"))
    parts = [images.select([row]) for row in range(3)]
    dataset = Dataset("cells", parts[0], parts[1], {"test": parts[2]}, DataReport())
    dataset.save(tmp_path)
    opened = Dataset.open(tmp_path)
    assert opened.digest == dataset.digest
    assert isinstance(opened.train.targets, Boxes)
    np.testing.assert_array_equal(opened.val.targets.values, dataset.val.targets.values)


@given(
    left=st.floats(0, 20),
    top=st.floats(0, 20),
    side=st.floats(1, 20),
    dx=st.floats(-40, 40),
    dy=st.floats(-40, 40),
)
def test_moved_boxes_lie_in_the_image_and_have_area(
    left: float, top: float, side: float, dx: float, dy: float
) -> None:
    boxes = torch.tensor([[[0, left, top, left + side, top + side], [NO_BOX, 0, 0, 0, 0]]])
    [[moved, empty]] = moved_boxes(boxes, torch.tensor([[[1, 0, dx], [0, 1, dy]]]), height=24, width=32)
    assert empty.tolist() == [NO_BOX, 0, 0, 0, 0]
    if moved[0] == NO_BOX:
        assert moved[1:].tolist() == [0, 0, 0, 0]
    else:
        assert 0 <= moved[1] < moved[3] <= 32 and 0 <= moved[2] < moved[4] <= 24


def test_unlabelled_images_stay_so_when_boxes_move() -> None:
    unknown = torch.from_numpy(TWO.unknown(1).values)
    assert torch.equal(moved_boxes(unknown, torch.tensor([[[-1.0, 0, 8], [0, 1, 0]]]), 8, 8), unknown)
