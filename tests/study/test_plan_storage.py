"""What is stored of teachers' outputs under a budget, and what each network will do, known before any job."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from distillab.canonical import spec_id
from distillab.models import InputSpec, build_model
from distillab.sources.ingest import load_dataset
from distillab.study.planning.outline import Outline, make_plan
from distillab.study.planning.workloads import Workloads
from support.studies import CPU, EARLIER, spec

# By budget in bytes: bytes stored, students of a live teacher, content address of all job ids. Written
# down by version 0.1.0, which planned repeatedly until all streams fitted.
BUDGETS: dict[int, tuple[int, int, str]] = {
    0: (0, 28, "9783917cc3138b519de4b282"),
    20_000: (15_360, 22, "9ed6eb0b97318617db9eebb4"),
    50_000: (32_640, 16, "9b4f5c676344927f361d52df"),
    100_000: (32_640, 16, "9b4f5c676344927f361d52df"),
    150_000: (114_560, 12, "daf34bb7bf1878986a282038"),
    250_000: (206_720, 8, "3a8899107f18aa127fd145df"),
    400_000: (314_240, 4, "218498be2b397ae70758d33f"),
    600_000: (435_200, 0, "c6313a4bad5016d437c8afb2"),
    2_000_000: (435_200, 0, "c6313a4bad5016d437c8afb2"),
}
ARMS = ["ce", "kd", "dkd", "rkd", "at", "fitnet", "self", "random_teacher"]
STUDIES: dict[str, dict[str, Any]] = {
    "small": {},
    "plain students alone": {"methods": ["ce", "label_smoothing"]},
    "every kind of teacher": {"methods": ARMS, "students": ["resnet8", "resnet14"], "seeds": 3},
    "noise for teachers alone": {
        "methods": ARMS,
        "factors": {"label_noise": {"levels": [0.0, 0.4], "roles": ["teacher"]}},
    },
    "other classes": {"methods": ARMS, "factors": {"classes": [2, 3]}},
    "images without labels": {
        "methods": ["ce", "kd", "self"],
        "factors": {"size": [5], "unlabelled": [0, 2]},
    },
    "assistants": {"methods": ARMS, "teacher": {"model": "resnet14", "assistants": ["resnet8"]}},
    "generations": {"methods": ["ce", "kd", "dkd"], "teacher": {"model": "resnet14", "generations": 3}},
    "little is stored": {"methods": ARMS, "teacher": {"outputs": {"budget": 30_000}}},
    "teachers in turn": {"teacher": {"provenance": "full", "replicates": 2}, "seeds": 3},
    "shared draws": {"draws": EARLIER["draws"], "seeds": 3},
}


@pytest.mark.parametrize("budget", list(BUDGETS))
def test_budget_stores_the_same_outputs_as_before(budget: int) -> None:
    study = spec(
        teacher={
            "model": "resnet14",
            "provenance": ["full", "same"],
            "outputs": {"budget": budget},
            "replicates": 1,
        },
        methods=["ce", "kd", "rkd", "at", "self"],
        recipe={"steps": 20, "views": "crop"},
        draws=EARLIER["draws"],
    )
    plan = make_plan(study, load_dataset(study.source()), CPU)
    live = sum(bool(job.cohort) for job in plan.students)
    assert (plan.stored_bytes, live, spec_id(list(plan.jobs))) == BUDGETS[budget]
    assert plan.stored_bytes <= budget


@pytest.mark.parametrize("name", list(STUDIES))
def test_workloads_are_known_before_planning(name: str) -> None:
    study = spec(**STUDIES[name])
    outline = Outline.of(study, load_dataset(study.source()))
    plan = outline.plan({}, CPU)
    assert outline.workloads() == Workloads.of_jobs(plan.jobs.values())


def test_workload_of_given_weights_is_known_before_planning(tmp_path: Path) -> None:
    network = build_model("resnet14", classes=4, inputs=InputSpec.square(1, 8))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    given = {
        "model": "resnet14",
        "provenance": "external",
        "weights": "w.safetensors",
        "at_chance": "continue",
    }
    study = spec(tmp_path, teacher=given, methods=["ce", "kd", "random_teacher"])
    outline = Outline.of(study, load_dataset(study.source()))
    work = outline.workloads()
    assert work == Workloads.of_jobs(outline.plan({}, CPU).jobs.values())
    assert work.queried.keys() == {"resnet14"}


def test_plan_cannot_be_changed() -> None:
    study = spec()
    plan = make_plan(study, load_dataset(study.source()), CPU)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.stored_bytes = 0  # type: ignore[misc]
