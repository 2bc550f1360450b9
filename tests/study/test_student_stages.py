"""Students that start from a network of the same plan: after another method, or from the teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distillab.artefacts import WEIGHTS
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.job import StoredJob, StudentJob
from distillab.study.job_parts import RunStart
from distillab.study.planning import Plan
from distillab.study.running.job_runner import JobRunner
from distillab.study.running.reproduce import reproduce
from distillab.study.spec.study import parse_study, read_study
from support.studies import CPU, artefacts, begin, plan, run_here, spec, study

FITNET = {"model": "resnet8", "start": {"method": "fitnet", "steps": 2}}
NAME = "resnet8(start=fitnet for 2 steps)"
SHORT: dict[str, Any] = {
    "factors": {},
    "seeds": 1,
    "teacher": {"model": "resnet14", "provenance": "full", "recipe": {"steps": 3}},
    "methods": ["ce", "kd"],
}


def planned(**changes: Any) -> Plan:
    return plan(**{**SHORT, **changes})


def cells_of(made: Plan, student: str) -> dict[str, Cell]:
    return {cell.method: cell for cell in made.cells if cell.student == student}


def student(made: Plan, cell: Cell) -> StudentJob:
    job = made.jobs[cell.run_id]
    assert isinstance(job, StudentJob)
    return job


def first_stage(made: Plan, job: StudentJob) -> StudentJob:
    assert isinstance(job.start, RunStart) and job.start.kind == "student"
    before = made.jobs[job.start.job]
    assert isinstance(before, StudentJob)
    return before


def test_study_without_a_start_keeps_its_ids() -> None:
    usual, with_start = planned(), planned(students=["resnet8", FITNET])
    assert usual.jobs.keys() < with_start.jobs.keys()
    assert "start" not in json.dumps(usual.students[0].spec_dict(), default=str)


def test_plain_and_distilled_student_start_from_the_same_stage() -> None:
    made = planned(students=[FITNET])
    cells = cells_of(made, NAME)
    assert list(cells) == ["ce", "kd"]
    plain, distilled = (student(made, cell) for cell in cells.values())
    assert plain.start == distilled.start and plain.recipe == distilled.recipe
    before = first_stage(made, plain)
    assert before.method["name"] == "fitnet" and before.recipe["steps"] == 2 and before.start is None
    assert {before.seeds, plain.seeds, distilled.seeds} == {plain.seeds}
    for job in (plain, distilled):
        assert before.id in job.needs and job.spec_dict()["start"] == {"student": before.id}
    places = list(made.jobs)
    assert places.index(before.id) < places.index(plain.id)


def test_id_follows_from_the_stage_before() -> None:
    def run(**stage: Any) -> str:
        made = planned(students=[{"model": "resnet8", "name": "s", "start": {"method": "fitnet", **stage}}])
        return cells_of(made, "s")["ce"].run_id

    runs = [run(), run(steps=2), run(epochs=1), planned().students[0].id]
    assert len(set(runs)) == 4 and run(steps=2) == run(steps=2)
    assert run(steps=3) == run()  # the recipe has three


def test_arm_of_the_study_is_the_stage_of_another_student() -> None:
    started = {"model": "resnet8", "start": "kd", "methods": ["ce"]}
    made = planned(students=["resnet8", started])
    assert len(made.students) == 3
    plain = student(made, cells_of(made, "resnet8(start=kd)")["ce"])
    assert first_stage(made, plain).id == cells_of(made, "resnet8")["kd"].run


def test_shorter_stage_shares_the_stored_outputs_of_the_teacher() -> None:
    assert len(planned(students=["resnet8", FITNET]).outputs) == 1
    longer = {"model": "resnet8", "start": {"method": "kd", "steps": 900}}
    made = planned(students=[longer])
    assert len(made.outputs) == 2 and made.stored_bytes > planned().stored_bytes


def test_stages_form_a_chain() -> None:
    start = ["teacher", {"method": "kd", "steps": 2}, "self"]
    made = planned(students=[{"model": "resnet8", "name": "s", "start": start}])
    last = student(made, cells_of(made, "s")["ce"])
    third = first_stage(made, last)
    second = first_stage(made, third)
    assert (third.method["name"], second.method["name"]) == ("self", "kd")
    assert isinstance(second.start, RunStart) and second.start.kind == "teacher"
    assert second.start.job in {teacher.id for teacher in made.teachers}
    copy = next(job for job in made.teachers if job.inputs.train == "self")
    assert copy.start == third.start and second.id in copy.needs


def test_stored_job_keeps_the_run_that_it_starts_from() -> None:
    made = planned(students=[{"model": "resnet8", "start": ["teacher", "self"]}], methods=["ce", "self"])
    started = [job for job in (*made.students, *made.teachers) if job.start]
    assert len(started) >= 3
    for job in started:
        assert StoredJob.of(job).job() == job


def test_probe_starts_from_the_stage_of_its_student() -> None:
    made = planned(students=[FITNET], evidence={"probes": 1})
    cell = cells_of(made, NAME)["kd"]
    assert cell.doubled is not None
    probe, usual = made.jobs[cell.doubled], student(made, cell)
    assert isinstance(probe, StudentJob) and probe.start == usual.start
    assert probe.recipe["steps"] == 2 * usual.recipe["steps"]


def test_control_trains_plainly_in_the_place_of_the_stages() -> None:
    made = planned(students=["resnet8", FITNET], methods=["ce", "ce_throughout", "kd"])
    assert list(cells_of(made, "resnet8")) == ["ce", "kd"]
    job = student(made, cells_of(made, NAME)["ce_throughout"])
    assert job.start is None and job.recipe["steps"] == 5


def test_control_of_stages_goes_to_every_student_with_a_start() -> None:
    started = {"kd": {}, "start": {"method": "fitnet", "steps": 2}}
    made = planned(
        methods=["ce", "ce_throughout", "kd", started], evidence={"baselines": ["ce", "ce_throughout"]}
    )
    assert list(cells_of(made, "resnet8")) == ["ce", "kd"]
    assert list(cells_of(made, NAME)) == ["ce", "ce_throughout", "kd"]


def test_method_with_a_start_is_compared_with_plain_training_from_there() -> None:
    methods = ["ce", "kd", {"dkd": {}, "start": {"method": "fitnet", "steps": 2}}]
    made = planned(methods=methods)
    assert {(cell.student, cell.method) for cell in made.cells} == {
        *(("resnet8", name) for name in ("ce", "kd")),
        *((NAME, name) for name in ("ce", "dkd")),
    }
    other = planned(
        methods=["ce", "kd", "dkd"],
        students=[{"model": "resnet8", "methods": ["ce", "kd"]}, {**FITNET, "methods": ["dkd"]}],
    )
    assert other.jobs.keys() == made.jobs.keys()


def test_chain_is_equal_to_two_studies_by_hand(tmp_path: Path) -> None:
    rows = run_here(chain := begin(tmp_path / "chain", **SHORT, students=[FITNET]))
    first = begin(tmp_path / "first", **{**SHORT, "methods": ["ce", "fitnet"]}, recipe={"steps": 2})
    [hint] = [row["run_id"] for row in run_here(first) if row["method"] == "fitnet"]
    start = {"model": "resnet8", "start": {"run": str(first.path), "id": hint}}
    second = begin(tmp_path / "second", **SHORT, students=[start])
    again = run_here(second)
    assert [row["student"] for row in again] == [f"resnet8(start=run {hint[:8]})"] * 2
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in rows]
    for one, other in zip(rows, again, strict=True):
        states = [
            load_file(folder.store.folder("student", row["run_id"]) / WEIGHTS)
            for folder, row in ((chain, one), (second, other))
        ]
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_started_run_is_reproduced_and_states_its_start(tmp_path: Path) -> None:
    folder = begin(tmp_path, **SHORT, students=[FITNET])
    run = run_here(folder)[1]["run_id"]
    assert reproduce(folder, run, "cpu").difference == 0.0
    record, job = folder.store.run_record("student", run), folder.job(run)
    assert isinstance(job, StudentJob) and isinstance(job.start, RunStart)
    assert record.start == {"student": job.start.job}


def test_gains_are_those_over_the_plain_student_of_the_same_start(tmp_path: Path) -> None:
    folder = begin(tmp_path, **{**SHORT, "seeds": 2}, students=["resnet8", FITNET])
    rows = {(row["student"], row["method"], row["seed"]): row["accuracy"] for row in run_here(folder)}
    gains = {
        row["student"]: row["gain"]
        for row in read_rows(folder.effects_file)
        if row["metric"] == "accuracy" and row["method"] == "kd"
    }
    assert gains.keys() == {"resnet8", NAME}
    for name, gain in gains.items():
        paired = [rows[name, "kd", seed] - rows[name, "ce", seed] for seed in (0, 1)]
        assert gain == pytest.approx(np.mean(paired))


def test_study_killed_between_stages_goes_on_with_the_next(tmp_path: Path) -> None:
    whole = begin(tmp_path / "whole", **SHORT, students=[FITNET])
    rows = run_here(whole)
    folder = begin(tmp_path / "killed", **SHORT, students=[FITNET])
    runner = JobRunner(folder, CPU)
    with folder.ledger() as ledger:
        while not isinstance(job := ledger.claim(1)[0], StudentJob):
            runner.run([job])
            ledger.done(job.id, 1.0)
        runner.run([job])  # killed after the artifact, before the ledger knows of it
        ledger.release(job.id)
    assert job.method["name"] == "fitnet"
    made = artefacts(folder)
    again = run_here(StudyFolder.open(folder.path))
    assert made.items() <= artefacts(folder).items()
    assert [row["run_id"] for row in again] == [row["run_id"] for row in rows]
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in rows]


def test_failed_stage_fails_what_starts_from_it(tmp_path: Path) -> None:
    folder = begin(tmp_path, **SHORT, students=[FITNET], recipe={"lr": 1e20})
    assert {row["status"] for row in run_here(folder)} == {"failed"}


def test_student_keeps_the_weights_of_its_teacher(tmp_path: Path) -> None:
    # With a learning rate of almost nothing, the weights of the teacher are the last ones.
    keys = {**SHORT, "students": [{"model": "resnet8", "start": "teacher"}], "recipe": {"lr": 1e-12}}
    folder = begin(tmp_path, **keys)
    rows = run_here(folder)
    [teacher] = folder.store.names("teacher")
    given = load_file(folder.store.folder("teacher", teacher) / WEIGHTS)
    for row in rows:
        state = load_file(folder.store.folder("student", row["run_id"]) / WEIGHTS)
        for name in ("conv1.weight", "stages.0.0.conv1.weight", "fc.weight"):
            assert torch.allclose(state[name], given[name], atol=1e-6)
    assert any("the teacher is resnet14, of which it keeps 100 %" in note for note in plan(**keys).starts)


def test_teacher_of_another_family_is_refused_as_a_start() -> None:
    start = {"model": "resnet8", "start": "teacher"}
    with pytest.raises(RequestError, match="no layer of the teacher has the name and the shape") as caught:
        planned(students=[start], teacher={"model": "convnet3", "provenance": "full"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "fitnett"}, r"students\.0\.start: unknown method 'fitnett', did you mean 'fitnet'"),
        ({"start": 5}, r"students\.0\.start: 5 is nothing to start from"),
        ({"start": ["kd", "teacher"]}, r"students\.0\.start\.1: teacher does not start from"),
        ({"start": {"method": "kd", "steps": 0}}, r"students\.0\.start\.steps: 0 is not accepted"),
        ({"start": {"method": "kd", "step": 5}}, "unknown key 'step', did you mean 'steps'"),
        ({"start": {"method": "kd", "steps": 5, "epochs": 1}}, "in steps or in epochs"),
        ({"start": {"run": "dir"}}, "key 'id' is missing"),
        ({"start": "ce_long"}, "is as long as all of a student's training"),
        ({"start": "teacher", "pretrained": True}, "not both"),
        ({"methods": ["dkd"]}, r"students\.0\.methods: unknown method 'dkd'"),
    ],
)
def test_invalid_starts_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        spec(**{**SHORT, "students": [{"model": "resnet8", **changes}]})
    assert str(caught.value).startswith("study.yaml: students") and "\n" not in str(caught.value)


def test_start_that_contains_itself_is_refused() -> None:
    start: dict[str, Any] = {"steps": 5}
    start["method"] = start
    with pytest.raises(RequestError) as caught:
        spec(**SHORT, students=[{"model": "resnet8", "start": start}])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "line", ["students: {model: resnet8, start: &a {method: *a}}", "methods: &a [ce, {kd: {}, start: *a}]"]
)
def test_file_whose_value_contains_itself_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(line)
    with pytest.raises(RequestError, match=r"not valid YAML in line 1, column \d+: a value contains itself"):
        read_study(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tune": {"budget": 2, "lr": [0.1]}},
            r"students\.0\.start: a study that tunes its methods does not train with fitnet before them",
        ),
        ({"methods": ["ce", {"fitnet": {"hint_weight": 7}}]}, "fitnet has other settings among the methods"),
        ({"students": ["resnet8"], "methods": ["ce", "ce_throughout"]}, "and there are none"),
        ({"students": ["resnet8"], "methods": ["ce", {"start": "kd"}]}, r"methods\.1: a start without"),
        (
            {"students": ["resnet8"], "methods": ["ce", {"kd": {}, "start": 7}]},
            r"methods\.1\.start: 7 is nothing to start from",
        ),
    ],
)
def test_studies_that_a_start_does_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    started = {"model": "resnet8", "start": "fitnet"}
    with pytest.raises(RequestError, match=message) as caught:
        spec(**{**SHORT, "students": [started], **changes})
    assert str(caught.value).startswith("study.yaml: ") and "\n" not in str(caught.value)


def test_student_keeps_the_weights_of_the_best_of_several_teachers(tmp_path: Path) -> None:
    values = {**study(**SHORT, students=[{"model": "resnet8", "start": "teacher"}], recipe={"lr": 1e-12})}
    values["teacher"] = {"models": ["resnet8", "resnet8"], "provenance": "full", "combine": "accuracy"}
    folder = StudyFolder.begin(tmp_path / "dir", parse_study(values, tmp_path, "study.yaml"), CPU)
    row = run_here(folder)[0]
    state = load_file(folder.store.folder("student", row["run_id"]) / WEIGHTS)
    states = [
        load_file(folder.store.folder("teacher", name) / WEIGHTS) for name in folder.store.names("teacher")
    ]
    [both] = [each for each in states if "weights" in each]
    best = f"members.{int(both['weights'].argmax())}.conv1.weight"
    assert torch.allclose(state["conv1.weight"], both[best], atol=1e-6)


def test_missing_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read") as caught:
        planned(students=[{"model": "resnet8", "start": {"run": str(tmp_path), "id": "8f0c"}}])
    assert "\n" not in str(caught.value)


def test_study_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    students = [FITNET, {"model": "resnet8", "start": ["teacher", {"method": {"kd": {"temperature": 2}}}]}]
    folder = begin(tmp_path, **SHORT, students=students)
    again = StudyFolder.open(folder.path)
    assert again.spec.identity == folder.spec.identity
    assert again.spec.student_entries == folder.spec.student_entries
