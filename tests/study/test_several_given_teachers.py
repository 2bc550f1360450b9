"""Several given teachers: one per file of weights, which the seeds use in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from distillab.study.job import TeacherJob
from distillab.study.job_parts import WeightsOrigin
from distillab.study.planning.plan import Plan
from support.given_teachers import planned, refusal, spec_of, state
from support.studies import CPU, run_here

FILES = ["a.pth", "b.pth"]
SEVERAL: dict[str, Any] = {"teacher": {"weights": FILES}, "seeds": 5, "factors": {"size": [5]}}


def write_teachers(folder: Path, *files: str) -> None:
    """Write weights that differ a little, so that each file is a network of its own."""
    for number, file in enumerate(files):
        torch.save({name: value * (1 + 0.01 * number) for name, value in state().items()}, folder / file)


def weights_by_seed(made: Plan) -> dict[int, str | None]:
    found = {}
    for cell in made.cells:
        job = made.jobs[str(cell.teacher_run)]
        assert isinstance(job, TeacherJob) and isinstance(job.origin, WeightsOrigin)
        found[cell.seed] = job.origin.digest
    return found


def test_seeds_use_given_teachers_in_turn(tmp_path: Path) -> None:
    write_teachers(tmp_path, *FILES)
    found = weights_by_seed(planned(tmp_path, **SEVERAL))
    assert found[0] != found[1]
    assert all(found[seed] == found[seed % 2] for seed in found)


def test_each_given_teacher_is_tried(tmp_path: Path) -> None:
    write_teachers(tmp_path, *FILES)
    notes = planned(tmp_path, **SEVERAL).notes
    assert sum("The given teacher" in note for note in notes) == 2
    assert "The 2 given teachers are used by the seeds in turn." in notes


def test_a_list_of_one_file_is_that_file(tmp_path: Path) -> None:
    write_teachers(tmp_path, "w.pth")
    one = planned(tmp_path, **SEVERAL | {"teacher": {"weights": ["w.pth"]}})
    assert list(one.jobs) == list(planned(tmp_path, **SEVERAL | {"teacher": {"weights": "w.pth"}}).jobs)


def test_one_job_tests_a_given_teacher_for_all_seeds(tmp_path: Path) -> None:
    write_teachers(tmp_path, "w.pth")
    shared = {"views": "shared", "split": "shared"}
    made = planned(tmp_path, seeds=3, draws=shared)
    assert (made.count("teacher"), made.count("outputs")) == (1, 1)


@pytest.mark.parametrize("weights", [[], ["a.pth", "a.pth"]])
def test_empty_and_repeated_lists_are_one_line(tmp_path: Path, weights: list[str]) -> None:
    with pytest.raises(RequestError, match=r"^study.yaml: .*weights") as caught:
        spec_of(tmp_path, **SEVERAL | {"teacher": {"weights": weights}})
    assert "\n" not in str(caught.value)


def test_the_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    write_teachers(tmp_path, *FILES)
    torch.save({"other": torch.zeros(3)}, tmp_path / "b.pth")
    assert "b.pth" in refusal(tmp_path, **SEVERAL)


@pytest.mark.parametrize(("weights", "teachers"), [("a.pth", 1), (FILES, 2)])
def test_teachers_are_counted_by_their_weights(
    tmp_path: Path, weights: str | list[str], teachers: int
) -> None:
    write_teachers(tmp_path, *FILES)
    spec = spec_of(tmp_path, **SEVERAL | {"teacher": {"weights": weights}})
    folder = StudyFolder.begin(tmp_path / "dir", spec, CPU)
    assert len(folder.spec.teacher.files) == teachers
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    assert len({row["teacher_weights"] for row in rows}) == teachers
    effects = read_rows(folder.effects_file)
    assert {row["n_teachers"] for row in effects if row["n_pairs"]} == {teachers}
