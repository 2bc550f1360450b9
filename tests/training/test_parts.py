"""Examples of several items have the mean logits of their items, wherever a network predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distillab.data import DataReport, Dataset
from distillab.data.duplicates import found_in, hashes_of
from distillab.data.examples import Examples
from distillab.data.resplit import resplit
from distillab.errors import RequestError
from distillab.training.evaluation import mean_of_parts, predict

CPU = torch.device("cpu")


class Brightness(nn.Module):
    """Two logits: the mean of the pixels, and its negative."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([mean, -mean], dim=1)


def items_of(brightness: list[int], wholes: list[int] | None = None) -> Examples:
    images = np.repeat(np.array(brightness, np.uint8), 64).reshape(-1, 1, 8, 8)
    made = Examples.of(images, [0] * len(brightness), ("dark", "light"))
    return made if wholes is None else replace(made, wholes=np.array(wholes))


def logits_for(examples: Examples) -> np.ndarray:
    return predict(Brightness(), examples, lambda x: x.float(), CPU, "fp32")


def test_an_example_has_the_mean_logits_of_its_items() -> None:
    joined = items_of([10, 20, 60, 5], [3, 3, 8, 3]).joined()
    np.testing.assert_allclose(logits_for(joined)[:, 0], [(10 + 20 + 5) / 3, 60], rtol=1e-3)


def test_examples_of_one_item_are_predicted_as_before() -> None:
    examples = items_of([10, 20, 60], [0, 1, 2])
    np.testing.assert_array_equal(logits_for(examples), logits_for(examples.joined()))
    assert items_of([10]).joined().parts is None


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_parts_are_those_with_the_same_number(wholes: list[int]) -> None:
    joined = items_of(list(range(len(wholes))), wholes).joined()
    assert len(joined) == len(set(wholes))
    flat, owners = joined.each_part()
    assert sorted(flat.rows.tolist()) == list(range(len(wholes)))
    for row, owner in zip(flat.rows, owners, strict=True):
        assert wholes[row] == wholes[joined.rows[owner]]


def test_selection_keeps_the_parts_of_each_example() -> None:
    joined = items_of([1, 2, 3, 4], [0, 0, 1, 1]).joined()
    np.testing.assert_array_equal(joined.select([1]).parts, [[2, 3]])
    assert joined.select([1]).digest != items_of([1, 2, 3, 4]).select([2]).digest


def dataset_of(wholes: list[int]) -> Dataset:
    """Twelve recordings of two parts; the last four are val, and there is one test image."""
    images = np.arange(25, dtype=np.uint8).repeat(64).reshape(-1, 1, 8, 8)
    labels = [number // 2 % 2 for number in range(25)]
    made = replace(Examples.of(images, labels, ("dark", "light")), wholes=np.array([*wholes, 99]))
    train, val, test = (made.select(range(*each)) for each in ((0, 16), (16, 24), (24, 25)))
    return Dataset("recordings", train, val, {"test": test}, DataReport())


@pytest.mark.parametrize("key", range(5))
def test_parts_of_one_recording_stay_on_one_side_of_a_new_split(key: int) -> None:
    drawn = resplit(dataset_of([number // 2 for number in range(24)]), 0.3, key)
    train, val = (set(each.wholes.tolist()) for each in (drawn.train, drawn.val) if each.wholes is not None)
    assert train and val and not train & val
    assert len(drawn.train) + len(drawn.val) == 24


def test_recordings_that_vote_cannot_be_split_anew() -> None:
    dataset = dataset_of([number // 2 for number in range(24)])
    with pytest.raises(
        RequestError, match="vote: examples that consist of several parts cannot be split anew"
    ):
        resplit(replace(dataset, val=dataset.val.joined()), 0.3, 1)


def test_every_part_is_recognized_as_training_material() -> None:
    joined = items_of([1, 2, 3, 4], [0, 0, 1, 1]).joined()
    known = hashes_of([items_of([2])])
    assert found_in(joined, known).tolist() == [True, False]
    assert hashes_of([joined]) == hashes_of([items_of([1, 2, 3, 4])])


def test_first_part_must_be_the_row() -> None:
    with pytest.raises(ValueError, match="first part"):
        replace(items_of([1, 2]), parts=np.array([[1, 0], [0, 1]]))


def test_means_of_halves_are_taken_in_full_precision() -> None:
    logits = np.full((3, 2), 60_000, np.float16)
    np.testing.assert_array_equal(mean_of_parts(logits, np.array([0, 0, 0])), logits[:1])
