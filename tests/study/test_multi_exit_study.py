"""The system of students with exits: its study in a small form, from data to report and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from scipy.special import softmax

from distillab.artefacts import LOGITS, WEIGHTS, RunRecord, load_logits
from distillab.cli import execute
from distillab.deploy import export_run, load_model
from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from distillab.tasks.arrays import Logits
from support.studies import rows_of
from support.systems import refusal_of_plan, small_form, write_cifar100

NAME = "multi-exit-alexnet"
FLAT = """
from torch import nn


def flat(classes, channels, resolution):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * resolution**2, classes))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The small form of the study, run by the command line."""
    base = tmp_path_factory.mktemp("exits")
    write_cifar100(base / "data")
    file = base / "study.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILLAB_DATA", str(base / "data"))
        values = small_form(NAME, factors={"size": [8]})
        values["data"] = {**values["data"], "classes": 4, "resolution": 16, "val": 0.25}
        file.write_text(yaml.safe_dump(values))
        command = ["run", str(file), "--out", str(base / "out"), "--executor", "inline", "--device", "cpu"]
        assert execute(command) == 0
    return StudyFolder.open(base / "out")


@pytest.fixture(scope="module")
def exits(folder: StudyFolder) -> list[dict[str, Any]]:
    return read_rows(folder.exits_file)


def run_of(folder: StudyFolder, method: str) -> str:
    [found] = {row["run_id"] for row in rows_of(folder) if row["method"] == method}
    return str(found)


def record_of(folder: StudyFolder, method: str) -> RunRecord:
    return folder.store.run_record("student", run_of(folder, method))


def probabilities(logits: Logits) -> Logits:
    """Return the softmax; files of ONNX give its logarithm."""
    return np.asarray(softmax(logits.astype(np.float64), axis=1))


def test_every_exit_is_measured(exits: list[dict[str, Any]]) -> None:
    methods = {row["method"] for row in exits}
    assert methods == {"exits", "exits(vote=True)", "tskd", "tskd(vote=True)"}
    for method in methods:
        mine = [row for row in exits if row["method"] == method]
        assert [row["exit"] for row in mine] == ["exit 1", "exit 2", "exit 3", "vote"]
        assert all(row["params"] > 0 and row["macs"] > 0 and 0 <= row["score"] <= 1 for row in mine)
        assert mine[-1]["params"] > mine[2]["params"] and mine[-1]["macs"] > mine[2]["macs"]


@pytest.mark.parametrize(("method", "exit"), [("tskd", "exit 3"), ("tskd(vote=True)", "vote")])
def test_results_are_those_of_the_exit_that_answers(
    folder: StudyFolder, exits: list[dict[str, Any]], method: str, exit: str
) -> None:
    [row] = [row for row in rows_of(folder) if row["method"] == method]
    [found] = [each for each in exits if (each["method"], each["exit"]) == (method, exit)]
    assert row["accuracy"] == found["score"] and row["macs"] == found["macs"]
    whole = next(each["params"] for each in exits if each["exit"] == "vote")
    assert row["params"] == whole, "the exits stay, and count"


@pytest.mark.parametrize("method", ["exits", "tskd"])
def test_a_vote_changes_the_answer_and_not_the_training(folder: StudyFolder, method: str) -> None:
    last, vote = (run_of(folder, name) for name in (method, f"{method}(vote=True)"))
    weights = [load_file(folder.store.folder("student", run) / WEIGHTS) for run in (last, vote)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    logits = [load_logits(folder.store.folder("student", run) / LOGITS)["test.last"] for run in (last, vote)]
    assert not np.array_equal(*logits)


def test_dropped_exits_are_no_exits(folder: StudyFolder) -> None:
    plain, dropped = record_of(folder, "ce"), record_of(folder, "multi_exit")
    assert dropped.exits is None and dropped.model == "alexnet_dsc"
    assert (dropped.params, dropped.macs) == (plain.params, plain.macs)


def test_records_with_exits_are_read_as_written(folder: StudyFolder) -> None:
    record = record_of(folder, "exits(vote=True)")
    assert record.model == "vote(alexnet_dsc)" and record.exits and record.exits[-1].name == "vote"
    assert RunRecord.from_dict(record.as_dict()) == record


def test_the_report_shows_exits(folder: StudyFolder) -> None:
    page = folder.report_file.read_text()
    assert 'id="exits-plot"' in page and "Exits of the students" in page


@pytest.mark.parametrize("method", ["exits", "tskd(vote=True)"])
def test_students_with_exits_are_exported(folder: StudyFolder, tmp_path: Path, method: str) -> None:
    run = run_of(folder, method)
    exported = export_run(folder, run, tmp_path / "model", formats=["safetensors", "onnx"])
    assert exported.checks.passed and exported.checks.stored["differing"] == 0.0
    test = folder.dataset.eval["test"]
    stored = load_logits(folder.store.folder("student", run) / LOGITS)["test.last"]
    for file in ("model.safetensors", "model.onnx"):
        logits = load_model(tmp_path / "model" / file).logits(test)
        np.testing.assert_allclose(probabilities(logits), probabilities(stored), atol=0.005)


@pytest.mark.parametrize("method", ["exits", "tskd"])
def test_a_network_without_stages_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_cifar100(tmp_path)))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "flat_network.py").write_text(FLAT)
    values = small_form(NAME, factors={}, students=["flat_network:flat"], methods=[method], evidence={})
    values["data"] = {**values["data"], "classes": 4, "val": 0.25}
    line = refusal_of_plan(tmp_path, values, capsys, "--allow-code")
    assert f"method {method} needs" in line and "allowed" in line


def test_a_network_with_exits_is_no_student_of_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_cifar100(tmp_path)))
    values = small_form(NAME, students=["vote(alexnet_dsc)"])
    line = refusal_of_plan(tmp_path, values, capsys)
    assert "is what a method makes of a student" in line
