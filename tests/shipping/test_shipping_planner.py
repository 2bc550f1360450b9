"""Which teacher serves where none is given, by what it leaves the students."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillab.advise.speed import StepSeconds
from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import Examples
from distillab.models import InputSpec
from distillab.shipping.planner import ShippingPlanner
from distillab.shipping.request import PRETRAINED_TEACHER, ShippingRequest
from distillab.sources.digits import Digits
from distillab.sources.ingest import load_dataset


def planner(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], budget: float) -> ShippingPlanner:
    """Return a planner whose networks take so many seconds per step, and a fifth of them per forward pass."""

    def time_steps(model: str, classes: int, inputs: InputSpec, batch: int, device: object) -> StepSeconds:
        step = seconds[model] * batch / 64
        return StepSeconds(step, step / 5)

    monkeypatch.setattr("distillab.shipping.planner.time_steps", time_steps)
    monkeypatch.setattr("distillab.shipping.planner._slowdown", lambda: 1.0)
    request = ShippingRequest(Digits(), "resnet8", None, ("kd",), budget, Path("out"), workers=2)
    return ShippingPlanner(request, color_photographs(), lambda: 0.0)


def color_photographs() -> Dataset:
    digits = load_dataset(Digits())
    images = np.zeros((len(digits.train), 3, 64, 64), np.uint8)
    train = Examples.of(images, digits.train.labels.tolist(), digits.classes)
    return Dataset("photographs", train, train, {"test": train}, DataReport())


SECONDS = {PRETRAINED_TEACHER: 1.0, "resnet8": 0.1, "resnet20": 0.2, "resnet20@32": 0.1}


@pytest.mark.parametrize(("budget", "teacher"), [(7200.0, PRETRAINED_TEACHER), (600.0, "resnet20")])
def test_a_teacher_that_leaves_too_little_time_gives_way(
    monkeypatch: pytest.MonkeyPatch, budget: float, teacher: str
) -> None:
    assert planner(monkeypatch, SECONDS, budget).teacher()["model"] == teacher


def test_the_last_teacher_serves_where_none_can_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    assert planner(monkeypatch, {**SECONDS, "resnet20": 9.0}, 60.0).teacher()["model"] == "resnet20@32"
