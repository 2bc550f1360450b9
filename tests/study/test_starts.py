"""Students and teachers that start from trained weights, planned and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from distillab.api import Study
from distillab.artefacts import RECORD, WEIGHTS, RunRecord
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from distillab.study.job import StoredJob, StudentJob
from distillab.study.planning.starts import recorded_normalization
from distillab.study.running.reproduce import reproduce
from distillab.study.spec import StudentEntry
from support.damage import forget_digests
from support.studies import begin, dataset, plan, run_here, spec

INPUTS = InputSpec.square(1, 8)
SHORT: dict[str, Any] = {"factors": {"size": [5]}, "seeds": 1, "teacher": {"provenance": "full"}}
STATED = {"mean": [0.25], "std": [0.5]}


def network(classes: int = 4, model: str = "resnet8", channels: int = 1, seed: int = 7) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(model, classes=classes, inputs=InputSpec.square(channels, 8))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a resnet8 for other classes, wrapped as training scripts do."""
    path = tmp_path / "given.pth"
    state = {f"module.{name}": value for name, value in network(classes=10).state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)
    return path


def started(path: Path, **keys: Any) -> dict[str, Any]:
    return {"model": "resnet8", "weights": str(path), **keys}


def state_of(folder: StudyFolder, run: str) -> dict[str, Tensor]:
    return load_file(folder.store.folder("student", run) / WEIGHTS)


def student_jobs(**changes: Any) -> list[StudentJob]:
    return plan(**{**SHORT, **changes}).students


def test_scratch_is_the_default_and_is_not_written(weights: Path) -> None:
    usual, spelled = spec(students=["resnet8"]), spec(students=[{"model": "resnet8", "pretrained": False}])
    assert spelled.students == ("resnet8",) and spelled.identity == usual.identity
    assert "pretrained" not in usual.canonical()["teacher"]
    assert spec(students=[started(weights)]).identity != usual.identity


def test_weights_enter_run_ids_by_content(weights: Path, tmp_path: Path) -> None:
    def ids(path: Path) -> list[str]:
        return [job.id for job in student_jobs(students=[started(path)])]

    copy = tmp_path / "elsewhere.pth"
    copy.write_bytes(weights.read_bytes())
    assert ids(copy) == ids(weights)
    torch.save(network(classes=10, seed=8).state_dict(), copy)
    assert set(ids(copy)).isdisjoint(ids(weights))
    assert set(ids(weights)).isdisjoint(job.id for job in student_jobs())
    job, *_ = student_jobs(students=[started(weights)])
    assert str(weights.parent) not in json.dumps(StoredJob.of(job).spec, default=str)


def test_stored_job_keeps_its_start(weights: Path) -> None:
    for job in student_jobs(students=[started(weights, normalization=STATED)]):
        assert job.start is not None and job.start.scaling is not None
        again = StoredJob.of(job).job()
        assert again == job and isinstance(again, StudentJob)
        assert again.start is not None and again.start.path == str(weights)


def test_relative_weights_start_at_the_study_file(weights: Path) -> None:
    made = spec(weights.parent, students=[started(Path(weights.name))])
    [entry] = made.student_entries
    assert entry.weights == weights and entry.label == "resnet8(weights=given.pth)"
    [written] = made.written()["students"]
    assert written == {"model": "resnet8", "weights": str(weights)}


def test_plain_and_distilled_student_share_trained_initial_weights(weights: Path, tmp_path: Path) -> None:
    # With a learning rate of almost nothing, the trained weights are the initial ones.
    folder = begin(tmp_path, **SHORT, students=[started(weights)], methods=["ce", "kd"], recipe={"lr": 1e-12})
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    states = [state_of(folder, row["run_id"]) for row in rows]
    given = network(classes=10).state_dict()
    for state in states:
        assert torch.allclose(state["conv1.weight"], given["conv1.weight"], atol=1e-6)
        assert torch.allclose(state["fc.weight"], states[0]["fc.weight"], atol=1e-6)
        assert state["fc.weight"].shape == (4, 64)


def test_fresh_classifier_differs_between_seeds(weights: Path, tmp_path: Path) -> None:
    folder = begin(
        tmp_path,
        **{**SHORT, "seeds": 2},
        students=[started(weights)],
        methods=["ce"],
        recipe={"lr": 1e-12},
    )
    states = [state_of(folder, row["run_id"]) for row in run_here(folder)]
    firsts, heads = ([state[name] for state in states] for name in ("conv1.weight", "fc.weight"))
    assert all(torch.allclose(each, firsts[0], atol=1e-6) for each in firsts)
    assert not torch.allclose(heads[0], heads[-1], atol=1e-3)


def test_plan_states_what_became_of_the_weights(weights: Path) -> None:
    def notes(**keys: Any) -> str:
        [note] = plan(**SHORT, students=[started(weights, **keys)]).starts
        return note

    assert notes().startswith(
        "resnet8 starts from given.pth, entry 'state_dict', without the prefix 'module.'"
    )
    assert "with a new classifier" in notes() and "since nothing states how" in notes()
    assert "normalized as the weights were (mean 0.25; std 0.5)" in notes(normalization=STATED)


def test_stated_normalization_reaches_the_network_and_the_record(weights: Path, tmp_path: Path) -> None:
    folder = begin(tmp_path, **SHORT, students=[started(weights, normalization=STATED)], methods=["ce"])
    [row] = run_here(folder)
    record = folder.store.run_record("student", row["run_id"])
    assert record.normalization == STATED and record.inputs is not None
    mean, std = (each.astype(np.float64) for each in folder.dataset.normalization())
    pixels = np.array([0.0, 0.3, 1.0])
    scaled = (pixels - mean) / std * record.inputs["scale"] + record.inputs["shift"]
    assert scaled == pytest.approx((pixels - 0.25) / 0.5, abs=1e-5)
    assert record.start == {"weights": folder.job(row["run_id"]).start.digest, "file": "given.pth"}


def test_weights_that_distillab_trained_bring_their_normalization(weights: Path, tmp_path: Path) -> None:
    first = begin(tmp_path / "first", **SHORT, students=[started(weights, normalization=STATED)])
    run = run_here(first)[0]["run_id"]
    file = first.store.folder("student", run) / WEIGHTS
    [note] = plan(**SHORT, students=[started(file)]).starts
    assert "normalized as the weights were (mean 0.25; std 0.5)" in note
    [job, *_] = student_jobs(students=[started(file)])
    assert job.start is not None and job.start.scaling is not None
    # A record without a normalization, of an early version, leaves it open.
    values = json.loads((file.parent / RECORD).read_text())
    del values["normalization"]
    forget_digests(file.parent)
    (file.parent / RECORD).write_text(json.dumps(values))
    assert RunRecord.read(file.parent).normalization is None
    [note] = plan(**SHORT, students=[started(file)]).starts
    assert "since nothing states how" in note


def test_normalization_of_the_study_needs_no_scaling(weights: Path) -> None:
    mean, std = dataset().normalization()
    same = {"mean": [round(float(mean[0]), 6)], "std": [round(float(std[0]), 6)]}
    [job, _] = student_jobs(students=[started(weights, normalization=same)])
    assert job.start is not None and job.start.scaling is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"weights": "missing.pth"}, "missing.pth: cannot read the weights"),
        ({"model": "resnet14"}, "another architecture than resnet14"),
        ({"model": "resnet8x4"}, "another architecture than resnet8x4"),
        (
            {"normalization": {"mean": [0.5, 0.5], "std": [1, 1]}},
            "the images have 1 channels, and there are 2",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_at_plan_time(
    keys: dict[str, Any], message: str, weights: Path
) -> None:
    with pytest.raises(RequestError) as caught:
        plan(**SHORT, students=[started(weights, **keys)])
    line = str(caught.value)
    assert (
        line.startswith("study.yaml: students: ") and message in line and "\n" not in line and len(line) < 600
    )


@pytest.mark.parametrize(
    ("students", "message"),
    [
        ([{"weights": "w.pth"}], "'model' is missing"),
        ([{"model": "resnet8", "weigths": "w.pth"}], "did you mean 'weights'"),
        ([{"model": "resnet8", "weights": "w.pth", "pretrained": True}], "not both"),
        ([{"model": "resnet8", "normalization": STATED}], "normalization is that of weights"),
        (
            [{"model": "resnet8", "weights": "a/w.pth"}, {"model": "resnet8", "weights": "b/w.pth"}],
            "named twice",
        ),
        ([5], "5 is not a student"),
        ([["resnet8"]], "is not a student"),
        ([{"model": "resnet8", "weights": "w.pth", "normalization": {"mean": [0.5], "std": [0]}}], "std"),
    ],
)
def test_invalid_students_are_refused_in_one_line(students: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        spec(students=students)
    line = str(caught.value)
    assert line.startswith("study.yaml: students") and "\n" not in line


def test_students_of_one_network_differ_by_name(weights: Path) -> None:
    students = ["resnet8", started(weights), started(weights, name="mine"), StudentEntry(model="resnet14")]
    made = plan(**SHORT, students=students)
    assert {cell.student for cell in made.cells} == {
        *("resnet8", "resnet8(weights=given.pth)", "mine", "resnet14")
    }
    assert len({cell.run for cell in made.cells if cell.student != "mine"}) == 6


def test_changed_weights_fail_their_runs(weights: Path, tmp_path: Path) -> None:
    folder = begin(tmp_path, **SHORT, students=[started(weights)], methods=["ce"])
    torch.save(network(seed=9).state_dict(), weights)
    assert {row["status"] for row in run_here(folder)} == {"failed"}


def test_started_run_is_reproduced_to_the_bit(weights: Path, tmp_path: Path) -> None:
    folder = begin(tmp_path, **SHORT, students=[started(weights)], methods=["ce"])
    run = run_here(folder)[0]["run_id"]
    assert reproduce(folder, run, "cpu").difference == 0.0


def test_copies_and_generations_of_a_student_start_like_it(weights: Path) -> None:
    made = plan(**SHORT, students=[started(weights)], methods=["ce", "self"])
    [copy] = [job for job in made.teachers if job.inputs.train == "self"]
    assert copy.start is not None and copy.start.path == str(weights)
    assert StoredJob.of(copy).job() == copy
    made = plan(**SHORT | {"teacher": {"generations": 2}}, students=[started(weights)])
    generations = [job for job in made.teachers if job.model == "resnet8" and job.start]
    assert len(generations) == 2  # one by provenance
    assert all(job.start is None for job in made.teachers if job not in generations)


def test_peers_share_the_trained_weights_but_not_the_classifier(weights: Path, tmp_path: Path) -> None:
    torch.save(network(classes=4).state_dict(), weights)  # also the classifier fits
    folder = begin(tmp_path, **SHORT, students=[started(weights)], methods=["ce", "mutual_learning"])
    assert {row["status"] for row in run_here(folder)} == {"done"}


def test_color_weights_are_added_up_for_gray_images(tmp_path: Path) -> None:
    color, path = network(channels=3), tmp_path / "color.pth"
    torch.save(color.state_dict(), path)
    folder = begin(tmp_path, **SHORT, students=[started(path)], methods=["ce"], recipe={"lr": 1e-12})
    [note] = plan(**SHORT, students=[started(path)]).starts
    assert "colors added up for gray images" in note
    state = state_of(folder, run_here(folder)[0]["run_id"])
    summed = color.state_dict()["conv1.weight"].sum(1, keepdim=True)
    assert torch.allclose(state["conv1.weight"], summed, atol=1e-6)


def test_study_keeps_its_students_when_it_is_read_again(weights: Path, tmp_path: Path) -> None:
    folder = begin(tmp_path, **SHORT, students=[started(weights, normalization=STATED)])
    assert StudyFolder.open(folder.path).spec.identity == folder.spec.identity


@pytest.mark.parametrize("mean", [0.25, 0.6])
def test_given_teacher_brings_its_recorded_normalization(mean: float, weights: Path, tmp_path: Path) -> None:
    def scaling(**keys: Any) -> Any:
        teacher = {"provenance": "external", "weights": str(weights), "at_chance": "continue", **keys}
        [job] = plan(**SHORT | {"teacher": teacher}, methods=["kd"]).teachers
        return job.origin.scaling

    torch.save(network(classes=4).state_dict(), weights)
    normalization = {"mean": [mean], "std": [0.5]}
    assert scaling() is None
    stated = scaling(normalization=normalization)
    (tmp_path / RECORD).write_text(json.dumps({"normalization": normalization}))
    assert scaling() == stated is not None
    assert scaling(normalization={"mean": [0.9], "std": [0.5]}) != stated
    own_mean, own_std = (np.round(each, 6).tolist() for each in dataset().normalization())
    (tmp_path / RECORD).write_text(json.dumps({"normalization": {"mean": own_mean, "std": own_std}}))
    assert scaling() is None
    (tmp_path / RECORD).write_text("no JSON")
    with pytest.raises(RequestError, match=r"record\.json: not valid JSON"):
        scaling()


@pytest.mark.parametrize(
    "stated", ["imagenet", [0.5], {"mean": [0.5]}, {"mean": 0.5, "std": 0.5}, {"mean": ["a"], "std": [0]}]
)
def test_records_of_other_programs_are_refused_in_one_line(stated: Any, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(json.dumps({"normalization": stated}))
    with pytest.raises(RequestError, match=r"record\.json: its `normalization` is not a mean") as caught:
        recorded_normalization(tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)


def test_python_takes_entries_and_mappings(weights: Path) -> None:
    mapping = {"model": "resnet8", "weights": str(weights)}
    usual: dict[str, Any] = {"study": "s", "data": {"source": "digits"}, "teacher": {"model": "resnet8"}}
    first, second = (
        Study(**usual, students=students, methods=["kd"]).spec
        for students in (mapping, [StudentEntry(**mapping)])
    )
    assert first.identity == second.identity and first.student_entries == second.student_entries
