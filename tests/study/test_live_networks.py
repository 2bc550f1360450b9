"""Studies and profiles with networks given as Python objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from distillab.api import Study, profile
from distillab.artefacts import WEIGHTS
from distillab.errors import RequestError
from support.documents import environment
from support.live import IMAGES, LABELS, SHORT, SmallNet, small_net, trained_net
from support.source_tree import ROOT
from support.studies import rows_of

STUDY: dict[str, Any] = {
    "study": "live",
    "data": (IMAGES, LABELS),
    "students": SmallNet,
    "methods": ["kd"],
    "seeds": 2,
    "recipe": SHORT,
}


def teacher(**keys: Any) -> dict[str, Any]:
    return {"model": trained_net(), **keys}


def test_workers_build_a_given_teacher_and_students(tmp_path: Path) -> None:
    finished = Study(teacher=teacher(), **STUDY).run(tmp_path, workers=2, device="cpu")
    assert finished.outcome.complete and finished.outcome.done == 4
    rows = rows_of(finished.folder)
    assert {row["teacher"].partition("-")[0] for row in rows} == {"object:SmallNet"}
    stored = list(finished.folder.store.root.glob(f"teacher/*/{WEIGHTS}"))
    assert len(stored) == 2  # of one network, which is tested on the val set of each seed
    expected = trained_net().state_dict()
    for path in stored:
        assert all(torch.equal(value, expected[name]) for name, value in load_file(path).items())


def test_equal_objects_resume_a_study_and_others_are_refused(tmp_path: Path) -> None:
    first = Study(teacher=teacher(), **STUDY).run(tmp_path, executor="inline", device="cpu")
    ids = [row["run_id"] for row in rows_of(first.folder)]
    again = Study(teacher=teacher(), **STUDY).run(tmp_path, executor="inline", device="cpu")
    assert [row["run_id"] for row in rows_of(again.folder)] == ids
    with pytest.raises(RequestError, match="belongs to another study"):
        Study(teacher=small_net(1, width=16), **STUDY).run(tmp_path, device="cpu")


def test_a_student_starts_from_the_weights_it_has(tmp_path: Path) -> None:
    values = STUDY | {"students": small_net(3), "recipe": SHORT | {"lr": 1e-12, "weight_decay": 0}}
    finished = Study(teacher=teacher(), **values).run(tmp_path, executor="inline", device="cpu")
    assert {row["student"] for row in rows_of(finished.folder)} == {"SmallNet"}
    start = small_net(3).classifier.weight
    stored = list(finished.folder.store.root.glob(f"student/*/{WEIGHTS}"))
    assert len(stored) == 4
    for path in stored:
        torch.testing.assert_close(load_file(path)["classifier.weight"], start, atol=1e-6, rtol=0)


def test_two_students_of_one_class_have_two_names() -> None:
    study = Study(teacher=teacher(), **STUDY | {"students": [small_net(1), small_net(2), "resnet8"]})
    assert len({str(student) for student in study.spec.students}) == 3


def test_a_factory_as_teacher_is_trained_in_the_study(tmp_path: Path) -> None:
    study = Study(teacher={"model": lambda: SmallNet(width=12), "provenance": "full"}, **STUDY)
    _, plan = study.plan(device="cpu")
    assert plan.count("teacher") == 2  # one for each seed


def test_a_run_is_reproduced_in_a_process_without_the_objects(tmp_path: Path) -> None:
    values = STUDY | {"students": [small_net(), lambda: SmallNet(width=4)], "seeds": 1}
    finished = Study(teacher=teacher(), **values).run(tmp_path / "run", executor="inline", device="cpu")
    runs = {row["student"]: row["run_id"] for row in rows_of(finished.folder) if row["method"] == "kd"}
    finished.folder.path.rename(tmp_path / "moved")
    for run in runs.values():
        assert "logits agree" in _reproduced(tmp_path / "moved", run)
    assert len(runs) == 2
    again = Study(teacher=teacher(), **values).run(tmp_path / "moved", executor="inline", device="cpu")
    assert again.outcome.done == 4


def _reproduced(folder: Path, run: str) -> str:
    command = [sys.executable, "-m", "distillab.cli", "reproduce", str(folder), run, "--allow-code"]
    ended = subprocess.run(command, env=environment(ROOT), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_teacher_is_profiled() -> None:
    found = profile((IMAGES, LABELS), teacher=small_net())
    assert found.teacher is not None and found.teacher.startswith("object:SmallNet-")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"teacher": 3}, "study: teacher: int is no network"),
        ({"students": [None]}, "study: students: NoneType is no network"),
        (
            {"teacher": teacher(provenance="full")},
            "study: teacher.provenance: a network given as an object is not",
        ),
        (
            {"teacher": teacher(weights="a.pt")},
            "study: teacher.weights: a network given as an object has weights",
        ),
        (
            {"students": [{"model": small_net(), "pretrained": True}]},
            "a network given as an object has weights",
        ),
        (
            {"teacher": {"models": [small_net(), "resnet8"]}},
            "teacher.models: a network given as an object has",
        ),
        (
            {"teacher": {"model": "resnet8", "assistants": small_net()}},
            "teacher.assistants: a network given as",
        ),
        ({"teacher": nn.LazyLinear(2)}, "study: teacher: the shape of weight is not known yet"),
    ],
)
def test_wrong_networks_are_refused_in_one_line(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        Study(**{"teacher": "resnet8", **STUDY, **values})
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_network_for_other_classes_is_refused_before_training(tmp_path: Path) -> None:
    study = Study(teacher=teacher(model=small_net(classes=3)), **STUDY)
    with pytest.raises(RequestError, match="3"):
        study.plan(device="cpu")


def test_a_network_at_chance_is_refused_without_a_path() -> None:
    random = small_net(width=16)
    nn.init.zeros_(random.classifier.weight)
    nn.init.zeros_(random.classifier.bias)
    with pytest.raises(RequestError) as caught:
        Study(teacher=random, **STUDY).plan(device="cpu")
    assert "teacher.weights: the given network: " in str(caught.value) and "safetensors" not in str(
        caught.value
    )
