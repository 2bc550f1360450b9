"""Students whose first stages keep what they start from: under every method, or a refusal in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from distillab.artefacts import WEIGHTS
from distillab.canonical import canonical_json
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from distillab.study.job import StoredJob, StudentJob, TeacherJob
from distillab.study.planning import Plan
from distillab.study.spec.study import parse_study
from support.studies import begin, plan, run_here, spec, study

KEPT = {"model": "resnet8", "start": "teacher", "keep": 1}
NAME = "resnet8(start=teacher, keep=1)"
FIRST = ("conv1.", "bn1.", "stages.0.")  # a stem belongs to the first stage
SHORT: dict[str, Any] = {
    "factors": {},
    "seeds": 1,
    "teacher": {"model": "resnet8", "provenance": "full", "recipe": {"steps": 3}},
    "methods": ["ce", "kd", "netgraft"],
    "students": [KEPT],
}


def planned(**changes: Any) -> Plan:
    return plan(**{**SHORT, **changes})


def refusal(**changes: Any) -> str:
    with pytest.raises(RequestError) as caught:
        planned(**changes)
    text = str(caught.value)
    assert "\n" not in text and "allowed: " in text
    return text


def weights(folder: StudyFolder, kind: Any, run: str) -> dict[str, Tensor]:
    return load_file(folder.store.folder(kind, run) / WEIGHTS)


def written(job: StudentJob) -> Any:
    return json.loads(canonical_json(job.spec_dict()))


def moved(state: dict[str, Tensor], start: dict[str, Tensor]) -> set[str]:
    return {key for key in state if not torch.equal(state[key], start[key])}


def others(state: dict[str, Tensor]) -> set[str]:
    """Return what training moves of a student that keeps its first stage."""
    return {key for key in state if not key.startswith(FIRST)}


@pytest.mark.parametrize("budget", ["10 MB", "0 MB"], ids=["stored outputs", "in step on a live teacher"])
def test_kept_stages_are_the_teachers_after_every_method(budget: str, tmp_path: Path) -> None:
    """Weight decay and channel statistics included; all else moves."""
    teacher = {**SHORT["teacher"], "outputs": {"budget": budget}}
    recipe = {"steps": 4, "weight_decay": 0.1}
    folder = begin(tmp_path, **{**SHORT, "teacher": teacher, "recipe": recipe, "seeds": 2})
    rows = run_here(folder)
    assert {(row["method"], row["student"]) for row in rows} == {
        (method, NAME) for method in ("ce", "kd", "netgraft")
    }
    for row in rows:
        record = folder.store.run_record("student", row["run_id"])
        assert record.start is not None
        assert (record.cohort > 1) == (budget == "0 MB" and row["method"] != "ce")
        start = weights(folder, "teacher", str(record.start["teacher"]))
        state = weights(folder, "student", row["run_id"])
        assert moved(state, start) == others(state)
        network = build_model("resnet8", classes=4, inputs=InputSpec(1, 8, 8))
        kept = [each.numel() for key, each in network.named_parameters() if key.startswith(FIRST)]
        assert (record.start["kept_stages"], record.start["kept_parameters"]) == (1, sum(kept))


def test_stages_stay_as_given_weights_are_under_peers_and_copies(tmp_path: Path) -> None:
    """Of a file, and in a copy of the student that teaches it, and through a stage before."""
    given = build_model("resnet8", classes=4, inputs=InputSpec(1, 8, 8)).state_dict()
    save_file(given, tmp_path / "given.safetensors")
    first = {"model": "resnet8", "weights": "given.safetensors", "keep": 1}
    students = [first, {**first, "start": {"method": "kd", "steps": 2}}]
    folder = begin(tmp_path, **{**SHORT, "methods": ["ce", "self", "mutual_learning"], "students": students})
    assert len(run_here(folder)) == 6
    with folder.ledger() as ledger:
        jobs = [ledger.job(name) for name in ledger.states()]
    started = [job for job in jobs if isinstance(job, StudentJob | TeacherJob) and job.start]
    assert {job.kind for job in started} == {"student", "teacher"}
    for job in started:
        state = weights(folder, job.kind, job.id)
        assert moved(state, given) == others(state)


def test_pairs_share_kept_stages_and_ids_follow_from_them() -> None:
    made, usual = planned(), planned(students=[{"model": "resnet8", "start": "teacher"}])
    starts = {job.start for job in made.students}
    assert len(starts) == 1 and len(made.students) == 3
    assert not {job.id for job in made.students} & {job.id for job in usual.students}
    for job in made.students:
        assert written(job)["start"]["keep"] == 1
        assert StoredJob.of(job).job() == job
    assert all("keep" not in written(job)["start"] for job in usual.students)


def test_no_kept_stage_is_as_if_the_key_were_not_there() -> None:
    none = {**KEPT, "keep": 0}
    started = {"model": "resnet8", "start": "teacher"}
    assert spec(**{**SHORT, "students": [none]}).identity == spec(**{**SHORT, "students": [started]}).identity
    assert planned(students=[none]).jobs.keys() == planned(students=[started]).jobs.keys()


def test_plan_states_what_is_kept() -> None:
    [note] = [each for each in planned().starts if "not trained" in each]
    assert note.startswith(f"{NAME}: its first stage (4,848 of ") and "by any method" in note


def test_student_is_written_with_what_it_keeps() -> None:
    made = spec(**SHORT)
    assert made.student_entries[0].written == KEPT
    assert (
        parse_study({**study(**SHORT), "students": [KEPT]}, Path.cwd(), "study.yaml").identity
        == made.identity
    )


@pytest.mark.parametrize(
    ("student", "methods", "message"),
    [
        ({**KEPT, "keep": 4}, ["ce"], "`keep: 4` is more than its 3 stages (allowed: 1 to 3)"),
        ({**KEPT, "keep": -1}, ["ce"], "keep"),
        ({**KEPT, "keep": True}, ["ce"], "keep"),
        ({"model": "resnet8", "keep": 1}, ["ce"], "`keep` is for a student with a start"),
        ({**KEPT, "keep": 3}, ["ce", "netgraft"], "leaves no stage to train inside the teacher"),
        (KEPT, ["ce", "ce_throughout"], "ce_throughout starts from random weights"),
        ("resnet8", ["ce", "netgraft"], "resnet8 does not start from it, nor does its plain student"),
        ({"model": "resnet8", "start": "kd"}, ["ce", "netgraft"], "does not start from it"),
    ],
)
def test_bad_request_is_refused_in_one_line(student: Any, methods: list[str], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        planned(students=[student], methods=methods)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("study.yaml: ")


def test_stages_that_the_teacher_does_not_have_are_not_kept() -> None:
    teacher = {"model": "resnet14", "provenance": "full"}
    assert "not all of these stages have the names and shapes of those of resnet14" in refusal(
        teacher=teacher
    )


def test_network_without_stages_keeps_none() -> None:
    flat = {"model": "support.networks:linear", "start": "kd", "keep": 1}
    text = refusal(students=[flat], methods=["ce", "kd"])
    assert "has no stages that `keep` could keep" in text


def test_level_without_weights_has_nothing_to_keep() -> None:
    factors = {"initialisation": ["scratch", "pretrained"]}
    student = {"model": "efficientnet_lite0", "pretrained": True, "keep": 1}
    assert "factor initialisation" in refusal(students=[student], factors=factors, methods=["ce", "kd"])
