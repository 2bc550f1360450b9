"""A plain student with the compute of distillation: how long it trains, and what it leaves as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distillab.errors import RequestError
from distillab.methods import parse_method
from distillab.models import InputSpec
from distillab.study.job import StudentJob
from distillab.study.planning import Plan
from distillab.study.planning.costs import ModelCosts
from support.studies import begin, dataset, run_here
from support.studies import plan as plan_of

FORWARD_ONLY = {"ce_long": {"teacher_training": False}}
ONE: dict[str, Any] = {"factors": {}, "seeds": 1, "teacher": {"provenance": "same"}}


def plan(**changes: Any) -> Plan:
    return plan_of(**{**ONE, **changes})


def steps(planned: Plan) -> dict[str, int]:
    """Return the steps of students by method."""
    students = {cell.method: planned.jobs[cell.run] for cell in planned.cells if cell.run}
    return {name: job.recipe["steps"] for name, job in students.items() if isinstance(job, StudentJob)}


def test_steps_pay_for_the_teacher_and_its_forward_passes() -> None:
    """Equal networks and recipes: a training costs three forward passes a step, so 30 become 30 + 30 + 10."""
    found = steps(plan(methods=["ce", "kd", "ce_long", FORWARD_ONLY], recipe={"steps": 30}))
    assert found == {"ce": 30, "kd": 30, "ce_long": 70, "ce_long(teacher_training=False)": 40}


def test_steps_follow_the_cost_of_the_networks() -> None:
    teacher = {"model": "resnet14", "provenance": "same", "recipe": {"steps": 45, "batch_size": 16}}
    found = steps(plan(methods=["ce_long", "kd"], teacher=teacher, recipe={"steps": 30, "batch_size": 8}))
    costs = ModelCosts(4, InputSpec(*dataset(classes=4).train.shape))
    ratio = costs.macs("resnet14") / costs.macs("resnet8")
    assert found == {"ce": 30, "kd": 30, "ce_long": round(30 + 45 * 2 * ratio + 30 * ratio / 3)}


def test_other_students_keep_their_ids() -> None:
    small, large = plan(methods=["ce", "kd"]), plan(methods=["ce", "kd", "ce_long"])
    assert set(small.jobs) < set(large.jobs) and len(large.jobs) == len(small.jobs) + 1
    [added] = set(large.jobs) - set(small.jobs)
    costs = {job.id: job.cost for job in large.jobs.values()}
    plain = next(cell.run for cell in large.cells if cell.method == "ce")
    assert costs[added] == pytest.approx(7 / 3 * costs[plain])


def test_length_is_that_of_the_studys_teacher_also_if_no_method_learns_from_it() -> None:
    alone, beside = plan(methods=["ce", "ce_long"]), plan(methods=["ce", "kd", "ce_long"])
    assert steps(alone)["ce_long"] == steps(beside)["ce_long"] == 7
    assert set(alone.jobs) < set(beside.jobs)


def test_it_is_no_part_of_a_sum() -> None:
    with pytest.raises(RequestError, match="ce_long decides how long a student trains"):
        parse_method({"kd": {}, "ce_long": {}}, "methods")


def test_students_train_for_the_planned_steps(tmp_path: Path) -> None:
    rows = run_here(begin(tmp_path, **{**ONE, "factors": {"size": [5]}}, methods=["ce", "kd", "ce_long"]))
    epochs = {row["method"]: row["epochs"] for row in rows}
    assert {row["status"] for row in rows} == {"done"}
    assert epochs["ce"] == epochs["kd"] < epochs["ce_long"]
