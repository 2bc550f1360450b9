"""``distillab advise``: its JSON, its first line, its abstentions, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import distillab
from distillab.advise import AdviceRequest, Adviser, teacher_keys, with_pilot_size
from distillab.api.advice import advise
from distillab.cli import execute
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.sources.digits import Digits
from distillab.sources.parsing import source_from_argument
from distillab.training.checkpoints import snapshot
from support.advice import TickingClock, image_folder, request
from support.evidence_base import write_evidence_base

KEYS = {"verdict", "gain", "ci_low", "ci_high", "confidence", "method", "harm_risk", "evidence", "seconds"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_budget_zero_trains_nothing_and_answers_with_all_keys(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["advise", "digits", "--budget", "0", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer.keys() >= KEYS
    assert (answer["verdict"], answer["gain"], answer["race"]) == ("undecided", None, [])
    assert isinstance(answer["evidence"], list) and answer["confidence"] == 0.8
    assert any("what the evidence base has studied" in item["text"] for item in answer["evidence"])
    assert answer["base"]["contexts"] > 0
    assert answer["next"]["command"].startswith("distillab advise digits")
    assert Path(answer["page"]).is_file()
    assert json.loads((Path(answer["folder"]) / "advice.json").read_text()) == answer


def test_missing_evidence_base_is_stated(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distillab.api.advice.read_base", lambda folder: None)
    assert execute(["advise", "digits", "--budget", "0", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert any("no measured evidence base" in item["text"] for item in answer["evidence"])
    assert answer["base"] == {}


def test_first_line_is_the_answer(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["advise", "digits", "--budget", "0"]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("Undecided: ")


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert execute(["advise", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and error.startswith("distillab: ")
    return error


def test_wrong_requests_are_refused_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image_folder(here / "one", count=12, classes=1)
    image_folder(here / "three", count=3, classes=2)
    image_folder(here / "fine", count=40)
    flat = here / "unlabelled"
    flat.mkdir()
    for file in (here / "one").rglob("*.png"):
        (flat / file.name).write_bytes(file.read_bytes())
    weights = here / "teacher.pt"
    torch.save(snapshot(build_model("resnet8", classes=7, inputs=InputSpec(3, 16, 16))), weights)
    cases: list[tuple[str, ...]] = [
        ("fine", "--budget", "soon"),
        ("fine", "--budget", "-5m"),
        ("fine", "--margin", "2"),
        ("nowhere",),
        ("one", "--budget", "0"),
        ("three", "--budget", "0"),
        ("unlabelled", "--budget", "0"),
        ("fine", "--budget", "0", "--student", "resnet9"),
        ("fine", "--budget", "0", "--teacher", "resnet21"),
        ("fine", "--budget", "0", "--weights", "teacher.pt"),
        ("fine", "--budget", "0", "--teacher", "resnet8", "--weights", "missing.pt"),
        ("fine", "--budget", "0", "--teacher", "fine"),
        ("fine", "--budget", "0", "--base", "fine"),
        ("fine", "--budget", "0", "--set", "nonsense"),
    ]
    assert "another number of classes" in _refused(
        capsys, "fine", "--budget", "0", "--teacher", "resnet8", "--weights", "teacher.pt"
    )
    for case in cases:
        option = next((part for part in case if part in ("--student", "--margin", "--weights")), "")
        assert option in _refused(capsys, *case), case


def test_a_teacher_at_chance_leaves_the_answer_undecided(tmp_path: Path) -> None:
    weights = tmp_path / "chance.pt"
    network = build_model("convnet3", classes=3, inputs=InputSpec(1, 8, 8))
    for parameter in network.parameters():
        parameter.data.zero_()  # random networks may predict classes better than chance
    torch.save(snapshot(network), weights)
    given = request(tmp_path / "out", teacher=teacher_keys("convnet3", weights), budget=60.0)
    found = Adviser(given, lambda stage, share, left: None, TickingClock(5.0)).advise()
    assert found.verdict == "undecided" and not found.rungs
    assert "chance" in found.headline
    assert any(item.kind == "check" and "chance" in item.text for item in found.evidence)
    assert found.provenance == "external"


def test_a_folder_belongs_to_one_advice(tmp_path: Path) -> None:
    Adviser(request(tmp_path, budget=0.0), lambda *_: None).advise()
    with pytest.raises(RequestError, match="belongs to another advice"):
        Adviser(request(tmp_path, budget=0.0, student=["resnet8"]), lambda *_: None).advise()


@pytest.fixture(scope="module")
def planted_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_evidence_base(folder, contexts=32, seeds=5)
    return folder


def test_data_unlike_any_studied_leave_the_prior_unused(planted_base: Path, tmp_path: Path) -> None:
    from distillab.base import read

    far = Digits(classes=["0", "1"], resolution=64)
    found = Adviser(
        request(tmp_path, source=far, base=read(planted_base), budget=0.0), lambda *_: None
    ).advise()
    assert found.verdict == "undecided" and found.base["base_sets"] == 8
    assert any("outside of what was studied" in reason for reason in found.reasons)
    nearest = [item for item in found.evidence if item.kind == "prior"]
    assert nearest and nearest[0].contexts, "the nearest contexts are named"


def test_python_data_and_networks_are_advised_on(here: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
    found = distillab.advise(
        (images, labels), student=build_model("convnet3", classes=3, inputs=InputSpec(1, 8, 8)), budget=0
    )
    assert found.verdict == "undecided" and found.next_step.command == ""
    assert found.student == "ConvNet" and found._repr_html_()


def test_large_images_are_raced_small_unless_a_size_is_stated(here: Path) -> None:
    large = source_from_argument(str(image_folder(here / "large", count=8, side=80)))
    changed, note = with_pilot_size(large)
    assert changed.entry()["resolution"] == 32 and "80x80" in note
    stated = large.model_copy(update={"resolution": 48})
    assert with_pilot_size(stated) == (stated, "")
    small = source_from_argument(str(image_folder(here / "small", count=8, side=16)))
    assert with_pilot_size(small) == (small, "")


def test_images_of_different_sizes_are_raced_at_one(here: Path) -> None:
    root = image_folder(here / "mixed", count=8, side=16)
    image_folder(root, count=4, side=24)
    changed, note = with_pilot_size(source_from_argument(str(root)))
    assert changed.entry()["resolution"] == 32 and "different sizes" in note


def test_label_sets_are_raced_by_kd_without_prior(tmp_path: Path, planted_base: Path) -> None:
    from distillab.advise.adviser import _methods
    from distillab.advise.calibration import Calibration
    from distillab.advise.case import Case
    from distillab.advise.findings import Findings
    from distillab.base import read

    rng = np.random.default_rng(0)
    path = tmp_path / "films.npz"
    np.savez(path, images=rng.integers(0, 256, (80, 8, 8), np.uint8), labels=rng.integers(0, 2, (80, 3)))
    case = Case.read(request(tmp_path / "out", source=source_from_argument(str(path))))
    found = Findings(case.profiled(0.0, None), Calibration.of(read(planted_base), 0.005))
    assert case.task.name == "multilabel" and not found.priors
    assert _methods(found) == ("kd",)
    assert any("one label each" in note for note in found.case.notes)


def test_request_knows_whether_its_teacher_is_trained() -> None:
    trained: Any = AdviceRequest(Digits(), ["resnet8"], teacher_keys(None, None), 0.0, Path("out"))
    assert trained.is_trained_here and trained.teacher["replicates"] == 2


def test_command_and_function_have_the_same_defaults() -> None:
    import inspect

    parameters = inspect.signature(advise).parameters
    assert parameters["budget"].default == "15m" and parameters["margin"].default == 0.005
