"""Methods of two views in a study: what they cost, what is stored for them, and that their students train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distillab.errors import RequestError
from distillab.sources.ingest import load_dataset
from distillab.study.job import OutputsJob, StoredJob, StudentJob
from distillab.study.planning import Plan
from distillab.study.planning.outline import Outline
from distillab.study.planning.workloads import Workloads
from support.studies import CPU, begin, dataset, plan, run_here, spec

ONE: dict[str, Any] = {"factors": {}, "seeds": 1, "teacher": {"provenance": "full"}}
WHOLE = {"mlkd": {"strong_view": True}}


def students(planned: Plan) -> dict[str, StudentJob]:
    jobs = {cell.method: planned.jobs[cell.run] for cell in planned.cells if cell.run}
    return {name: job for name, job in jobs.items() if isinstance(job, StudentJob)}


def outputs(planned: Plan) -> OutputsJob:
    [job] = planned.outputs
    return job


def test_a_student_of_two_views_costs_twice_as_much() -> None:
    found = students(plan(**ONE, methods=["ce", "kd", "crld", WHOLE]))
    assert found["crld"].cost == found["mlkd(strong_view=True)"].cost == 2 * found["kd"].cost


def test_outputs_for_strong_views_are_stored_where_needed() -> None:
    without, with_them = plan(**ONE, methods=["ce", "kd"]), plan(**ONE, methods=["ce", "kd", "crld"])
    assert not outputs(without).inputs.strong and outputs(with_them).inputs.strong
    assert outputs(with_them).id == outputs(without).id, "other students keep their ids"
    assert set(without.jobs) < set(with_them.jobs)
    assert outputs(with_them).cost > outputs(without).cost
    assert with_them.stored_bytes > without.stored_bytes
    assert not students(with_them)["crld"].cohort
    again = StoredJob.of(outputs(with_them)).job()
    assert isinstance(again, OutputsJob) and again.inputs.strong


def test_strong_views_that_do_not_fit_the_budget_are_computed_live() -> None:
    fits = plan(**ONE, methods=["ce", "kd"]).stored_bytes
    teacher = {"provenance": "full", "outputs": {"budget": fits}}
    found = students(plan(**{**ONE, "teacher": teacher}, methods=["ce", "kd", "crld"]))
    assert found["crld"].cohort and not found["kd"].cohort


@pytest.mark.parametrize("methods", [["kd", "crld"], ["kd", "crld", "at", WHOLE]], ids=str)
def test_workloads_with_two_views_are_known_before_planning(methods: list[Any]) -> None:
    study = spec(methods=["ce", *methods], teacher={"model": "resnet14", "generations": 2})
    outline = Outline.of(study, load_dataset(study.source()))
    assert outline.workloads() == Workloads.of_jobs(outline.plan({}, CPU).jobs.values())


@pytest.mark.parametrize("method", ["crld", WHOLE], ids=str)
@pytest.mark.parametrize("views", ["mixup", "cutmix"])
def test_views_that_mix_are_refused(method: Any, views: str) -> None:
    with pytest.raises(RequestError, match=r"^recipe.views: method \S+ compares two views [^\n]*$"):
        plan(**ONE, methods=["ce", method], recipe={"views": [views]})


def test_students_of_two_views_train_from_stored_and_live_outputs_alike(tmp_path: Path) -> None:
    """Stored outputs are halves, so that results agree but for rounding."""
    methods = ["ce", "kd", "crld", WHOLE, {"logit_standardisation": {"of": "crld"}}]
    records: dict[str, dict[str, Any]] = {}
    for name, budget in (("stored", 10**9), ("live", 0)):
        teacher = {"provenance": "full", "outputs": {"budget": budget}}
        folder = begin(tmp_path / name, **{**ONE, "teacher": teacher}, methods=methods)
        rows = run_here(folder)
        assert {row["status"] for row in rows} == {"done"}
        records[name] = {
            row["method"]: json.loads(
                (folder.store.folder("student", row["run_id"]) / "record.json").read_text()
            )
            for row in rows
        }
    for name in ("crld", "mlkd(strong_view=True)"):
        stored, live = records["stored"][name], records["live"][name]
        assert (
            stored["teacher_images"]
            == live["teacher_images"]
            == 2 * records["stored"]["kd"]["teacher_images"]
        )
        for one, other in zip(stored["curve"], live["curve"], strict=True):
            assert one["losses"] == pytest.approx(other["losses"], rel=2e-2)


def test_ensembles_weighted_by_correctness_serve_two_views(tmp_path: Path) -> None:
    teacher = {
        "provenance": "same",
        "model": "",
        "models": ["resnet8", "resnet8"],
        "combine": "correctness",
    }
    rows = run_here(begin(tmp_path, **{**ONE, "teacher": teacher}, methods=["ce", "crld"]))
    assert {row["status"] for row in rows} == {"done"}


def test_the_plain_student_does_not_depend_on_methods_beside_it() -> None:
    assert dataset(classes=4) is not None
    found = [students(plan(**ONE, methods=each))["ce"].id for each in (["ce", "kd"], ["ce", "crld"])]
    assert found[0] == found[1]
