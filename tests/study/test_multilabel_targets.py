"""The targets of the data must be those that the task of a study learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillab.errors import RequestError
from distillab.study.loading import load_study_data
from distillab.study.planning.outline import make_plan
from support.studies import CPU, spec

SETS = np.tile([[1, 0], [1, 1], [0, 1], [0, 0]], (10, 1))


@pytest.mark.parametrize(
    ("labels", "task", "remedy"),
    [(SETS, "classification", "task: multilabel"), (SETS[:, 0], "multilabel", "task: classification")],
)
def test_other_targets_are_refused_in_one_line(
    labels: np.ndarray, task: str, remedy: str, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.savez(tmp_path / "data.npz", images=pixels, labels=labels)
    data = {"source": "npz", "path": "data.npz", "classes": None}
    study = spec(tmp_path, data=data, task=task)
    with pytest.raises(RequestError) as caught:
        make_plan(study, load_study_data(study), CPU)
    line = str(caught.value)
    assert line.startswith("task: the task") and f"(allowed: {remedy}" in line and "\n" not in line
