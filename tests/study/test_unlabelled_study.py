"""Unlabelled examples in a study: distilled students get them on top of the labelled ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distillab.study.job import StudentJob
from distillab.study.planning import Plan
from support.studies import begin, plan, run_here

WITH: dict[str, Any] = {
    "factors": {"size": [8], "unlabelled": [0, 2]},
    "methods": ["ce", "label_smoothing", "kd"],
    "seeds": 1,
    "teacher": {"provenance": "full"},
}
KINDS = {"levels": ["none", "held_out", "synthetic", "noise"], "ratio": 1}


def students(planned: Plan) -> dict[tuple[str, Any], StudentJob]:
    """Return the jobs of students by method and level of the factor."""
    jobs = {
        (cell.method, cell.levels["unlabelled"]): planned.jobs[cell.run] for cell in planned.cells if cell.run
    }
    return {key: job for key, job in jobs.items() if isinstance(job, StudentJob)}


def test_plain_students_do_not_depend_on_unlabelled_examples() -> None:
    found = students(plan(**WITH))
    for name in ("ce", "label_smoothing"):
        assert found[name, 0.0].id == found[name, 2.0].id
    assert found["kd", 0.0].id != found["kd", 2.0].id


@pytest.mark.parametrize("level", KINDS["levels"])
def test_every_kind_has_the_plain_student_of_none(level: str) -> None:
    found = students(plan(**{**WITH, "factors": {"size": [8], "unlabelled": KINDS}}))
    assert found["ce", level].id == found["ce", "none"].id


def test_steps_and_epochs_are_those_of_the_labelled_examples() -> None:
    found = students(plan(**{**WITH, "recipe": {"epochs": 3, "batch_size": 8, "steps": None}}))
    plain, distilled = (found["kd", level].recipe for level in (0.0, 2.0))
    assert {**plain, "unlabelled": 16} == distilled
    assert plain["steps"] == 3 * plain["steps_per_epoch"] == 12


def test_cost_counts_unlabelled_examples_where_they_are_passed() -> None:
    found = students(plan(**WITH))
    assert found["kd", 2.0].cost == 3 * found["kd", 0.0].cost == 3 * found["ce", 2.0].cost


def test_long_plain_student_pays_for_the_unlabelled_passes() -> None:
    """Equal networks, a teacher that is given: 3 S B student passes, and 3 x 3 S B + 3 S B distilled ones."""
    long = {"ce_long": {"teacher_training": False}}
    changes = {**WITH, "methods": ["ce", "kd", long], "recipe": {"steps": 30}}
    found = students(plan(**changes))
    [name] = {method for method, _ in found if method.startswith("ce_long")}
    assert [found[name, level].recipe["steps"] for level in (0.0, 2.0)] == [40, 120]
    assert found[name, 2.0].recipe.get("unlabelled") is None


def test_methods_without_a_teacher_that_use_unlabelled_examples_get_them() -> None:
    found = students(
        plan(**{**WITH, "methods": ["ce", "mutual_learning", "progressive_self", "teacher_free"]})
    )
    got = {name for (name, level), job in found.items() if level and "unlabelled" in job.recipe}
    assert got == {"mutual_learning"}


def test_teachers_learn_from_labelled_examples_alone() -> None:
    changes = {**WITH, "teacher": {"provenance": ["same", "full"]}, "methods": ["ce", "kd", "self"]}
    roles = {"levels": [0, 2], "kind": "noise", "roles": ["transfer", "teacher"]}
    planned = plan(**{**changes, "factors": {"size": [8], "unlabelled": roles}})
    assert all("unlabelled" not in job.recipe for job in planned.teachers)
    assert planned.count("teacher") == plan(**{**changes, "factors": {"size": [8]}}).count("teacher")


def test_students_train_as_planned(tmp_path: Path) -> None:
    changes = {**WITH, "methods": ["ce", "kd", "at", "mutual_learning"], "recipe": {"views": ["mixup"]}}
    rows = run_here(begin(tmp_path, **changes))
    assert {row["status"] for row in rows} == {"done"}
    plain = {row["accuracy"] for row in rows if row["method"] == "ce"}
    assert len(plain) == 1 and len({row["run_id"] for row in rows if row["method"] == "ce"}) == 1
    assert {row["n_unlabelled"] for row in rows} == {0, 64}
