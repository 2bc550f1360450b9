"""Predictors from the teacher alone: closed forms, and what they tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distillab.base.predictors import (
    mean_entropy,
    spread_over_views,
    teacher_predictors,
    top_probability_ratio,
)
from distillab.base.schema import PREDICTORS
from distillab.data.dataset import Dataset
from distillab.modalities.image import PixelNormalization
from distillab.profile.loaded_teacher import LoadedTeacher
from distillab.sources.digits import Digits
from distillab.sources.ingest import load_dataset


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(Digits(classes=["0", "1", "2"]))


class Constant(nn.Module):
    """Gives the same logits for every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


class Brightness(nn.Module):
    """Decides by the mean of one corner, which a shifted view changes."""

    def forward(self, x: Tensor) -> Tensor:
        corner = x[:, :, :3, :3].mean(dim=(1, 2, 3))
        return torch.stack([10 * corner, -10 * corner, torch.zeros_like(corner)], dim=1)


def teacher(network: nn.Module, data: Dataset) -> LoadedTeacher:
    return LoadedTeacher("made", network, PixelNormalization(*data.normalization()), torch.device("cpu"))


def test_a_constant_teacher_is_at_chance_and_stable(digits: Dataset) -> None:
    found = teacher_predictors(teacher(Constant(0.0, 0.0, 0.0), digits), digits.val, digits.train)
    share = float((digits.val.labels == 0).mean())
    assert found.teacher_accuracy == pytest.approx(share)
    assert found.teacher_minus_probe < -0.4
    assert found.view_spread == pytest.approx(0, abs=1e-6)
    assert found.entropy == pytest.approx(np.log(3))
    assert found.top_ratio == pytest.approx(1)


def test_a_teacher_that_depends_on_the_place_spreads_over_views(digits: Dataset) -> None:
    assert teacher_predictors(teacher(Brightness(), digits), digits.val, digits.train).view_spread > 0.01


def test_the_names_are_those_of_the_schema(digits: Dataset) -> None:
    found = teacher_predictors(teacher(Constant(1.0, 0.0, 0.0), digits), digits.val, digits.train, views=2)
    assert tuple(found.as_dict()) == PREDICTORS


def test_equal_calls_give_equal_predictors(digits: Dataset) -> None:
    made = teacher(Brightness(), digits)
    first, second = (teacher_predictors(made, digits.val, digits.train) for _ in range(2))
    assert first == second


def test_the_ratio_of_a_certain_teacher_is_finite() -> None:
    assert top_probability_ratio(np.array([[1.0, 0.0, 0.0]])) == pytest.approx(1000)


def test_entropy_is_that_of_shannon() -> None:
    assert mean_entropy(np.full((5, 4), 0.25)) == pytest.approx(np.log(4))
    assert mean_entropy(np.eye(3)) == 0


def test_spread_is_the_deviation_of_the_predicted_class() -> None:
    views = np.array([[[0.9, 0.1]], [[0.7, 0.3]]])
    assert spread_over_views(views) == pytest.approx(np.std([0.9, 0.7], ddof=1))
