"""A run of a study becomes a folder to ship."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import distillab
from distillab.artefacts import LOGITS, load_logits
from distillab.cli import execute
from distillab.deploy import Exported, export_run, find_run, load_model
from distillab.deploy.files import writing_folder
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from support.source_tree import ROOT
from support.studies import rows_of


def best_run(folder: StudyFolder) -> str:
    scores = {
        row["run_id"]: folder.store.run_record("student", row["run_id"]).curve[-1].val_accuracy
        for row in rows_of(folder)
    }
    return max(scores, key=lambda run: scores[run])


def test_best_run_on_val_is_exportable(exported_run: Exported, study_folder: StudyFolder) -> None:
    config = json.loads((exported_run.folder / "config.json").read_text())
    assert config["facts"]["run_id"] == best_run(study_folder)
    assert exported_run.checks.passed and exported_run.checks.not_written == {}
    assert exported_run.checks.stored["differing"] == 0.0
    assert exported_run.checks.preprocessing == {"files": 16, "differing": 0}


def test_outputs_are_those_that_the_study_stored(exported_run: Exported, study_folder: StudyFolder) -> None:
    run = best_run(study_folder)
    stored = load_logits(study_folder.store.folder("student", run) / LOGITS)["test.last"]
    test = study_folder.dataset.eval["test"]
    logits = load_model(exported_run.folder / "model.safetensors").logits(test)
    np.testing.assert_allclose(logits, stored, atol=0.02)


def test_answer_names_the_run(study_folder: StudyFolder) -> None:
    other = next(row["run_id"] for row in rows_of(study_folder) if row["run_id"] != best_run(study_folder))
    answer = study_folder.path / "answer.json"
    answer.write_text(json.dumps({"run_id": other}))
    try:
        assert find_run(study_folder, None).job.id == other
    finally:
        answer.unlink()
    assert find_run(study_folder, None).job.id == best_run(study_folder)


def test_run_is_named_by_the_beginning_of_its_id(study_folder: StudyFolder) -> None:
    run = best_run(study_folder)
    assert find_run(study_folder, run[:10]).job.id == run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{study}", "nosuchrun"], "no run 'nosuchrun' (allowed: "),
        (["{study}", "--format", "tflite"], "unknown format 'tflite'"),
        (["{study}", "--format", ","], "--format: names no format (allowed: safetensors, onnx, int8, pt2)"),
        (["{study}", "--format", ""], "--format: names no format"),
        (["{study}", "--max-drop", "-1"], "--max-drop: -1 is no number of points"),
        (["{study}", "--out", "/proc/none/model"], "cannot be written"),
        (["{study}", "--out", "{study}"], "holds other files"),
        (["{study}", "--out", "{study}/study.yaml"], "is a file"),
        (["{study}/missing"], "missing"),
    ],
)
def test_wrong_request_is_one_line(
    arguments: list[str], message: str, study_folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [each.format(study=study_folder.path) for each in arguments]
    assert execute(["export", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_several_conditions_need_a_run(tmp_path: Path) -> None:
    from support.studies import begin, run_here

    folder = begin(tmp_path, seeds=1)
    run_here(folder)
    with pytest.raises(RequestError, match=r"RUN_ID: this study has 4 combinations .*size=5"):
        find_run(folder, None)


def test_study_that_has_not_run_has_nothing_to_export(tmp_path: Path) -> None:
    from support.studies import begin

    with pytest.raises(RequestError, match="no student of this study is done"):
        find_run(begin(tmp_path), None)


def test_export_replaces_an_exported_model(
    exported_run: Exported, study_folder: StudyFolder, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    export_run(study_folder, None, out, formats=["safetensors"])
    (out / "mine.txt").write_text("kept until the new model is complete")
    export_run(study_folder, None, out, formats=["safetensors"])
    assert not (out / "mine.txt").exists()
    assert distillab.load(out).classes == load_model(exported_run.folder).classes
    assert [each.name for each in tmp_path.iterdir()] == ["model"]  # no draft is left


def test_failed_export_leaves_the_old_model(tmp_path: Path) -> None:
    out = tmp_path / "model"
    with writing_folder(out) as draft:
        (draft / "config.json").write_text("old")
    with pytest.raises(KeyError), writing_folder(out) as draft:
        (draft / "config.json").write_text("new")
        raise KeyError
    assert (out / "config.json").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


KILLED = """
import sys, time
from pathlib import Path
from distillab.deploy import writer
from support.exported import describe, written
from support.source_tree import ROOT

def stop(draft, recipe):  # all files but the last are there
    print("ready", flush=True)
    time.sleep(60)

writer._write_config = stop
written(Path(sys.argv[1]), describe(), ["safetensors"])
"""


def test_killed_export_leaves_nothing_that_loads(tmp_path: Path) -> None:
    out = tmp_path / "model"
    paths = (str(ROOT / "tests"), os.environ.get("PYTHONPATH", ""))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    process = subprocess.Popen([sys.executable, "-c", KILLED, out], stdout=subprocess.PIPE, env=env)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    for draft in tmp_path.iterdir():
        with pytest.raises(RequestError, match=r"config\.json is missing"):
            load_model(draft)
