"""Numerics of a study: chosen once, stored, and part of ids where they can change a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from distillab.models import InputSpec, build_model
from distillab.report.collect.question import recipe_lines
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob, TeacherJob
from distillab.study.planning import numerics
from distillab.study.planning import outline as planning
from distillab.study.planning.outline import make_plan, tuned_plan
from distillab.study.planning.plan import Plan
from distillab.study.planning.summary import summarize_plan
from distillab.study.planning.workloads import FORWARD_BATCH, Workloads
from distillab.study.running.worker import work
from distillab.study.spec.study import StudySpec
from distillab.training.numerics.config import NumericsConfig, NumericsRequest
from distillab.training.numerics.selection import NumericsChoice
from support.studies import CPU, spec


def plan(study: StudySpec) -> Plan:
    return make_plan(study, load_dataset(study.source()), CPU)


def tuned(study: StudySpec) -> Plan:
    return tuned_plan(study, load_dataset(study.source()), CPU)


@pytest.fixture
def faster_contiguous(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Make the benchmark find contiguous memory faster; return what it was called with."""
    calls: list[dict[str, Any]] = []

    def choose(workload: Any, request: NumericsRequest, device: torch.device, **keys: Any) -> NumericsChoice:
        calls.append({"workload": workload, "request": request, **keys})
        best = request.resolve(NumericsConfig(memory_format="contiguous"))
        return NumericsChoice(best, "timed here", {NumericsConfig(): 10.0, best: 20.0})

    monkeypatch.setattr(numerics, "select_numerics", choose)
    return calls


def trainings(found: Plan) -> list[TeacherJob | StudentJob]:
    return [*found.teachers, *found.students]


def test_short_study_uses_the_default_numerics() -> None:
    study = spec()
    found = tuned(study)
    assert list(found.jobs) == list(plan(study).jobs)
    assert {model: choice.numerics for model, choice in found.numerics.items()} == {
        "resnet8": NumericsConfig()
    }
    assert "not timed" in str(found.numerics["resnet8"])


def test_chosen_numerics_are_in_recipes_and_ids(faster_contiguous: list[dict[str, Any]]) -> None:
    found, usual = tuned(spec()), plan(spec())
    trained = trainings(found)
    assert {job.recipe["memory_format"] for job in trained} == {"contiguous"}
    assert found.jobs.keys().isdisjoint(usual.jobs)
    assert len(found.jobs) == len(usual.jobs)


def test_requested_numerics_need_no_benchmark() -> None:
    keys = {"precision": "fp32", "memory_format": "contiguous", "compile": False}
    found = tuned(spec(recipe=keys))
    trained = trainings(found)
    assert {job.recipe["memory_format"] for job in trained} == {"contiguous"}
    assert str(found.numerics["resnet8"]) == "fp32 contiguous eager (as requested)"


def test_each_network_is_timed_at_its_own_workload(faster_contiguous: list[dict[str, Any]]) -> None:
    """At the batch size of most of its images, for all images of its trainings."""
    study = spec(
        teacher={"model": "resnet14", "recipe": {"batch_size": 4, "precision": "bf16"}},
        recipe={"steps": 3, "batch_size": 8},
    )
    found = tuned(study)
    calls = {each["workload"].model: each for each in faster_contiguous}
    assert {model: each["workload"].batch for model, each in calls.items()} == {"resnet8": 8, "resnet14": 4}
    assert calls["resnet14"]["request"].precision == "bf16"
    for model, each in calls.items():
        own = [job for job in trainings(found) if job.model == model and job.cost]
        images = sum(job.recipe["steps"] * job.recipe["batch_size"] for job in own)
        assert Workloads.of_jobs(found.jobs.values()).images[model] == images > 0
        assert images >= each["images"] > 0


def test_given_weights_are_timed_in_forward_passes(
    tmp_path: Path, faster_contiguous: list[dict[str, Any]]
) -> None:
    """In forward passes, for all views of its outputs, under the recipe of the students."""
    network = build_model("resnet14", classes=4, inputs=InputSpec.square(1, 8))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    given = {
        "model": "resnet14",
        "provenance": "external",
        "weights": "w.safetensors",
        "at_chance": "continue",
    }
    study = spec(tmp_path, teacher=given, recipe={"epochs": 3, "steps": None, "precision": "bf16"})
    found = tuned(study)
    [call] = [each for each in faster_contiguous if each["workload"].model == "resnet14"]
    assert (call["workload"].trained, call["workload"].batch) == (False, FORWARD_BATCH)
    assert call["request"] == study.recipe.numerics
    seen = sum(job.inputs.recipe["steps"] * job.inputs.recipe["batch_size"] for job in found.outputs)
    assert Workloads.of_jobs(found.jobs.values()).queried == {"resnet14": seen}
    assert {each["workload"].trained for each in faster_contiguous} == {True, False}


def test_outputs_of_given_weights_use_the_chosen_numerics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    given = {
        "model": "resnet8",
        "provenance": "external",
        "weights": "w.safetensors",
        "at_chance": "continue",
    }
    study = spec(tmp_path, teacher=given, students=["resnet14"])
    bf16 = NumericsChoice(NumericsConfig("bf16"), "timed here", {NumericsConfig("bf16"): 1.0}, trained=False)
    monkeypatch.setattr(planning, "choose_numerics", lambda *_: {"resnet8": bf16})
    found = tuned(study)
    assert {job.inputs.recipe["precision"] for job in found.outputs} == {"bf16"}
    assert {job.recipe["precision"] for job in found.students} == {"fp32"}


@pytest.mark.parametrize("threads", ["auto", 1])
def test_one_thread_is_in_no_id(threads: Any) -> None:
    assert list(plan(spec(threads=threads)).jobs) == list(plan(spec()).jobs)


def test_several_threads_are_in_every_id() -> None:
    """Sums are split among threads, so the number of threads can change results."""
    jobs = plan(spec(threads=2)).jobs
    assert jobs.keys().isdisjoint(plan(spec()).jobs)
    assert {job.threads for job in jobs.values()} == {2}


def test_default_numerics_are_left_out_of_the_canonical_form() -> None:
    written = spec().canonical()
    assert "threads" not in written
    assert {"memory_format", "compile"}.isdisjoint(written["recipe"])
    assert spec(threads=3).identity != spec().identity
    assert spec(recipe={"compile": True}).canonical()["recipe"]["compile"] is True


@pytest.mark.parametrize("threads", [0, -1, "many", 1.5])
def test_invalid_numbers_of_threads_are_refused(threads: Any) -> None:
    with pytest.raises(ValidationError, match="threads"):
        StudySpec.model_validate(spec().model_dump() | {"threads": threads})


def test_worker_uses_the_threads_of_its_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StudyFolder.begin(tmp_path / "out", spec(threads=2, methods=["ce"], seeds=1), CPU)
    seen: list[int] = []

    def stop() -> bool:
        seen.append(torch.get_num_threads())
        return True

    before = torch.get_num_threads()
    work(folder, "cpu", stop=stop)
    assert (seen, torch.get_num_threads()) == ([2], before)


def test_choice_is_stored_and_reported(tmp_path: Path, faster_contiguous: list[dict[str, Any]]) -> None:
    study = spec(methods=["ce"], seeds=1)
    folder = StudyFolder.begin(tmp_path / "out", study, CPU)
    text = "fp32 contiguous eager (timed here; training examples/s: fp32 channels_last eager 10, "
    assert folder.numerics["resnet8"].startswith(text)
    with folder.ledger() as ledger:
        settings = {each.name: each for each in recipe_lines(ledger, study)}
    assert settings["numerics of resnet8"].value == "fp32 contiguous eager"
    assert settings["numerics of resnet8"].auto
    assert "timed here" in settings["numerics of resnet8"].origin
    assert {"precision", "memory_format"}.isdisjoint(settings)


def test_plan_is_estimated_at_the_rates_of_the_benchmark(faster_contiguous: list[dict[str, Any]]) -> None:
    study = spec(methods=["ce"])
    found = tuned(study)
    seen = summarize_plan(study, load_dataset(study.source()), found, CPU)
    images = Workloads.of_jobs(found.jobs.values()).images["resnet8"]
    assert sum(seen.seconds.values()) == pytest.approx(images / 20.0)
    assert seen.numerics == {"resnet8": str(found.numerics["resnet8"])}
