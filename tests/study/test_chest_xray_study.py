"""The system of explainable chest X-rays: its study in a small form, from data to report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from distillab.cli import execute
from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from support.contributions import metrics_over_examples
from support.radiographs import write_cxr14
from support.studies import rows_of
from support.systems import refusal_of_plan, run_by_command, small_form

NAME, LEVEL = "chest-xray-teachers", "factor.teacher_capacity"
LEVELS = ["resnet8", "mean(resnet8+vit_mini)"]
ATTRIBUTIONS = ("grad_cam", "occlusion")


def small(**changes: Any) -> dict[str, Any]:
    values = small_form(NAME, seeds=2, steps=4, **changes)
    values["teacher"]["model"] = "resnet8"
    values["data"] = {**values["data"], "resolution": 16}
    values["task"] = {**values["task"], "min_positives": 3, **changes.get("task", {})}
    values["explain"] = {**values["explain"], "images": 3}
    return {**values, "factors": {"teacher_capacity": LEVELS}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xrays")
    return write_cxr14(folder, small()["data"]["labels"])


@pytest.fixture(scope="module")
def folder(base: Path) -> StudyFolder:
    """The small form of the study, run by the command line."""
    return run_by_command(base, small())


def test_several_teachers_teach_one_student(folder: StudyFolder) -> None:
    rows = rows_of(folder)
    assert {row[LEVEL] for row in rows if row["method"] == "kd"} == set(LEVELS)
    assert {row["student"] for row in rows} == {"eeea_mini"}
    assert len({row["run_id"] for row in rows if row["method"] == "ce"}) == 2, "the plain one is one per seed"
    for row in rows:
        assert 0 <= row["macro_auc"] <= 1
        assert 0 <= row["macro_auc_positive"] <= 1
        assert row["macro_auc"] != row["macro_auc_positive"]


def test_no_patient_is_on_two_sides(folder: StudyFolder) -> None:
    data = folder.dataset
    sides = [
        set((split.groups if split.groups is not None else np.empty(0)).tolist())
        for split in (data.train, data.val, data.eval["test"])
    ]
    assert all(sides)
    assert not (sides[0] & sides[1] or (sides[0] | sides[1]) & sides[2])


def test_gains_and_their_differences_have_intervals(folder: StudyFolder) -> None:
    effects = read_rows(folder.effects_file)
    for metric in ("macro_auc", "macro_auc_positive"):
        mine = [row for row in effects if row["metric"] == metric and row["baseline"] == "ce"]
        assert {row[LEVEL] for row in mine} == set(LEVELS)
        assert all(row["ci_low"] <= row["gain"] <= row["ci_high"] for row in mine)
    drawn = [row for row in effects if row["metric"] in ("macro_auc", "macro_auc_positive")]
    assert all(row["ci_low"] <= row["ci_low_same_test"] for row in drawn), "new patients are drawn as well"
    assert all(row["ci_low_same_runs"] is not None for row in drawn)
    assert metrics_over_examples(folder) == {"macro_auc", "macro_auc_positive"}
    differences = read_rows(folder.level_effects_file)
    assert {row["level"] for row in differences if row["metric"] == "macro_auc"} >= set(LEVELS[1:])


def test_students_are_explained_before_and_after_distilling(folder: StudyFolder) -> None:
    rows = read_rows(folder.explanations_file)
    assert {(row["method"], row[LEVEL], row["attribution"]) for row in rows} >= {
        ("kd", level, name) for level in LEVELS for name in ATTRIBUTIONS
    }
    gains = read_rows(folder.explanation_gains_file)
    agreement = [row for row in gains if row["measure"] == "iou"]
    assert {(row[LEVEL], row["attribution"]) for row in agreement} == {
        (level, name) for level in LEVELS for name in ATTRIBUTIONS
    }
    assert all(row["n_boxed"] is None for row in rows), "this table has no boxes"


def test_rare_label_is_named_in_the_report(folder: StudyFolder) -> None:
    page = (folder.path / "report.html").read_text()
    assert "left out of metrics over labels: 1, &#39;Pleural_Thickening&#39;" in page
    assert "Macro AUC (with a label)" in page


def test_images_without_any_finding_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cxr14(tmp_path, labels := small()["data"]["labels"], patients=20)
    file = tmp_path / "cxr14" / "labels.csv"
    header, *lines = file.read_text().splitlines()
    healthy = [",".join([*line.split(",")[: -len(labels)], *["0"] * len(labels)]) for line in lines]
    file.write_text("\n".join([header, *healthy]))
    values = small()
    values["data"] |= {"path": str(file), "root": str(file.parent / "images")}
    assert "no example has a class or a label" in refusal_of_plan(tmp_path, values, capsys)


def test_threshold_that_no_label_reaches_is_one_line(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(base))
    (base / "strict.yaml").write_text(yaml.safe_dump(small(task={"name": "multilabel", "min_positives": 99})))
    assert execute(["plan", str(base / "strict.yaml")]) == 2
    printed = capsys.readouterr().err
    assert "task: min_positives: no label has 99 examples in test that have it" in printed
    assert len(printed.splitlines()) == 1
