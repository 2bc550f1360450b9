"""The factor `steps`: the length of training is varied like any other factor."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from distillab.errors import RequestError
from distillab.evidence.curves import compute_curves
from distillab.evidence.schema import read_rows
from distillab.factors import Steps
from distillab.models import InputSpec, build_model
from distillab.study.planning.plan import Plan
from distillab.tasks import Classification
from support.studies import begin, plan, run_here, spec


def student_steps(made: Plan) -> dict[Any, set[int]]:
    """Return the lengths of the students by level."""
    found = defaultdict(set)
    for cell in made.cells:
        found[cell.levels["steps"]].add(made.jobs[cell.run_id].recipe["steps"])  # type: ignore[union-attr,arg-type]
    return dict(found)


def test_levels_are_steps() -> None:
    assert student_steps(plan(factors={"steps": [2, 8]})) == {2: {2}, 8: {8}}


@pytest.mark.parametrize("written", [["x1", "x4"], {"levels": [1, 4], "unit": "multiple"}])
def test_levels_are_multiples_of_the_recipe(written: Any) -> None:
    made = plan(factors={"steps": written}, recipe={"steps": 3})
    assert student_steps(made) == {1: {3}, 4: {12}}


def test_multiples_are_of_epochs_on_the_set_of_the_condition() -> None:
    made = plan(
        factors={"size": [4, 8], "steps": ["x0.5", "x2"]},
        recipe={"steps": None, "epochs": 4, "batch_size": 8},
    )
    steps = {
        (cell.levels["size"], cell.levels["steps"]): made.jobs[cell.run_id].recipe["steps"]  # type: ignore[union-attr]
        for cell in made.cells
    }
    assert steps == {(4, 0.5): 4, (4, 2): 16, (8, 0.5): 8, (8, 2): 32}


def test_runs_at_the_recipe_are_those_of_a_study_without_the_factor() -> None:
    usual = [cell.run_id for cell in plan(factors={}).cells]
    for level in ("x1", 3):
        assert [cell.run_id for cell in plan(factors={"steps": [level]}).cells] == usual


def test_levels_share_teachers_and_seeds() -> None:
    made = plan(factors={"steps": [2, 4]}, seeds=1, teacher={"provenance": "full"})
    assert len(made.teachers) == 1
    assert len({(job.seeds.canonical.text, job.sets.canonical.text) for job in made.students}) == 1


def test_stored_outputs_have_the_epochs_of_the_students_that_read_them() -> None:
    made = plan(
        factors={"steps": [2, 80, 7]}, evidence={"probes": 1}, teacher={"provenance": ["full", "same"]}
    )
    outputs = {job.id: job for job in made.outputs}
    read = [(job, outputs[job.teacher.job]) for job in made.students if job.teacher is not None]
    assert len(read) == 2 * 3 * 2 + 2 * 3
    for job, source in read:
        assert source.views is not None
        assert source.views.epochs == -(-job.recipe["steps"] // job.recipe["steps_per_epoch"])


def test_teachers_vary_if_their_role_is_named() -> None:
    factor = {"steps": {"levels": ["x1", "x2"], "roles": ["teacher"]}}
    made = plan(factors=factor, seeds=1, teacher={"provenance": ["full", "same"], "recipe": {"steps": 5}})
    assert sorted(job.recipe["steps"] for job in made.teachers) == [5, 5, 10, 10]
    assert {job.recipe["steps"] for job in made.students} == {3}


def test_copies_of_the_student_are_trained_as_long_as_it() -> None:
    made = plan(factors={"steps": [2, 4]}, seeds=1, teacher={"provenance": "full", "generations": 2})
    generations = [job.recipe["steps"] for job in made.teachers if job.inputs.train == "self"]
    assert sorted(generations) == [2, 4]


def test_compute_matched_students_are_longer_by_the_same_share() -> None:
    made = plan(factors={"steps": [100, 200]}, methods=["ce_long"], seeds=1, teacher={"provenance": "full"})
    long = [cell for cell in made.cells if cell.method == "ce_long"]
    short, twice = (made.jobs[cell.run_id].recipe["steps"] for cell in long)  # type: ignore[union-attr]
    # The share of the teacher's training, which stays as it is, is a little less of the longer one.
    assert short > 100 and 1.95 * short < twice < 2 * short


def test_check_measures_the_planned_steps(tmp_path: Path) -> None:
    made = plan(factors={"steps": ["x1", "x1.5"]}, recipe={"steps": 3})
    checks = [condition.checks for condition in made.conditions if condition.seed == 0]
    assert [(len(each), each[0].measure, each[0].requested, each[0].measured) for each in checks] == [
        (1, "multiple of the recipe's steps", 1.0, 1.0),
        (1, "multiple of the recipe's steps", 1.5, pytest.approx(4 / 3)),
    ]
    assert all(check.passed for each in checks for check in each)
    [absolute] = plan(factors={"steps": [7]}, seeds=1).conditions
    assert absolute.checks[0].measure == "optimization steps" and absolute.checks[0].measured == 7


def test_level_below_one_step_is_excluded() -> None:
    made = plan(factors={"steps": ["x0.01", "x1"]}, recipe={"steps": 3}, seeds=1)
    reasons = {cell.levels["steps"]: cell.excluded for cell in made.cells}
    assert reasons[1] is None
    assert reasons[0.01] == "steps: requested multiple of the recipe's steps 0.01, measured 0.333333"


def test_results_have_a_numeric_column_and_gains_a_curve(tmp_path: Path) -> None:
    folder = begin(tmp_path, factors={"steps": [1, 2, 12]}, teacher={"provenance": "full"})
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    assert {row["factor.steps"] for row in rows} == {1.0, 2.0, 12.0}
    assert {row["factor.steps"] for row in read_rows(folder.effects_file)} == {1.0, 2.0, 12.0}
    [curve] = compute_curves(rows, Classification.metrics["accuracy"])
    assert curve.factor == "steps" and [point.level for point in curve.points] == [1.0, 2.0, 12.0]
    assert curve.trend is not None and curve.trend.log_scale


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([1000, "x4"], "levels mix units: 1000 steps, 4 times the steps of the recipe"),
        ([0], "0 is not a number of steps"),
        ([1.5], "1.5 is not a number of steps"),
        (["x0"], "0 is not a multiple"),
        (["4x"], "4x"),
        (["x-1"], "x-1"),
        (["x"], "x"),
        (["x1", "x1.0"], "level 1 is written twice"),
        ({"levels": ["x4"], "unit": "steps"}, "x4 is a multiple"),
        ({"levels": [4], "roles": ["val"]}, r"factors\.steps\.roles"),
    ],
    ids=str,
)
def test_impossible_levels_are_refused_in_one_line(levels: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        spec(factors={"steps": levels})
    assert "\n" not in str(caught.value) and "factors.steps" in str(caught.value)


def test_teacher_role_without_a_trained_teacher_is_refused(tmp_path: Path) -> None:
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    with pytest.raises(RequestError, match=r"factors\.steps: no teacher is trained in the study"):
        plan(
            factors={"steps": {"levels": [2], "roles": ["teacher"]}},
            teacher={"provenance": "external", "weights": str(tmp_path / "w.pth"), "at_chance": "continue"},
        )


def test_description_names_the_unit() -> None:
    assert Steps(level=1000).description == "1000 steps"
    assert Steps.model_validate({"level": "x4"}).description == "4 times the steps of the recipe"
