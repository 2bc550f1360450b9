"""The task of a study: classification leaves no trace in ids, any other is part of every training."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import Examples, Pool
from distillab.data.targets import LabelSets
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.sources.ingest import load_dataset
from distillab.study.job import StoredJob
from distillab.study.planning.outline import make_plan
from distillab.study.planning.plan import Plan
from support.studies import CPU, spec

SEVERAL: dict[str, Any] = {"models": ["resnet8", "resnet14"]}
MULTILABEL: dict[str, Any] = {"task": "multilabel", "methods": ["ce", "kd"], "factors": {}}


def label_sets(n: int, first_id: int) -> Examples:
    rng = np.random.default_rng(first_id)
    pool = Pool.of(rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8))
    targets = LabelSets(rng.integers(0, 2, (n, 3)).astype(np.int8), classes=3)
    rows = np.arange(n, dtype=np.int64)
    return Examples(pool, rows, targets, ("cough", "fever", "rash"), rows + first_id)


@cache
def symptoms() -> Dataset:
    return Dataset(
        "symptoms", label_sets(40, 0), label_sets(20, 100), {"test": label_sets(20, 200)}, DataReport()
    )


def planned(**changes: Any) -> Plan:
    return make_plan(spec(**MULTILABEL | changes), symptoms(), CPU)


@pytest.mark.parametrize("task", ["classification", {"name": "classification"}])
def test_classification_leaves_no_trace(task: Any) -> None:
    usual, written = spec(), spec(task=task)
    assert written.identity == usual.identity
    assert "task" not in written.canonical()
    dataset = load_dataset(usual.source())
    assert list(make_plan(written, dataset, CPU).jobs) == list(make_plan(usual, dataset, CPU).jobs)


def test_task_with_its_settings_identifies_a_study() -> None:
    short, whole = spec(task="multilabel"), spec(task={"name": "multilabel", "uncertain": "ignore"})
    assert short.canonical()["task"] == {"name": "multilabel", "uncertain": "ignore"}
    assert short.identity == whole.identity
    ones = spec(task={"name": "multilabel", "uncertain": "ones"})
    assert len({spec().identity, short.identity, ones.identity}) == 3


def test_task_is_part_of_every_training() -> None:
    plan = planned()
    trainings = [*plan.teachers, *plan.students]
    assert trainings and all(job.task == {"name": "multilabel", "uncertain": "ignore"} for job in trainings)
    assert all(StoredJob.of(job).job() == job for job in plan.jobs.values())
    ones = planned(task={"name": "multilabel", "uncertain": "ones"})
    assert plan.jobs.keys().isdisjoint(ones.jobs)


@pytest.mark.parametrize("method", ["dkd", "crd"])
def test_method_of_another_task_is_refused(method: str) -> None:
    with pytest.raises(RequestError, match=f"method {method} is defined for classification alone"):
        planned(methods=["ce", method])


def test_data_must_hold_what_the_task_learns_from() -> None:
    with pytest.raises(RequestError, match=r"task: .* label sets, and the data hold labels") as raised:
        study = spec(task="multilabel")
        make_plan(study, load_dataset(study.source()), CPU)
    assert raised.value.allowed == (
        "task: classification or task: balanced_classification or task: embedding or task: verification, "
        "or data with label sets"
    )
    with pytest.raises(RequestError, match="the data hold label sets"):
        planned(task="classification")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("multilable", "study.yaml: task: unknown task 'multilable', did you mean 'multilabel'?"),
        ({"name": "multilabel", "uncertan": "ones"}, "study.yaml: task: unknown key 'uncertan'"),
        (
            {"name": "multilabel", "uncertain": "maybe"},
            "study.yaml: task.uncertain: 'maybe' is not accepted",
        ),
        (3, "study.yaml: task: 3 is not a task"),
    ],
)
def test_wrong_task_is_explained_in_one_line(task: Any, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        spec(task=task)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"outputs": {"top_k": 2}}, "outputs.top_k stores softmax probabilities"),
        (
            {"model": "", "models": ["resnet8", "resnet14"], "combine": "confidence"},
            "combine: confidence needs",
        ),
        (
            {"model": "", "models": ["resnet8", "resnet14"], "combine": "correctness"},
            "combine: correctness needs",
        ),
    ],
)
def test_softmax_options_need_classification(teacher: dict[str, Any], message: str) -> None:
    spec(teacher=teacher)
    with pytest.raises(RequestError, match=message):
        spec(teacher=teacher, **MULTILABEL)


def test_merged_classes_of_a_teacher_need_classification(tmp_path: Path) -> None:
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8))
    save_file(network.state_dict(), tmp_path / "teacher.safetensors")
    teacher = {
        "model": "resnet8",
        "provenance": "external",
        "weights": str(tmp_path / "teacher.safetensors"),
        "at_chance": "continue",
        "classes": ["dry cough", "wet cough", "fever", "rash"],
    }
    merged = {**teacher, "class_map": {"dry cough": "cough", "wet cough": "cough"}}
    with pytest.raises(
        RequestError, match=r"teacher.class_map: several classes .* cannot be merged"
    ) as raised:
        planned(teacher=merged)
    assert "\n" not in str(raised.value)
    assert planned(teacher={**teacher, "class_map": {"dry cough": "cough"}}).students
