"""Cohorts: students that share a live teacher and every batch are trained in step."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from distillab.sources.ingest import load_dataset
from distillab.study.job import StudentJob
from distillab.study.planning.outline import make_plan
from distillab.study.spec.study import StudySpec, parse_study
from support.studies import CPU, spec

LIVE = {"outputs": {"budget": 0}}  # nothing is stored, so every method has a live teacher
FULL = LIVE | {"provenance": "full"}
ARMS = ["ce", "kd", {"kd": {"temperature": 2}}, "dkd"]


def students(study: StudySpec) -> list[StudentJob]:
    return make_plan(study, load_dataset(study.source()), CPU).students


def cohorts(**changes: Any) -> dict[str, list[StudentJob]]:
    """Return students by cohort, without those that have none."""
    found: dict[str, list[StudentJob]] = defaultdict(list)
    for job in students(spec(**({"methods": ARMS} | changes))):
        if job.cohort:
            found[job.cohort].append(job)
    return found


def sizes(**changes: Any) -> list[int]:
    return sorted(len(members) for members in cohorts(**changes).values())


def test_only_students_of_a_live_teacher_have_a_cohort() -> None:
    assert sizes() == []
    live = students(spec(methods=ARMS, teacher=LIVE))
    assert {bool(job.cohort) for job in live if job.method["name"] == "ce"} == {False}
    assert {bool(job.cohort) for job in live if job.method["name"] != "ce"} == {True}


def test_methods_of_a_replicate_are_a_cohort_per_teacher() -> None:
    found = cohorts(teacher=LIVE)
    assert sizes(teacher=LIVE) == [3] * 8  # two sizes, two seeds, two teachers
    for members in found.values():
        assert len({job.teacher for job in members}) == 1
        assert len({job.sets.train for job in members}) == 1
        assert len({(job.seeds.order, job.seeds.views) for job in members}) == 1


def test_students_of_several_architectures_share_a_cohort() -> None:
    assert sizes(teacher=FULL, students=["resnet8", "resnet14"], factors={}) == [6] * 2


def test_noise_levels_share_a_cohort() -> None:
    assert sizes(teacher=FULL, factors={"label_noise": [0.0, 0.2]}, seeds=1) == [6]
    assert sizes(teacher=LIVE, factors={"label_noise": [0.0, 0.2]}, seeds=1) == [3, 3, 6]


def test_seeds_with_the_same_order_and_images_share_a_cohort() -> None:
    assert sizes(teacher=FULL, factors={}) == [3, 3]
    assert sizes(teacher=FULL | {"replicates": 1}, factors={}, order="shared") == [6]
    assert sizes(teacher=FULL, factors={"size": [5]}, order="shared") == [3, 3]  # each seed draws its images


@pytest.mark.parametrize(
    "recipe", [{"steps": 4}, {"batch_size": 4}, {"views": "none"}, {"precision": "bf16"}]
)
def test_settings_that_change_a_batch_change_the_cohort(recipe: dict[str, Any]) -> None:
    assert not cohorts(teacher=FULL).keys() & cohorts(teacher=FULL, recipe=recipe).keys()


def test_settings_that_change_no_batch_keep_the_cohort() -> None:
    teacher = FULL | {"recipe": {"lr": 0.1}}  # the teacher's own recipe, kept as it is
    slow = cohorts(teacher=teacher, recipe={"lr": 0.1})
    assert slow.keys() == cohorts(teacher=teacher, recipe={"lr": 0.2}).keys()


def test_shared_order_is_another_study() -> None:
    own, shared = spec(factors={}), spec(factors={}, order="shared")
    assert own.identity != shared.identity
    seeds = [job.seeds for job in students(shared)]
    assert len({each.order for each in seeds}) == 1
    assert len({each.init for each in seeds}) == 2
    assert not {job.id for job in students(own)} & {job.id for job in students(shared)}


def test_default_order_is_left_out_of_the_canonical_form() -> None:
    assert "order" not in spec().canonical()
    assert spec(order="seed").identity == spec().identity
    shared = spec(order="shared").canonical()
    assert parse_study(shared, spec()._base, "study.yaml").order == "shared"
