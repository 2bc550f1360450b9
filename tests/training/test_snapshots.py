"""A training that is interrupted goes on from its last snapshot to the same numbers, to the bit."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distillab.methods import methods, parse_method
from distillab.training.loop import snapshots as snapshots_module
from distillab.training.stages import KeptCurve, train_teacher
from support.interrupted import AfterStep, StepsDone, resuming, steps_after_interruption, students_trained
from support.methods import OF_CLASSIFIERS
from support.training import CPU, MODEL, SEEDS, recipe, role_sets

GROUPS = np.arange(40) % 2
SETS = role_sets()
SETS = replace(SETS, train=replace(SETS.train, groups=GROUPS))
RECIPE = recipe(SETS.train, steps=8, views="crop_flip")
AT = 5  # steps before the snapshot: in the middle of the second epoch of four steps
KEPT = KeptCurve(test=True, logit_bytes=10**6)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    train_teacher(folder, MODEL, SETS, RECIPE, SEEDS, device=CPU)
    return folder


def student(entry: Any = "kd", **keys: Any) -> dict[str, Any]:
    values = {"model": MODEL, "method": parse_method(entry, "methods"), "sets": SETS, "recipe": RECIPE}
    return values | {"seeds": SEEDS, "keep": KEPT} | keys


def check_resumed(
    students: list[dict[str, Any]], folder: Path, teacher: Path | None, at: int = AT
) -> list[Any]:
    """Check that an interruption changes nothing; return what is kept of the students."""

    def train(**keys: Any) -> list[Any]:
        return students_trained(folder / "students", students, teacher, **keys)

    expected = train()
    resumed, steps = steps_after_interruption(train, folder / "snapshots", at=at)
    assert resumed == expected
    assert steps == students[0]["recipe"].steps - at
    return expected


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_every_method_goes_on_to_the_same_numbers(name: str, teacher: Path, tmp_path: Path) -> None:
    check_resumed([student(name)], tmp_path, teacher)
