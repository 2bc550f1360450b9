"""Studies of factors that change pixels run to the end: cues, other datasets, resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.data.student_transform import StudentTransform
from distillab.factors.inputs.resolution import Resampled
from distillab.report.collect.gallery import galleries
from distillab.study.folder import StudyFolder
from distillab.study.loading import load_study_data
from distillab.study.planning.conditions import Condition, Conditions
from support.studies import CPU, run_here, spec

OTHER = {"more": {"source": "digits", "classes": ["5", "6", "7", "8"]}}
SWAP = {str(digit): str(label) for label, digit in enumerate((5, 6, 7, 8))}


def rows_of(folder: Path, **changes: Any) -> list[dict[str, Any]]:
    rows = run_here(StudyFolder.begin(folder, spec(seeds=1, **changes), CPU))
    assert {row["status"] for row in rows} == {"done"}
    return rows


def test_cue_study_measures_misleading_test_sets(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path / "study",
        factors={"spurious": {"levels": [0.25, 1.0], "cue": "frame"}},
        methods=["ce", "kd", "worst_group_kd"],
    )
    for row in rows:
        halves = sorted((row["accuracy.aligned"], row["accuracy.conflicting"]))
        assert row["worst_group_accuracy.crossed"] <= row["accuracy.crossed"]
        assert row["worst_group_accuracy"] <= halves[0]
        assert row.get("worst_group_accuracy.conflicting") is None  # all its images are of one group


def test_student_that_relies_on_a_tint_fails_misleading_tints(tmp_path: Path) -> None:
    """Trained for enough steps to learn the tint, on digits of low contrast."""
    rows = rows_of(
        tmp_path / "study",
        factors={"spurious": {"levels": [0.25, 1.0], "cue": "tint", "opacity": 0.95}},
        methods=["ce"],
        teacher={"provenance": "full"},
        recipe={"steps": 60, "batch_size": 32, "lr": 0.05},
    )
    by_level = {row["factor.spurious"]: row for row in rows}
    assert by_level[1.0]["accuracy.aligned"] > 0.9
    assert by_level[1.0]["accuracy.conflicting"] < 0.1
    assert by_level[0.25]["accuracy.aligned"] - by_level[0.25]["accuracy.conflicting"] < 0.5


def test_shift_study_is_tested_on_the_other_dataset(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path / "study",
        others=OTHER,
        factors={"size": [10], "shift": {"levels": [0.0, 1.0], "to": "more", "class_map": SWAP}},
    )
    assert all(0 <= row["accuracy.shifted"] <= 1 and row["n_train"] == 40 for row in rows)


@pytest.mark.parametrize("sees", ["student", "both"])
@pytest.mark.parametrize("hold", ["architecture", "compute"])
def test_resolution_study_runs_at_the_expected_cost(sees: str, hold: str, tmp_path: Path) -> None:
    levels = [4, 8] if hold == "compute" else [8, 16]
    factors = {"resolution": {"levels": levels, "sees": sees, "hold": hold}}
    rows = rows_of(tmp_path / "study", factors=factors)
    few, many = ([row for row in rows if row["factor.resolution"] == level] for level in levels)
    least, most = (max(row["macs"] for row in few), min(row["macs"] for row in many))
    assert least == most if hold == "compute" else least < most
    if sees == "student":  # the teacher gets the same images at every level
        accuracies = [
            {row["teacher_accuracy"] for row in each if row["method"] == "kd"} for each in (few, many)
        ]
        assert accuracies[0] == accuracies[1]


def test_pictures_show_what_the_student_sees(tmp_path: Path) -> None:
    factors = {"resolution": {"levels": [4, 8], "hold": "compute"}, "spurious": [1.0]}
    folder = StudyFolder.begin(tmp_path / "study", spec(seeds=1, factors=factors), CPU)
    resolution, spurious = galleries(folder, [])
    coarse, whole = (strip.tiles for strip in resolution.after)
    for was, now, same in zip(resolution.before.tiles, coarse, whole, strict=True):
        assert now.picture.shape == was.picture.shape and not np.array_equal(now.picture, was.picture)
        assert np.array_equal(same.picture, was.picture)
    assert not any(
        np.array_equal(was.picture, now.picture)
        for was, now in zip(spurious.before.tiles, spurious.after[0].tiles, strict=True)
    )


def test_later_factors_change_added_test_sets() -> None:
    chosen = spec(
        seeds=1,
        others=OTHER,
        factors={
            "spurious": [1.0],
            "shift": {"levels": [0.0], "to": "more", "class_map": SWAP},
            "resolution": {"levels": [16], "sees": "both"},
        },
    )
    chain = tuple(levels[0] for levels in chosen.factor_levels())
    data = load_study_data(chosen)
    tests = Conditions(data).roles(Condition(chain, seed=0)).eval
    assert set(tests) == {"test", "aligned", "conflicting", "crossed", "shifted"}
    assert {images.shape for images in tests.values()} == {(1, 16, 16)}
    marked = Conditions(data).roles(Condition(chain[:1], seed=0)).eval["aligned"]
    larger = Resampled(StudentTransform(16))(marked.images, marked.rows)
    assert np.array_equal(tests["aligned"].images, larger)
