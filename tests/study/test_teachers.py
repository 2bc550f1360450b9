"""Ensembles of teachers, chains of assistants, generations and given weights, planned and run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import interpolate

from distillab.artefacts import LOGITS, load_logits
from distillab.data.student_transform import StudentTransform
from distillab.errors import RequestError
from distillab.models import Combine, Ensemble, InputSpec, build_model
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.job import Job
from distillab.study.job_parts import TRAINED, DistilledOrigin, TeacherSource
from distillab.study.planning.external_teacher import given_teacher
from distillab.study.planning.outline import make_plan
from distillab.study.planning.plan import Plan
from distillab.study.spec.study import StudySpec, parse_study
from distillab.training.stages import open_network
from support.studies import CPU, run_here, spec, study

SHORT: dict[str, Any] = {"factors": {"size": [5]}, "seeds": 1}


def spec_with(teacher: dict[str, Any], **changes: Any) -> StudySpec:
    values = study(**{**SHORT, **changes})
    values["teacher"] = {"provenance": "full", **teacher}
    return parse_study(values, Path.cwd(), "study.yaml")


def planned(teacher: dict[str, Any], **changes: Any) -> Plan:
    wanted = spec_with(teacher, **changes)
    return make_plan(wanted, load_dataset(wanted.source()), CPU)


def needed(plan: Plan, job: Job) -> list[Any]:
    return [plan.jobs[name] for name in job.needs]


def test_members_of_an_ensemble_are_trained_separately() -> None:
    plan = planned({"models": ["resnet8", "resnet8"], "combine": "accuracy"})
    first, second, both = plan.teachers
    assert both.needs == (first.id, second.id) and first.seeds != second.seeds
    [outputs] = plan.outputs
    assert outputs.needs == (both.id,)
    assert plan.cells[0].teacher == "accuracy(resnet8+resnet8)"
    assert plan.cells[0].teacher_run == both.id


def test_combination_is_part_of_run_ids() -> None:
    runs = {
        combine: {cell.run for cell in planned({"models": ["resnet8"] * 2, "combine": combine}).cells}
        for combine in get_args(Combine)
    }
    plain = set.intersection(*runs.values())
    assert len(plain) == 1  # ce has no teacher
    distilled = [run for found in runs.values() for run in found - plain]
    assert len(distilled) == len(set(distilled)) == len(runs)


def test_each_assistant_is_distilled_from_the_one_before() -> None:
    plan = planned({"model": "resnet20", "assistants": ["resnet14", "resnet8"]})
    [student] = [job for job in plan.students if job.teacher]
    [outputs] = needed(plan, student)
    [last] = needed(plan, outputs)
    [middle] = needed(plan, last)
    [teacher] = needed(plan, middle)
    assert [job.model for job in (last, middle, teacher)] == ["resnet8", "resnet14", "resnet20"]
    assert middle.origin == DistilledOrigin(teacher.id, last.origin.method)
    assert teacher.needs == () and teacher.origin == TRAINED
    assert last.sets.train == teacher.sets.train
    assert plan.cells[0].teacher == "resnet20 > resnet14 > resnet8"


def test_each_generation_is_distilled_from_the_one_before() -> None:
    plan = planned({"model": "resnet14", "generations": 3}, methods=["kd", "dkd"], students=["resnet8"])
    for student in (job for job in plan.students if job.teacher):
        assert not student.cohort
        second, compared = needed(plan, student)
        [first] = needed(plan, second)
        [teacher] = needed(plan, first)
        assert student.teacher == TeacherSource(second.id, live=True)
        assert compared.teacher == teacher.id
        assert first.origin.method == second.origin.method == student.method
        assert [job.model for job in (second, first, teacher)] == ["resnet8", "resnet8", "resnet14"]
        inits = {job.seeds.init for job in (student, second, first)}
        assert len(inits) == 3
    assert len(plan.teachers) == 1 + 2 * 2
    assert all(job.views is None for job in plan.outputs)  # only the test sets are queried


def test_default_teacher_keys_keep_the_identity() -> None:
    usual = spec_with({"model": "resnet8"})
    written = {"model": "resnet8", "assistants": [], "generations": 1, "models": []}
    assert spec_with(written).identity == usual.identity
    several = spec_with({"models": ["resnet8", "resnet14"], "combine": "best"})
    assert several.identity != usual.identity
    again = parse_study(several.canonical(), Path.cwd(), "study.yaml")
    assert again.identity == several.identity and again.teacher == several.teacher


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({}, "name the teacher's model, or several models"),
        ({"model": "resnet8", "models": ["resnet8", "resnet14"]}, "name the teacher's model, or several"),
        ({"models": ["resnet8"]}, "at least two networks"),
        ({"model": "resnet8", "combine": "mean"}, "at least two networks"),
        ({"models": ["resnet8", "resnet14"], "combine": "vote"}, "combine"),
        ({"model": "resnet8", "generations": 0}, "generations"),
        (
            {"models": ["resnet8", "resnet14"], "combine": "correctness", "outputs": {"top_k": 2}},
            "top_k must be left out",
        ),
        (
            {
                "models": ["resnet8", "resnet14"],
                "provenance": "external",
                "weights": "w.safetensors",
                "at_chance": "continue",
            },
            "full or same",
        ),
    ],
)
def test_invalid_teachers_are_refused_in_one_line(teacher: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        spec_with(teacher)
    assert "\n" not in str(caught.value)


def test_feature_methods_refuse_an_ensemble() -> None:
    message = "method rkd needs a teacher's embedding, and several teachers together give logits alone"
    with pytest.raises(RequestError, match=message):
        planned({"models": ["resnet8", "resnet14"]}, methods=["rkd"])
    assert planned({"models": ["resnet8", "resnet14"], "assistants": ["resnet8"]}, methods=["rkd"]).jobs
    with pytest.raises(RequestError, match="resnet9"):
        planned({"models": ["resnet8", "resnet9"]})


@pytest.mark.parametrize("budget", ["1 GB", 0], ids=["stored", "live"])
@pytest.mark.parametrize("combine", get_args(Combine))
def test_study_with_an_ensemble_runs(combine: str, budget: Any, tmp_path: Path) -> None:
    teacher = {"models": ["resnet8", "resnet8"], "combine": combine, "outputs": {"budget": budget}}
    folder = StudyFolder.begin(tmp_path / "dir", spec_with(teacher), CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    with folder.ledger() as ledger:
        cell = next(iter(ledger.cells()))
    place = folder.store.folder("teacher", str(cell.teacher_run))
    network = open_network(place, folder.dataset.train, CPU)
    assert isinstance(network, Ensemble) and network.weights.sum().item() == pytest.approx(1.0)
    if combine == "best":
        assert sorted(network.weights.tolist()) == [0.0, 1.0]
    # Students are compared with one output per image, though the members are stored side by side.
    logits = load_logits(folder.store.folder("outputs", str(cell.outputs)) / LOGITS)["test"]
    assert logits.shape == (len(folder.dataset.eval["test"]), 4)
    assert all(0 <= row["teacher_accuracy"] <= 1 for row in rows)


def test_stored_and_live_ensembles_weighted_by_correctness_agree(tmp_path: Path) -> None:
    """The ensemble weights depend on labels, which are not stored: two students of the same images under
    different labels get different targets from the same stored outputs."""
    accuracies = {}
    for budget in ("1 GB", 0):
        teacher = {"models": ["resnet8"] * 2, "combine": "correctness", "outputs": {"budget": budget}}
        factors = {"size": [20], "label_noise": [0.0, 0.5]}
        wanted = spec_with(teacher, factors=factors, recipe={"steps": 6})
        folder = StudyFolder.begin(tmp_path / str(budget), wanted, CPU)
        rows = run_here(folder)
        assert {row["status"] for row in rows} == {"done"}
        accuracies[budget] = [row["nll"] for row in rows]
    assert accuracies["1 GB"] == pytest.approx(accuracies[0], rel=0.02)


@pytest.mark.parametrize(
    "teacher",
    [
        {"model": "resnet14", "assistants": ["resnet8"], "provenance": ["full", "same"]},
        {"model": "resnet14", "generations": 2},
        {"models": ["resnet8", "resnet14"], "assistants": ["resnet8"], "generations": 2},
    ],
    ids=["assistant", "generations", "all of it"],
)
def test_study_with_a_chain_of_teachers_runs(teacher: dict[str, Any], tmp_path: Path) -> None:
    wanted = spec_with(teacher, methods=["ce", "kd", "fitnet"])
    folder = StudyFolder.begin(tmp_path / "dir", wanted, CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    assert {row["method"] for row in rows} == {"ce", "kd", "fitnet"}


def test_ensemble_counts_all_its_members() -> None:
    wanted = spec(teacher={"model": "resnet8"})
    assert wanted.teacher.last_model == wanted.teacher.whole == wanted.teacher.label == "resnet8"
    torch.manual_seed(0)
    both = build_model("mean(resnet8+resnet8)", classes=4, inputs=InputSpec.square(3, 8))
    one = build_model("resnet8", classes=4, inputs=InputSpec.square(3, 8))
    assert sum(p.numel() for p in both.parameters()) == 2 * sum(p.numel() for p in one.parameters())


GIVEN = {"model": "resnet8@16", "provenance": "external", "weights": "w.safetensors", "at_chance": "continue"}
OWN = {"mean": [0.1], "std": [2.0]}


def given_weights(folder: Path) -> nn.Module:
    torch.manual_seed(0)
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(1, 16)).eval()
    save_file(network.state_dict(), folder / "w.safetensors")
    return network


@pytest.mark.parametrize("budget", ["1 GB", 0], ids=["stored", "live"])
def test_given_weights_use_their_own_normalization(budget: Any, tmp_path: Path) -> None:
    """Of another size and under another normalization than the students."""
    network = given_weights(tmp_path)
    values = study(**SHORT, methods=["kd", "rkd", "fitnet"])
    values["teacher"] = {**GIVEN, "normalisation": OWN, "outputs": {"budget": budget}}
    wanted = parse_study(values, tmp_path, "study.yaml")
    folder = StudyFolder.begin(tmp_path / "dir", wanted, CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    test = folder.dataset.eval["test"]
    shown = (torch.from_numpy(test.pixels(np.arange(len(test)))).float() / 255 - 0.1) / 2.0
    with torch.no_grad():
        expected = network(interpolate(shown, (16, 16), mode="bilinear", antialias=True))
    with folder.ledger() as ledger:
        outputs = str(ledger.cells()[0].outputs)
    logits = load_logits(folder.store.folder("outputs", outputs) / LOGITS)["test"]
    np.testing.assert_allclose(logits.astype(np.float32), expected.numpy(), atol=2e-2)


def test_given_weights_select_examples_by_the_same_outputs(tmp_path: Path) -> None:
    """Under their normalization and without a student transform: it must not decide how hard an image is."""
    network = given_weights(tmp_path)
    values = study(**SHORT) | {"teacher": {**GIVEN, "normalisation": OWN}}
    wanted = parse_study(values, tmp_path, "study.yaml")
    dataset = load_dataset(wanted.source())
    probabilities = given_teacher(wanted, dataset)
    assert probabilities is not None
    images = dataset.train
    shown = (torch.from_numpy(images.pixels(np.arange(len(images)))).float() / 255 - 0.1) / 2.0
    with torch.no_grad():
        logits = network(interpolate(shown, (16, 16), mode="bilinear", antialias=True))
    transformed = probabilities(replace(images, student_transform=StudentTransform(4, back=True)))
    np.testing.assert_allclose(transformed, logits.softmax(1).numpy(), atol=2e-3)


def test_normalization_of_given_weights_is_part_of_run_ids(tmp_path: Path) -> None:
    given_weights(tmp_path)

    def runs(**teacher: Any) -> set[str]:
        values = study(**SHORT)
        values["teacher"] = {**GIVEN, **teacher}
        wanted = parse_study(values, tmp_path, "study.yaml")
        plan = make_plan(wanted, load_dataset(wanted.source()), CPU)
        return {cell.run_id for cell in plan.cells if cell.method == "kd"}

    assert runs().isdisjoint(runs(normalisation=OWN))
    with pytest.raises(RequestError, match="the examples have 1 channels, and there are 3 means"):
        runs(normalisation={"mean": [0.1] * 3, "std": [0.2] * 3})
    with pytest.raises(RequestError, match="std"):
        runs(normalisation={"mean": [0.1], "std": [0.0]})
    with pytest.raises(RequestError, match="normalization is that of given weights"):
        spec_with({"model": "resnet8", "normalisation": OWN})


OWN_METHOD = """
from distillab.methods import Method
from distillab.methods.divergence import label_loss

class Logits(Method):
    def forward(self, student, teacher, batch):
        apart = (student.logits - teacher.logits.detach()).square().mean()
        return {"ce": label_loss(student.logits, batch).mean(), "logits": apart}
"""


@pytest.mark.parametrize(
    "teacher",
    [{"models": ["resnet8", "resnet14"], "combine": "correctness"}, {"model": "resnet14", "generations": 2}],
    ids=["together", "generations"],
)
def test_controls_and_user_methods_go_with_any_teacher(teacher: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_METHOD)
    values = study(**SHORT, methods=["ce", "self", "random_teacher", "mine.py:Logits", {"kd": {}, "dkd": {}}])
    values["teacher"] = {"provenance": "full", **teacher}
    folder = StudyFolder.begin(tmp_path / "dir", parse_study(values, tmp_path, "study.yaml"), CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"} and len(rows) == 5
