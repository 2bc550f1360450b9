"""The system of symmetric views and ensembles: its study in a small form, from data to report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from distillab.artefacts import LOGITS, load_logits
from distillab.cli import execute
from distillab.evidence.alignment import linear_cka, orbit_cosine
from distillab.evidence.orbits import alignment_rows, embeddings_of
from distillab.evidence.schema import read_rows
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from distillab.study.job import OutputsJob
from support.studies import rows_of
from support.systems import refusal_of_plan, run_by_command, small_form

NAME = "remote-sensing"
LEVEL = "factor.teacher_capacity"
LEVELS = ["resnet8", "orbit(resnet8)", "greedy(resnet8+convnet3)", "orbit(greedy(resnet8+convnet3))"]


def write_eurosat(
    folder: Path, *, classes: int = 3, each: int = 16, size: tuple[int, int] = (16, 16)
) -> Path:
    """Write drawn images as ``eurosat/CLASS/CLASS_N.jpg`` has them, and return the folder."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        place = folder / "eurosat" / f"Class{label}"
        place.mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(0, 40, (16, 16, 3)) + 60 * label
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"Class{label}_{number}.jpg")
    return folder


def small(**changes: Any) -> dict[str, Any]:
    values = small_form(NAME, students=["convnet3"], **changes)
    values["teacher"]["model"] = "resnet8"
    values["data"] = {**values["data"], "resolution": 16, "test": 0.25, "val": 0.25}
    return {**values, "factors": {"teacher_capacity": LEVELS, "size": [6], **changes.get("factors", {})}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The small form of the study, run by the command line."""
    base = tmp_path_factory.mktemp("remote")
    write_eurosat(base)
    return run_by_command(base, small())


def test_each_teacher_teaches_and_the_plain_student_is_one(folder: StudyFolder) -> None:
    rows = rows_of(folder)
    assert [row[LEVEL] for row in rows if row["method"] == "kd"] == LEVELS
    assert len({row["run_id"] for row in rows if row["method"] == "ce"}) == 1, "with the same views"
    assert len({row["run_id"] for row in rows if row["method"] == "kd"}) == len(LEVELS)
    differences = read_rows(folder.level_effects_file)
    assert {row["level"] for row in differences if row["metric"] == "accuracy"} >= set(LEVELS[1:])


def test_networks_are_trained_once_for_all_levels(folder: StudyFolder) -> None:
    with folder.ledger() as ledger:
        jobs = [folder.job(name) for name in ledger.states()]
    models = sorted(job.model for job in jobs if job.kind == "teacher")
    assert models == sorted(["resnet8", "convnet3", *LEVELS[1:]])


def test_orbit_outputs_take_one_query_per_image(folder: StudyFolder) -> None:
    with folder.ledger() as ledger:
        cells = ledger.cells()
    for cell in cells:
        if not cell.outputs or not str(cell.levels["teacher_capacity"]).startswith("orbit"):
            continue
        job = folder.job(cell.outputs)
        assert isinstance(job, OutputsJob)
        record = folder.store.folder("outputs", cell.outputs) / "record.json"
        assert yaml.safe_load(record.read_text())["asked"] == 6 * 3


def test_outputs_of_an_orbit_are_those_of_no_single_view(folder: StudyFolder) -> None:
    with folder.ledger() as ledger:
        outputs = {
            cell.levels["teacher_capacity"]: str(cell.outputs) for cell in ledger.cells() if cell.outputs
        }
    places = [folder.store.folder("outputs", outputs[name]) / LOGITS for name in LEVELS[:2]]
    assert not np.allclose(*(load_logits(place)["test"] for place in places), atol=1e-3)


def test_the_report_shows_orbits(folder: StudyFolder) -> None:
    page = folder.report_file.read_text()
    assert "four quarter turns" in page and page.count("This factor has no manipulation check") == 0


def test_alignment_is_written_for_every_student(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read_rows(folder.alignment_file)
    taught = [row for row in found if row["method"] == "kd"]
    assert [row[LEVEL] for row in taught] == LEVELS
    plain = [row for row in found if row["method"] == "ce"]
    assert [row["teacher_run"] for row in plain] == [row["teacher_run"] for row in taught]
    assert {row["n_images"] for row in found} == {len(folder.dataset.eval["test"])}
    assert all(0 <= row["cka"] <= 1 and -1 <= row["cosine"] <= 1 for row in found)
    spread = {row[LEVEL]: row["teacher_spread"] for row in taught}
    assert spread["orbit(resnet8)"] == spread["orbit(greedy(resnet8+convnet3))"] == 0
    page = folder.report_file.read_text()
    assert 'id="alignment-table"' in page and "CKA" in page
    assert execute(["report", str(folder.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["alignment"] == found


def test_alignment_that_is_known_is_not_computed_again(folder: StudyFolder) -> None:
    [first, *_] = alignment_rows(folder, images=4)
    known = (first["run_id"], first["teacher_run"], 4), first | {"cka": 0.5}
    [again, *others] = alignment_rows(folder, images=4, known=dict([known]))
    assert again["cka"] == 0.5
    assert all(row["cka"] != 0.5 for row in others)


def test_a_student_is_aligned_with_itself(folder: StudyFolder) -> None:
    items = torch.rand(3, 8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    network = build_model("resnet8", classes=3, inputs=InputSpec(3, 16, 16)).eval()
    embeddings, logits = embeddings_of(network, "resnet8", items)
    assert embeddings.shape[0] == 3 * 8 and logits.shape == (3, 8, 3)
    assert linear_cka(embeddings, embeddings) == pytest.approx(1)
    assert orbit_cosine(logits, logits) == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": {"teacher_capacity": ["resnet8", "greedy(resnet8)"]}}, "at least two networks"),
        ({"methods": ["ce", "fitnet"]}, "method fitnet needs a teacher's maps"),
    ],
)
def test_wrong_requests_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_eurosat(tmp_path)))
    line = refusal_of_plan(tmp_path, {**small(**changes), "evidence": {}}, capsys)
    assert message in line
