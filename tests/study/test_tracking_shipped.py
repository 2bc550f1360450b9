"""A study of tracking from training to what is shipped and shown."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distillab.artefacts import LOGITS, load_logits
from distillab.cli import execute
from distillab.data.tracks import Tracks
from distillab.report.collect.tracks import SHOWN_FRAMES, tracks_view
from distillab.report.contents.tracks import TracksView
from distillab.sources.drawn_tracks import DrawnTracks
from distillab.study.folder import StudyFolder
from distillab.tasks import Tracking
from distillab.tasks.track_matches import matched_frames
from distillab.tasks.tracking_metrics import follow_stored
from support.source_tree import ROOT
from support.studies import rows_of
from support.systems import run_by_command, small_form

DRAWN: dict[str, Any] = {
    "source": "drawn_tracks",
    "sequences": 4,
    "tested": 2,
    "frames": 26,
    "walkers": 4,
    "resolution": 64,
}
STEP = 5  # frames from one that is shown to the next, in sequences of 26


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of drawn walkers whose networks find some of them."""
    values = small_form("tracking", seeds=1, data=DRAWN, evidence={"probes": 0})
    values["teacher"]["model"] = "fairmot_resnet_m"
    values["methods"] = ["ce", "attention_guided"]
    values["recipe"] = {**values["recipe"], "steps": 60, "lr": 0.004, "views": "none"}
    return run_by_command(tmp_path_factory.mktemp("tracking"), values)


@pytest.fixture(scope="module")
def shipped(folder: StudyFolder) -> Path:
    """The exported student that has the best score on val."""
    out = folder.path.parent / "shipped"
    assert execute(["export", str(folder.path), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def view(folder: StudyFolder) -> TracksView:
    """The section of the report."""
    found = tracks_view(folder)
    assert found is not None
    return found


@pytest.mark.parametrize("file", ["model.safetensors", "model.onnx"])
def test_every_file_has_the_metrics_of_the_study(
    file: str, folder: StudyFolder, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["evaluate", str(shipped / file), "drawn_tracks", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    run = json.loads((shipped / "config.json").read_text())["facts"]["run_id"]
    [row] = [row for row in rows_of(folder) if row["run_id"] == run]
    assert found["examples"] == 2 * DRAWN["frames"] and found["metric"] == "ap50"
    assert row["ap50"] > 0.2  # walkers are found
    for name in ("ap50", "map", "mota", "idf1", "hota", "deta", "assa", "id_switches"):
        assert found[name] == pytest.approx(row[name], abs=0.01), name  # float16 is stored


def test_the_predicted_tracks_are_those_of_the_study(
    folder: StudyFolder, shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = DrawnTracks(**{key: value for key, value in DRAWN.items() if key != "source"})
    for number, pixels in enumerate(world.drawn("test", 0).pixels):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    assert execute(["predict", str(shipped), str(tmp_path)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    run = json.loads((shipped / "config.json").read_text())["facts"]["run_id"]
    stored = load_logits(folder.store.folder("student", run) / LOGITS)["test.last"]
    targets = folder.dataset.eval["test"].targets
    assert isinstance(targets, Tracks)
    first = next(targets.sequences())
    wanted = [follow_stored(stored, targets, Tracking().tracker)[position] for position in first]
    assert sum(len(line["boxes"]) for line in lines) > len(lines)
    for line, objects in zip(lines, wanted, strict=True):
        edges = {
            box["id"] - 1: [box[key] for key in ("left", "top", "right", "bottom")] for box in line["boxes"]
        }
        assert set(edges) == set(objects.identities.tolist())
        for identity, box in zip(objects.identities.tolist(), objects.boxes, strict=True):
            np.testing.assert_allclose(edges[identity], box, atol=0.1)


def test_the_report_shows_objects_teacher_and_students(folder: StudyFolder, view: TracksView) -> None:
    names = [strip.network for strip in view.strips]
    assert names == ["ground truth", "teacher", "plain student (ce)", "attention_guided"]
    assert {len(strip.frames) for strip in view.strips} == {len(view.frames)} == {SHOWN_FRAMES}
    assert view.sequence in ("sequence 5", "sequence 6") and "seed 0" in view.title
    truth = [mark for frame in view.strips[0].frames for mark in frame]
    assert truth and all(mark.found and mark.before is None for mark in truth)
    numbers = [int(frame.name.removeprefix("frame ")) for frame in view.frames]
    assert np.diff(numbers).tolist() == [STEP] * (SHOWN_FRAMES - 1)
    for strip in view.strips[1:]:
        assert strip.note.startswith("MOTA ") and "in the test set" in strip.note
    page = folder.report_file.read_text()
    assert "What is followed" in page and page.count('class="track-strip"') == len(names)


def test_a_track_has_one_color_and_its_first_object_the_same(view: TracksView) -> None:
    for strip in view.strips:
        colors: dict[int, int] = {}
        for frame in strip.frames:
            for mark in frame:
                assert colors.setdefault(mark.number, mark.color) == mark.color
        assert len(set(colors.values())) == len(colors)
    of_objects = {mark.color for frame in view.strips[0].frames for mark in frame}
    found = {
        mark.color for strip in view.strips[1:] for frame in strip.frames for mark in frame if mark.found
    }
    assert of_objects & found


def test_the_frames_with_most_identity_switches_are_shown(folder: StudyFolder, view: TracksView) -> None:
    targets = folder.dataset.eval["test"].targets
    assert isinstance(targets, Tracks)
    with folder.ledger() as ledger:
        cells = [cell for cell in ledger.cells() if cell.run]
    stored = [
        load_logits(folder.store.folder("student", each.run_id) / LOGITS)["test.last"] for each in cells
    ]
    stored += [
        load_logits(folder.store.folder("outputs", name) / LOGITS)["test"]
        for name in {cell.outputs for cell in cells if cell.outputs}
    ]
    assert len(stored) == 3
    length = STEP * (SHOWN_FRAMES - 1)
    totals = np.zeros((2, DRAWN["frames"] - length), dtype=int)
    for each in stored:
        found = follow_stored(each, targets, Tracking().tracker)
        for sequence, (_, frames) in enumerate(matched_frames(found, targets)):
            switches = [frame.switches for frame in frames]
            for start in range(totals.shape[1]):
                totals[sequence, start] += sum(switches[start + 1 : start + length + 1])
    assert view.switches == totals.max()
    marked = sum(
        mark.before is not None for strip in view.strips for frame in strip.frames[1:] for mark in frame
    )
    assert marked <= view.switches


def test_students_are_compared_with_their_teacher_in_speed_and_size(
    folder: StudyFolder, tmp_path: Path
) -> None:
    program, table = ROOT / "benchmarks" / "tracking_speed.py", tmp_path / "speed.csv"
    command = [sys.executable, str(program), "--study", str(folder.path), "--seconds", "0.5"]
    run = subprocess.run([*command, "--write", str(table)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"ce", "attention_guided"}
    for row in rows:
        assert float(row["params"]) / float(row["teacher_params"]) == pytest.approx(
            float(row["parameter_ratio"])
        )
        assert float(row["parameter_ratio"]) < 0.6 and float(row["frames_per_second"]) > 0
        assert float(row["frames_per_second_ratio"]) == pytest.approx(
            float(row["frames_per_second"]) / float(row["teacher_frames_per_second"])
        )
    assert "frames per second" in run.stdout
