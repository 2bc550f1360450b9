"""Detection as a study: plan, training of detectors, distillation of the pyramid, results and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.artefacts import LOGITS, load_logits
from distillab.cli import execute
from distillab.data.boxes import Boxes
from distillab.evidence.orbits import has_orbits
from distillab.evidence.schema import read_rows
from distillab.report.collect.detections import detections_view
from distillab.study.folder import StudyFolder
from support.box_files import write_coco
from support.studies import rows_of
from support.systems import refusal_of_plan, run_by_command, small_form

NAME = "blood-cells-detection"
DRAWN = {"source": "drawn_boxes", "images": 40, "test_images": 12, "resolution": 64, "val": 0.2}


def small(**changes: Any) -> dict[str, Any]:
    """Return the study of blood cells with few steps of small networks on drawn shapes."""
    values = small_form(NAME, seeds=2, steps=8, data=DRAWN)
    values["teacher"]["model"] = "fcos_resnet_s"
    return {**values, "students": ["fcos_dwnet_s"], "methods": ["ce", "cosine_guided", "kd"], **changes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The small form, run by the command line."""
    values = small()
    values["evidence"] = {"probes": 0}
    return run_by_command(tmp_path_factory.mktemp("detection"), values)


def test_students_are_judged_by_average_precision(folder: StudyFolder) -> None:
    rows = rows_of(folder)
    assert {row["method"] for row in rows} == {"ce", "cosine_guided", "kd"} and len(rows) == 6
    for row in rows:
        assert row["status"] == "done" and row["params"] > 0 and row["macs"] > 0
        for name in ("ap50", "ap50_selected", "map", "ap75", "recall", "worst_class_ap50", "teacher_ap50"):
            assert 0 <= row[name] <= 1, name
        assert 0 <= row["agreement"] <= 1
    assert {row["metric"] for row in read_rows(folder.effects_file)} >= {"ap50", "map", "worst_class_ap50"}
    by_class = [row for row in read_rows(folder.labels_file) if row["method"] == "ce"]
    assert {row["label"] for row in by_class} == {"disc", "square", "ring"}


@pytest.mark.parametrize("task", ["detection", "classification"])
def test_alignment_over_orbits_is_of_whole_images(task: str, folder: StudyFolder) -> None:
    recipe = folder.spec.recipe.model_copy(update={"views": "dihedral"})
    spec = folder.spec.model_copy(update={"recipe": recipe, "task": task})
    assert has_orbits(spec) == (task == "classification")


def test_a_hundred_boxes_per_test_image_are_stored(folder: StudyFolder) -> None:
    with folder.ledger() as ledger:
        cells = [cell for cell in ledger.cells() if cell.run]
    stored = {
        (cell.method, cell.seed): load_logits(folder.store.folder("student", cell.run_id) / LOGITS)
        for cell in cells
    }
    for values in stored.values():
        assert values["test.last"].shape == (12, 600) and np.isfinite(values["test.last"]).all()
    assert not np.array_equal(stored["ce", 0]["test.last"], stored["kd", 0]["test.last"])


def test_the_report_names_the_metric_and_states_what_it_does_not_show(folder: StudyFolder) -> None:
    page = folder.report_file.read_text()
    assert "AP50" in page and "average precision at an overlap of 0.5" in page
    assert "Neither the calibration of confidences nor the kinds of mistakes are judged" in page


def test_the_report_draws_boxes_of_teacher_and_students_beside_the_objects(folder: StudyFolder) -> None:
    view = detections_view(folder)
    assert view is not None and 2 <= len(view.images) <= 4
    test = folder.dataset.eval["test"].targets
    assert isinstance(test, Boxes)
    for image in view.images:
        names = [tile.network for tile in image.tiles]
        assert names == ["ground truth", "teacher", "plain student (ce)", "cosine_guided", "kd"]
        values = test.values[int(image.name.split()[-1])]
        assert [box.label for box in image.tiles[0].boxes] == values[values[:, 0] >= 0][:, 0].tolist()
        for tile in image.tiles[1:]:
            assert all(box.confidence is not None and box.confidence >= view.least for box in tile.boxes)
    page = folder.report_file.read_text()
    assert page.count('<svg class="boxes"') == 5 * len(view.images)
    assert page.count('<image id="found-') == len(view.images)  # embedded once per row


def test_curves_have_the_area_that_the_tables_state(folder: StudyFolder) -> None:
    view = detections_view(folder)
    assert view is not None
    rows = read_rows(folder.labels_file)
    for shown in view.classes:
        assert [arm.name for arm in shown.arms] == ["teacher", "plain student (ce)", "cosine_guided", "kd"]
        for arm, method in zip(shown.arms[1:], ("ce", "cosine_guided", "kd"), strict=True):
            scores = [row["score"] for row in rows if (row["label"], row["method"]) == (shown.name, method)]
            assert arm.runs == len(scores) == 2
            assert arm.ap50 == pytest.approx(np.mean(scores))
            assert np.mean(arm.curve) == pytest.approx(np.mean(scores), abs=1e-4)


def test_a_finished_study_is_not_run_again(folder: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    study = folder.path / "study.yaml"
    before = {row["run_id"] for row in rows_of(folder)}
    assert (
        execute(["run", str(study), "--out", str(folder.path), "--executor", "inline", "--device", "cpu"])
        == 0
    )
    assert {row["run_id"] for row in rows_of(folder)} == before


def test_a_student_is_exported_and_finds_the_boxes_of_its_study(
    folder: StudyFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = next(row for row in rows_of(folder) if (row["method"], row["seed"]) == ("kd", 1))
    out = tmp_path / "shipped"
    command = ["export", str(folder.path), row["run_id"], "--format", "safetensors,onnx", "--out", str(out)]
    assert execute(command) == 0
    checks = json.loads((out / "checks.json").read_text())
    assert checks["passed"] and checks["stored_outputs"]["differing"] < 0.01
    assert all(gate["examples"] == len(folder.dataset.val) for gate in checks["gates"])
    card = (out / "README.md").read_text()
    assert "Distilled by `kd`" in card and "**Against the teacher** (`fcos_resnet_s`)" in card
    capsys.readouterr()
    data = ["drawn_boxes", "--set", "images=40", "--set", "test_images=12"]
    assert execute(["evaluate", str(out / "model.onnx"), *data, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["examples"]) == ("test", 12)
    for name in ("ap50", "map", "recall"):
        assert found[name] == pytest.approx(row[name], abs=0.02), name  # stored boxes are rounded


def test_training_finds_drawn_shapes(tmp_path: Path) -> None:
    """The whole road at once: boxes that were moved or decoded wrongly would leave nothing to be found."""
    values = small(methods=["ce"], students=["fcos_resnet_s"], seeds=1, teacher={"model": "fcos_dwnet_s"})
    values["data"] = {**DRAWN, "images": 64, "most": 1, "noise": 5.0}
    values["recipe"] = {**values["recipe"], "steps": 90, "lr": 0.004}
    values["evidence"] = {"probes": 0}
    [row] = rows_of(run_by_command(tmp_path, values))
    assert row["ap50"] > 0.2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"task": "classification"}, "the task classification learns from labels, and the data hold boxes"),
        (
            {"students": ["resnet8"]},
            "students: the task detection needs detectors (allowed: fcos_dwnet_m, fcos_dwnet_s,",
        ),
        ({"students": ["fcos_resnet_s@32"]}, "is made of detectors, whose boxes are not averaged, resized"),
        ({"methods": ["ce", "dkd"]}, "method dkd is defined for classification alone, not for detection"),
        (
            {"methods": ["ce", "pkt"]},
            "method pkt needs an embedding, and the student ends in no linear layer",
        ),
        ({"methods": ["ce", "crld"]}, "compares strong views, which cannot move boxes with the pixels"),
        ({"recipe": {"views": ["flip", "rand_augment"]}}, "rand_augment cannot move boxes with the pixels"),
        (
            {"recipe": {"sampler": "balanced"}},
            "balanced needs one class per example, and the targets are boxes",
        ),
        ({"factors": {"imbalance": [1, 10]}}, "boxes"),
        ({"factors": {"size": [4, 8]}}, "boxes"),
        (
            {"students": ["fcos_dwnet_s"], "teacher": {"model": "retinanet_dwnet_s"}},
            "compares outputs cell by cell",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_detectors_cannot_do_is_refused_in_one_line(
    changes: dict[str, Any], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**small(), "evidence": {"probes": 0}}
    values.update({key: value for key, value in changes.items() if key != "recipe"})
    values["recipe"] = {**values["recipe"], **changes.get("recipe", {})}
    refused = refusal_of_plan(tmp_path, values, capsys)
    assert line in refused


def test_detectors_serve_no_other_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {**small(), "evidence": {"probes": 0}, "task": "classification"}
    values["data"] = {"source": "shapes", "images": 8, "test_images": 4, "resolution": 32}
    refused = refusal_of_plan(tmp_path, values, capsys)
    assert "a detector cannot serve the task classification (allowed: task: detection, or another" in refused


def test_a_test_set_without_objects_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coco(tmp_path)
    annotations = tmp_path / "cells" / "annotations" / "instances_test2017.json"
    annotations.write_text(json.dumps({**json.loads(annotations.read_text()), "annotations": []}))
    values = {
        **small(),
        "evidence": {"probes": 0},
        "data": {"source": "coco", "path": "cells", "resolution": 64},
    }
    assert "no image of test has an object" in refusal_of_plan(tmp_path, values, capsys)


@pytest.mark.parametrize("name", [NAME, "mskd-detection", "mskd-detection-stages"])
def test_studies_of_blood_cells_run_on_drawn_boxes(name: str, tmp_path: Path) -> None:
    values = small_form(name, data=DRAWN)
    values["evidence"] = {**values.get("evidence", {}), "probes": 0}
    rows = rows_of(run_by_command(tmp_path, values))
    students = values["students"]
    assert len(rows) == len(values["methods"]) * len(students)
    assert all(row["status"] == "done" for row in rows)
    # What methods train beside a student is not a part of it.
    assert len({(row["params"], row["macs"]) for row in rows}) == len(students)


@pytest.mark.real
def test_the_study_of_blood_cells_runs_on_them(real_data: Path, tmp_path: Path) -> None:
    values = small_form(NAME, seeds=1, steps=2)
    path = real_data / "bccd"
    values["data"] = {**values["data"], "path": str(path), "resolution": 64}
    values["teacher"]["model"] = "fcos_resnet_s"
    folder = run_by_command(tmp_path, values)
    assert all(row["n_train"] == 205 and row["n_test"] == 72 for row in rows_of(folder))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"explain": {}}, "explain: attribution maps are about the class of a whole image"),
        (
            {"teacher": {"model": "fcos_resnet_s", "weights": "w.safetensors", "provenance": "external"}},
            "teacher: a detector is not taken from a file (allowed: a teacher that the study trains",
        ),
        (
            {"methods": ["ce", "kd"], "teacher": {"models": ["fcos_resnet_s", "fcos_resnet_m"]}},
            "is made of detectors, whose boxes are not averaged",
        ),
    ],
    ids=["maps", "weights", "ensemble"],
)
def test_what_only_classifiers_have_is_refused(
    changes: dict[str, Any], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    assert line in refusal_of_plan(tmp_path, {**small(), "evidence": {"probes": 0}, **changes}, capsys)


def test_boxes_are_for_studies_alone(
    folder: StudyFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["drawn_boxes", "--set", "images=20", "--set", "test_images=10", "--set", "resolution=32"]
    for command in (
        ["profile", *data],
        ["advise", *data, "--student", "fcos_dwnet_s"],
        ["distill", *data, "--student", "fcos_dwnet_s", "--out", str(tmp_path / "shipped")],
    ):
        assert execute(command) == 2
        [line] = [each for each in capsys.readouterr().err.splitlines() if each.startswith("distillab: ")]
        assert "boxes" in line


def test_a_student_starts_from_a_classifier_of_another_study(tmp_path: Path) -> None:
    first = {
        "study": "backbone",
        "data": {"source": "digits", "classes": 4, "resolution": 32, "channels": 3},
        "teacher": {"model": "groupnorm_resnet_s", "provenance": "full"},
        "students": ["groupnorm_resnet_s"],
        "methods": ["ce"],
        "seeds": 1,
        "recipe": {"steps": 4, "batch_size": 8},
    }
    (tmp_path / "first").mkdir()
    trained = run_by_command(tmp_path / "first", first)
    [run] = (row["run_id"] for row in rows_of(trained))
    start = {"run": str(trained.path), "id": run}
    values = small(students=["fcos_resnet_s", {"model": "fcos_resnet_s", "start": start}])
    values["evidence"] = {"probes": 0}
    rows = rows_of(run_by_command(tmp_path, values))
    assert {row["student"] for row in rows} == {"fcos_resnet_s", f"fcos_resnet_s(start=run {run[:8]})"}
    assert len({(row["params"], row["macs"]) for row in rows}) == 1
    assert all(row["status"] == "done" for row in rows)
