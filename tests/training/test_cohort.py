"""A cohort: students trained in step on one stream, with one forward pass of the teacher per batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from torch import Tensor, nn

from distillab.artefacts import WEIGHTS, RunRecord
from distillab.methods import methods, parse_method
from distillab.models import InputSpec, inspect_network
from distillab.models.outputs import LIVE, Outputs
from distillab.training.batches import TrainingBatch
from distillab.training.loop.cohort import train, train_cohort
from distillab.training.loop.member import CohortMember, new_model
from distillab.training.loop.results import DivergenceError, TrainedNetwork
from distillab.training.stages import (
    OutputsToStore,
    StudentSpec,
    teacher_outputs,
    train_students,
    train_teacher,
)
from distillab.training.teachers.feed import LiveTeacher
from support.methods import TAUGHT
from support.training import CPU, MODEL, SEEDS, equal, examples_of, normalization, recipe, role_sets

SETS = role_sets()
NORMALIZE = normalization()
RECIPE = recipe(SETS.train, steps=9)


class Dropping(nn.Module):
    """A network with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def dropping(num_classes: int) -> nn.Module:
    """A factory for ``module:factory``."""
    return Dropping()


class CountingTeacher:
    """A live teacher that counts the images in its forward passes."""

    def __init__(self) -> None:
        model = new_model(MODEL, SETS.train, 9, CPU)
        info = inspect_network(model, InputSpec.square(1, 8), classes=3)
        self.live = LiveTeacher(model, info.taps, {"logits", "embedding", "maps", "attention"}, CPU, "fp32")
        self.shapes = info.shapes
        self.forwards = 0

    def __call__(self, step: TrainingBatch) -> Outputs:
        self.forwards += len(step.positions)
        return self.live(step)


def member(method: str = "kd", *, model: str = MODEL, init: int = 1, **keys: Any) -> CohortMember:
    spec, shapes = parse_method(method, "methods"), CountingTeacher().shapes
    made = CohortMember(model, spec, SETS.train, SETS.val, RECIPE, replace(SEEDS, init=init), shapes)
    return replace(made, **keys)


def test_a_member_has_the_result_of_a_run_alone() -> None:
    """To the bit, beside other methods, seeds and labels and networks with dropout."""
    noisy = SETS.train.relabel(SETS.train.labels[::-1].copy())
    members = [
        member("kd"),
        member("dkd"),
        member("kd", init=5),
        member("kd", data=noisy),
        member("kd", model=f"{__name__}:dropping"),
        member("ce", model=f"{__name__}:dropping", init=6),
        member("kd", recipe=replace(RECIPE, lr=0.01, optimiser="adamw")),
    ]
    teacher = CountingTeacher()
    together = train_cohort(members, NORMALIZE, device=CPU, teacher=teacher)
    assert teacher.forwards == RECIPE.steps * RECIPE.batch_size
    for one, trained in zip(members, together, strict=True):
        alone = train(one, NORMALIZE, device=CPU, teacher=CountingTeacher())
        assert isinstance(trained, TrainedNetwork)
        assert equal(trained.last, alone.last)
        assert equal(trained.selected, alone.selected)
        assert trained.curve == alone.curve
    states = [one.last for one in together if isinstance(one, TrainedNetwork)]
    assert not any(equal(states[0], other) for other in states[1:])


def test_a_member_that_diverges_does_not_affect_the_others() -> None:
    diverging = member("kd", recipe=replace(RECIPE, lr=1e12))
    diverged, other = train_cohort(
        [diverging, member("dkd")], NORMALIZE, device=CPU, teacher=CountingTeacher()
    )
    assert isinstance(diverged, DivergenceError)
    assert isinstance(other, TrainedNetwork)
    assert equal(other.last, train(member("dkd"), NORMALIZE, device=CPU, teacher=CountingTeacher()).last)


def test_a_cohort_stops_when_all_members_have_diverged() -> None:
    diverging = member("kd", recipe=replace(RECIPE, lr=1e12))
    teacher = CountingTeacher()
    ended = train_cohort([diverging, diverging], NORMALIZE, device=CPU, teacher=teacher)
    assert all(isinstance(one, DivergenceError) for one in ended)
    assert teacher.forwards < RECIPE.steps * RECIPE.batch_size


@pytest.mark.parametrize(
    "changes",
    [
        {"data": examples_of(40, first_id=500)},
        {"seeds": replace(SEEDS, order=77)},
        {"seeds": replace(SEEDS, views=77)},
        {"recipe": replace(RECIPE, steps=10)},
        {"recipe": replace(RECIPE, batch_size=8, steps_per_epoch=5)},
    ],
)
def test_members_must_share_their_stream(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="share inputs, order, views"):
        train_cohort([member(), member(**changes)], NORMALIZE, device=CPU, teacher=CountingTeacher())


def test_the_seconds_of_a_cohort_are_divided_among_members() -> None:
    trained = train_cohort([member(), member("dkd")], NORMALIZE, device=CPU, teacher=CountingTeacher())
    for one in trained:
        assert isinstance(one, TrainedNetwork)
        assert one.seconds == pytest.approx(sum(one.phases.values()))
        assert all(one.phases[name] > 0 for name in ("views", "teacher", "forward", "backward", "optimiser"))
    first, second = (one.phases for one in trained if isinstance(one, TrainedNetwork))
    assert first["teacher"] == pytest.approx(second["teacher"])


@pytest.mark.parametrize("name", TAUGHT)
def test_cached_and_live_teachers_train_the_same_student(name: str, tmp_path: Path) -> None:
    """Up to half precision, after one step: later steps magnify every difference.

    Methods that need outputs that cannot be stored use a live teacher in both cases.
    """
    once = recipe(SETS.train, steps=1)
    (tmp_path / "teacher").mkdir()
    train_teacher(tmp_path / "teacher", MODEL, SETS, RECIPE, SEEDS, device=CPU)
    (tmp_path / "outputs").mkdir()
    strong = "strong_view" in methods[name].needs
    keep = OutputsToStore(tmp_path / "caches", frozenset(methods[name].needs), strong=strong)
    teacher_outputs(
        tmp_path / "outputs", tmp_path / "teacher", SETS, once, view_seed=SEEDS.views, keep=keep, device=CPU
    )
    states, records = {}, {}
    for way in ("stored", "live"):
        (tmp_path / way).mkdir()
        student = StudentSpec(tmp_path / way, MODEL, parse_method(name, "methods"), SETS, once, SEEDS)
        [record] = train_students(
            [student],
            outputs_folder=tmp_path / "outputs" if way == "stored" else None,
            teacher_folder=tmp_path / "teacher",
            caches=tmp_path / "caches",
            device=CPU,
        )
        assert isinstance(record, RunRecord)
        records[way] = record
        states[way] = load_file(tmp_path / way / WEIGHTS)
    assert records["live"].teacher_forwards == (1 + strong) * once.batch_size
    if not parse_method(name, "methods").teacher_needs & LIVE:
        assert records["stored"].teacher_forwards == 0
    for key, value in states["stored"].items():
        np.testing.assert_allclose(value, states["live"][key], rtol=2e-2, atol=2e-3)
