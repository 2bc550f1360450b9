"""Factors of networks in a plan: the teacher's age and network, and the budget of soft labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from distillab.errors import RequestError
from distillab.sources.ingest import load_dataset
from distillab.study.job import OutputsJob, StudentJob, TeacherJob
from distillab.study.planning import Plan, make_plan
from distillab.training.recipe import Recipe
from distillab.training.teachers import limited_logits
from support.datasets import examples_of
from support.studies import CPU, spec


def plan_of(factors: dict[str, Any], **changes: Any) -> Plan:
    teacher = {"model": "resnet14", "provenance": "full", "replicates": "each", "recipe": {"steps": 40}}
    study = spec(
        **{"teacher": teacher, "factors": factors, "recipe": {"steps": 24, "batch_size": 8}} | changes
    )
    return make_plan(study, load_dataset(study.source()), CPU)


def jobs_of(plan: Plan, kind: type) -> list[Any]:
    return [job for job in plan.jobs.values() if isinstance(job, kind)]


def test_young_teacher_follows_the_schedule_of_the_whole_training() -> None:
    plan = plan_of({"teacher_age": [0.25, 1.0]})
    lengths = {(job.recipe["steps"], job.recipe.get("schedule_steps")) for job in jobs_of(plan, TeacherJob)}
    assert lengths == {(10, 40), (40, None)}
    grown = Recipe(steps=40, lr=0.1).resolve(examples_of([8, 8, 8]))
    young = type(grown).from_dict({**grown.as_dict(), "steps": 10, "schedule_steps": 40})
    assert [young.lr_at(step) for step in range(10)] == [grown.lr_at(step) for step in range(10)]


def test_levels_without_effect_keep_run_ids() -> None:
    usual = set(plan_of({"size": [8]}).jobs)
    for factor, level in (
        ("teacher_age", 1.0),
        ("teacher_capacity", "resnet14"),
        ("label_budget", {"levels": [4], "unit": "top_k"}),
        ("label_budget", {"levels": [16], "unit": "bits"}),
        ("label_budget", {"levels": [6], "unit": "views"}),  # 24 steps of 8 are 6 epochs of 32 examples
    ):
        entry = level if isinstance(level, dict) else [level]
        assert set(plan_of({"size": [8], factor: entry}).jobs) == usual, (factor, level)


def test_each_capacity_has_a_teacher_and_the_plain_student_is_shared() -> None:
    plan = plan_of({"teacher_capacity": ["resnet8", "resnet14"]})
    assert {job.model for job in jobs_of(plan, TeacherJob)} == {"resnet8", "resnet14"}
    runs = {(cell.method, cell.seed): set[str | None]() for cell in plan.cells}
    for cell in plan.cells:
        runs[cell.method, cell.seed].add(cell.run)
        assert cell.teacher == "resnet8 | resnet14"
    assert {method: len(found) for (method, _), found in runs.items()} == {"ce": 1, "kd": 2}


def test_budget_of_labels_changes_distilled_students_alone() -> None:
    plan = plan_of({"size": [8], "label_budget": {"levels": [4, 1], "unit": "top_k", "bits": 4}})
    limits = {
        (job.method["name"], job.recipe.get("top_k"), job.recipe.get("bits"))
        for job in jobs_of(plan, StudentJob)
    }
    assert limits == {("ce", None, None), ("kd", None, 4), ("kd", 1, 4)}


def test_budget_of_views_limits_what_is_stored() -> None:
    plan = plan_of({"size": [8], "label_budget": [1, 3]})
    assert {job.views.epochs for job in jobs_of(plan, OutputsJob) if job.views} == {1, 3}
    kept = {(job.method["name"], job.recipe["views_kept"]) for job in jobs_of(plan, StudentJob)}
    assert kept == {("ce", 1), ("ce", 3), ("kd", 1), ("kd", 3)}


@pytest.mark.parametrize(
    ("factors", "changes", "line"),
    [
        ({"teacher_age": [0.5], "steps": {"levels": [5], "roles": ["teacher"]}}, {}, "both state how long"),
        ({"teacher_capacity": ["resnet9999"]}, {}, "resnet9999"),
        (
            {"teacher_capacity": ["resnet8"]},
            {"teacher": {"models": ["resnet8", "resnet14"]}},
            "the one network",
        ),
        ({"label_budget": [50]}, {}, "allowed: levels up to"),
        ({"label_budget": {"levels": [9], "unit": "top_k"}}, {}, "allowed: levels up to 4"),
        ({"label_budget": {"levels": [4], "unit": "bits"}}, {"methods": ["ce", "rkd"]}, "does not limit"),
    ],
    ids=str,
)
def test_what_cannot_be_varied_is_refused(
    factors: dict[str, Any], changes: dict[str, Any], line: str
) -> None:
    with pytest.raises(RequestError) as caught:
        if "models" in changes.get("teacher", {}):
            study = spec(teacher={"model": "", "provenance": "full", **changes["teacher"]}, factors=factors)
            make_plan(study, load_dataset(study.source()), CPU)
        else:
            plan_of(factors, **changes)
    assert line in str(caught.value)


def test_kept_probabilities_are_exact_and_the_rest_is_even() -> None:
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    whole, kept = logits.softmax(1), limited_logits(logits, top_k=3).softmax(1)
    top = whole.topk(3).indices
    assert torch.allclose(kept.gather(1, top), whole.gather(1, top), atol=1e-6)
    rest = kept.scatter(1, top, 0.0)
    assert torch.allclose(rest.sum(1), 1 - whole.gather(1, top).sum(1), atol=1e-6)
    assert torch.allclose(rest[rest > 0].view(6, 7), rest[rest > 0].view(6, 7)[:, :1].expand(-1, 7))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_rounding_keeps_the_ends_and_so_many_levels(bits: int) -> None:
    logits = torch.randn(4, 300, generator=torch.Generator().manual_seed(1))
    log_p, rounded = logits.log_softmax(1), limited_logits(logits, bits=bits)
    width = (log_p.amax(1) - log_p.amin(1)) / (2**bits - 1)
    assert all(len(row.round(decimals=4).unique()) <= 2**bits for row in rounded)
    assert ((rounded - log_p).abs().amax(1) <= width / 2 + 1e-5).all()
    assert torch.equal(rounded.argmax(1), log_p.argmax(1)) or bits < 8
