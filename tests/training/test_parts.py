"""Examples of several items have the mean logits of their items, wherever a network predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distillab.data.examples import Examples
from distillab.training.evaluation import mean_of_parts, predict

CPU = torch.device("cpu")


class Brightness(nn.Module):
    """Two logits: the mean of the pixels, and its negative."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([mean, -mean], dim=1)


def items_of(brightness: list[int]) -> Examples:
    images = np.repeat(np.array(brightness, np.uint8), 64).reshape(-1, 1, 8, 8)
    return Examples.of(images, [0] * len(brightness), ("dark", "light"))


def logits_for(examples: Examples) -> np.ndarray:
    return predict(Brightness(), examples, lambda x: x.float(), CPU, "fp32")


def test_an_example_has_the_mean_logits_of_its_items() -> None:
    joined = items_of([10, 20, 60, 5]).joined(np.array([3, 3, 8, 3]))
    np.testing.assert_allclose(logits_for(joined)[:, 0], [(10 + 20 + 5) / 3, 60], rtol=1e-3)


def test_examples_of_one_item_are_predicted_as_before() -> None:
    examples = items_of([10, 20, 60])
    np.testing.assert_array_equal(logits_for(examples), logits_for(examples.joined(np.arange(3))))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_parts_are_those_with_the_same_number(wholes: list[int]) -> None:
    examples = items_of(list(range(len(wholes))))
    joined = examples.joined(np.array(wholes))
    assert len(joined) == len(set(wholes))
    flat, owners = joined.each_part()
    assert sorted(flat.rows.tolist()) == list(range(len(wholes)))
    for row, owner in zip(flat.rows, owners, strict=True):
        assert wholes[row] == wholes[joined.rows[owner]]


def test_selection_keeps_the_parts_of_each_example() -> None:
    joined = items_of([1, 2, 3, 4]).joined(np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(joined.select([1]).parts, [[2, 3]])
    assert joined.select([1]).digest != items_of([1, 2, 3, 4]).select([2]).digest


def test_first_part_must_be_the_row() -> None:
    with pytest.raises(ValueError, match="first part"):
        replace(items_of([1, 2]), parts=np.array([[1, 0], [0, 1]]))


def test_means_of_halves_are_taken_in_full_precision() -> None:
    logits = np.full((3, 2), 60_000, np.float16)
    np.testing.assert_array_equal(mean_of_parts(logits, np.array([0, 0, 0])), logits[:1])
