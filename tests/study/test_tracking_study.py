"""Tracking as a study: plan, training of networks for tracking, two transfers, results and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.artefacts import LOGITS, load_logits
from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from support.mot_folders import drawn_sequence, write_sequence
from support.studies import rows_of
from support.systems import refusal_of_plan, run_by_command, small_form

NAME = "tracking"
DRAWN = {
    "source": "drawn_tracks",
    "sequences": 2,
    "tested": 2,
    "frames": 12,
    "walkers": 3,
    "resolution": 48,
    "val": 0.2,
}
UNMASKED = {"foreground_soft_labels": {"mask": "none"}}


def small(**changes: Any) -> dict[str, Any]:
    """Return the study of pedestrians with few steps of small networks on drawn walkers."""
    values = small_form(NAME, seeds=1, steps=4, data=DRAWN, evidence={"probes": 0})
    values["teacher"]["model"] = "fairmot_resnet_m"
    return {**values, **changes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The small form, run by the command line."""
    return run_by_command(tmp_path_factory.mktemp("tracking"), small())


def test_students_are_judged_by_detections_and_tracks(folder: StudyFolder) -> None:
    rows = rows_of(folder)
    assert len(rows) == 4 and len({row["method"] for row in rows}) == 4
    for row in rows:
        assert row["status"] == "done" and row["params"] < 0.5e6 and row["macs"] > 0
        for name in ("ap50", "ap50_selected", "map", "idf1", "hota", "deta", "assa", "teacher_ap50"):
            assert 0 <= row[name] <= 1, name
        assert row["mota"] <= 1 and row["id_switches"] >= 0
    assert {row["metric"] for row in read_rows(folder.effects_file)} >= {"ap50", "mota", "idf1", "hota"}


def test_identities_are_no_part_of_a_student_but_their_embeddings_are(folder: StudyFolder) -> None:
    with folder.ledger() as ledger:
        cells = [cell for cell in ledger.cells() if cell.run]
    for cell in cells:
        stored = load_logits(folder.store.folder("student", cell.run_id) / LOGITS)["test.last"]
        assert stored.shape == (24, 3800) and np.isfinite(stored).all()
    params = {row["params"] for row in rows_of(folder)}
    assert len(params) == 1, "classifiers of identities and connectors are not counted as the student's"


def test_the_report_names_the_metrics_and_states_what_it_does_not_show(folder: StudyFolder) -> None:
    page = folder.report_file.read_text()
    assert "AP50" in page and "IDF1" in page and "HOTA" in page


def test_training_finds_drawn_walkers(tmp_path: Path) -> None:
    """The whole road at once: boxes that were moved or decoded wrongly would leave nothing to be found."""
    values = small(methods=["ce"], teacher={"model": "fairmot_resnet_s", "recipe": {"steps": 2}})
    values["data"] = {**DRAWN, "frames": 20, "sequences": 4, "camera": 0.0}
    values["recipe"] = {**values["recipe"], "steps": 120, "lr": 0.004}
    [row] = rows_of(run_by_command(tmp_path, values))
    assert row["ap50"] > 0.3 and row["idf1"] > 0.2


def test_folders_of_motchallenge_are_studied_like_drawn_sequences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sequence(tmp_path / "one", drawn_sequence(frames=12, resolution=48), "mot17")
    values = small(methods=["ce"], teacher={"model": "fairmot_resnet_s"})
    values["data"] = {"source": "mot", "path": str(tmp_path / "one"), "test": 0.4, "gap": 1}
    [row] = rows_of(run_by_command(tmp_path, values))
    assert row["status"] == "done" and row["n_train"] == 5 and row["n_test"] == 5
    assert "All test frames are of one sequence" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"task": "classification"}, "the task classification learns from labels, and the data hold tracks"),
        (
            {"students": ["fcos_resnet_s"]},
            "students: the task tracking needs networks for tracking (allowed: ",
        ),
        ({"teacher": {"model": "fcos_resnet_s"}}, "teacher: the task tracking needs networks for tracking"),
        ({"students": ["fairmot_resnet_s@32"]}, "is made of detectors, whose boxes are not averaged"),
        ({"methods": ["ce", "dkd"]}, "method dkd is defined for classification alone, not for tracking"),
        (
            {"factors": {"size": [4, 8]}},
            "needs one class per example, and these have tracks (task: tracking)",
        ),
        ({"task": "detection"}, "students: the task detection needs detectors"),
        (
            {"data": {"source": "drawn_boxes", "images": 20, "test_images": 8, "resolution": 48}},
            "the task tracking learns from tracks, and the data hold boxes",
        ),
        (
            {
                "data": {"source": "drawn_boxes", "images": 20, "test_images": 8, "resolution": 48},
                "task": "detection",
                "students": ["fcos_resnet_s"],
                "teacher": {"model": "fcos_resnet_s"},
            },
            "method attention_guided is defined for tracking alone, not for detection",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_is_not_for_tracking_is_refused_in_one_line(
    changes: dict[str, Any], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refusal_of_plan(tmp_path, small(**changes), capsys)


@pytest.mark.real
def test_the_study_of_pedestrians_runs_on_them(real_data: Path, tmp_path: Path) -> None:
    values = small_form(NAME, seeds=1, steps=2, methods=["ce"])
    values["data"] = {**values["data"], "path": str(real_data / "mot" / "PETS09-S2L1"), "resolution": 64}
    values["teacher"]["model"] = "fairmot_resnet_s"
    [row] = rows_of(run_by_command(tmp_path, values))
    assert row["n_train"] == 360 and row["n_test"] == 350
