"""A study that has not finished states how many of its runs are done, wherever it gives an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from distillab.api import report
from distillab.cli import execute
from distillab.study.folder import StudyFolder
from distillab.study.spec.study import parse_study

STUDY = {
    "study": "tiny",
    "data": {"source": "digits", "classes": 3},
    "teacher": {"model": "resnet8"},
    "students": "resnet8",
    "methods": ["ce", "kd"],
    "seeds": 2,
    "recipe": {"steps": 2, "batch_size": 8},
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that is planned and has trained nothing."""
    path = tmp_path_factory.mktemp("begun") / "out"
    StudyFolder.begin(path, parse_study(STUDY, Path(), "study"), torch.device("cpu"))
    return path


def test_report_of_an_unfinished_study_begins_with_its_runs(begun: Path) -> None:
    html = report(begun).report.read_text(encoding="utf-8")
    assert '<h1 id="answer-title">So far: 0 of 4 runs. There is no verdict on distillation (kd)' in html
    assert "Not finished: 0 of 4 runs" in html


def test_commands_state_the_runs_of_an_unfinished_study(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["report", str(begun)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("So far: 0 of 4 runs. There is no verdict on distillation (kd)")
    assert "\nNothing was tuned: " in printed and "\nso far: 0 of 4 runs\n" in printed
    assert printed.index("Nothing was tuned") < printed.index("0 runs done, 0 failed, 4 still open")
    assert execute(["status", str(begun)]) == 0
    assert "so far: 0 of 4 runs" in capsys.readouterr().out
    assert execute(["status", str(begun), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["so_far"] == "0 of 4 runs"


def test_plan_of_few_seeds_states_that_there_is_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.yaml").write_text(json.dumps(STUDY), encoding="utf-8")
    assert execute(["plan", str(tmp_path / "study.yaml")]) == 0
    assert "no verdict below 5 pairs" in " ".join(capsys.readouterr().out.split())
