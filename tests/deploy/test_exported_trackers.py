"""Networks for tracking are exported with a tracker beside them, which follows the same objects."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import distillab
from distillab.cli import execute
from distillab.deploy import Exported, benchmark_models, load_model
from distillab.deploy.detection_postprocessing import boxes_of_cells, objects_of_cells
from distillab.deploy.detector_gates import gate_cells
from distillab.deploy.snippets import MOST_LINES
from distillab.deploy.tracked import FrameTracker
from distillab.errors import RequestError
from distillab.modalities.image.box_pictures import box_color
from distillab.sources.drawn_tracks import DrawnTracks
from distillab.sources.mot_files import read_sequence
from distillab.tasks.detections import detections_in
from distillab.tasks.tracked_outputs import embeddings_in, find_tracked
from distillab.tasks.tracker import TrackerSettings, follow_objects
from support.detectors import written_detector
from support.tracker_worlds import found_in
from support.trackers import (
    FRAMES,
    SIDE,
    bold_tracker,
    describe_tracker,
    followed,
    moving_frames,
    write_frames,
    written_tracker,
)

GATES = {"cells", "geometry", "detections", "embeddings", "ap50"}
SIZE = (3 * SIDE // 2, SIDE)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A network for tracking with every kind of file."""
    return written_tracker(tmp_path_factory.mktemp("tracker") / "model")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of frames, 1.png to 12.png, wider than high."""
    return write_frames(tmp_path_factory.mktemp("sequence") / "frames")


def run_alone(code: str, folder: Path, *, without: tuple[str, ...] = ("distillab",)) -> str:
    """Return what code prints that runs in a folder, in a Python that cannot import some packages."""
    guard = "".join(f"sys.modules[{name!r}] = None; " for name in without)
    command = [sys.executable, "-I", "-W", "ignore", "-c"]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    whole = f"import sys; {guard}sys.path.insert(0, '.')\n{code}"
    run = subprocess.run([*command, whole], cwd=folder, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_objects_by_numpy_are_those_of_the_study() -> None:
    pixels = moving_frames().astype(np.float32) / 255
    with torch.no_grad():
        cells = bold_tracker(describe_tracker())(torch.from_numpy(pixels))
    cells[2, 0, 0] = torch.nan
    wanted = find_tracked(cells, SIDE, SIDE).numpy()
    found, looks = objects_of_cells(cells.numpy(), SIDE, SIDE)
    assert np.isnan(found[2]).all() and np.isnan(detections_in(wanted)[2]).all()
    known = np.delete(np.arange(FRAMES), 2)
    assert (found[known][..., 5] >= 0).sum() > 50  # there is something to compare
    np.testing.assert_allclose(found[known], detections_in(wanted)[known], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(looks[known], embeddings_in(wanted)[known], atol=1e-6)
    np.testing.assert_array_equal(boxes_of_cells(cells.numpy(), SIDE, SIDE)[known], found[known])


def test_every_file_gives_what_the_network_gives_on_all_of_val(exported: Exported) -> None:
    checks = exported.checks
    assert set(checks.files) == {"model.safetensors", "model.onnx", "model.pt2"}
    assert checks.not_written == {} and checks.passed
    for name in checks.files:
        gates = [gate for gate in checks.gates if gate.file == name]
        assert {gate.gate for gate in gates} == GATES
        assert {(gate.batch, gate.examples) for gate in gates} == {(1, FRAMES), (64, FRAMES)}


def test_a_file_with_other_embeddings_does_not_pass() -> None:
    description = describe_tracker()
    network = bold_tracker(description)
    val = followed(network, description)
    with torch.no_grad():
        cells = network(torch.from_numpy(moving_frames().astype(np.float32) / 255)).numpy()
    turned = cells.copy()
    turned[..., -37] += 0.001

    def run(items: np.ndarray, batch: int) -> tuple[np.ndarray, None]:
        return turned, None

    found = gate_cells("model.onnx", run, cells, cells, description, val.targets)
    failed = {gate.gate for gate in found if not gate.passed}
    assert "embeddings" in failed and not failed & {"geometry", "detections", "ap50"}
    assert any("a number in an embedding" in gate.text for gate in found)


def test_the_folder_has_what_follows_without_distillab(exported: Exported) -> None:
    assert {"detections.py", "tracks.py", "README.md", "config.json"} <= set(exported.files)
    for name in ("detections.py", "tracks.py"):
        code = (exported.folder / name).read_text()
        assert "import distillab" not in code and "from distillab" not in code and "scipy" not in code
    card = (exported.folder / "README.md").read_text()
    assert "0.00% of detections differ" in card and "a number in an embedding" in card
    assert "an embedding by which it is followed" in card
    made = json.loads((exported.folder / "config.json").read_text())["postprocessing"]
    assert made["file"] == "detections.py" and made["tracker"] == "tracks.py"


def test_the_shipped_tracker_is_that_of_the_package_on_a_drawn_world(
    exported: Exported, tmp_path: Path
) -> None:
    """With NumPy alone: scipy cannot be imported there."""
    found = found_in(DrawnTracks(frames=60, walkers=6, resolution=96).drawn("test", 1))
    rng = np.random.default_rng(0)
    rows, looks = [], []
    for frame in found:
        confidences = rng.uniform(0.05, 1, len(frame.boxes))
        noisy = frame.boxes + rng.normal(0, 0.5, frame.boxes.shape)
        rows.append(np.column_stack([noisy, confidences, np.zeros(len(noisy))]))
        looks.append(frame.embeddings)
    np.savez(tmp_path / "world.npz", *[each for pair in zip(rows, looks, strict=True) for each in pair])
    code = f"""
import numpy as np
from tracks import FoundObjects, TrackerSettings, follow_objects
given = np.load({str(tmp_path / "world.npz")!r})
arrays = [given[f"arr_{{i}}"] for i in range(len(given.files))]
frames = [FoundObjects.of_rows(i, *arrays[2 * i : 2 * i + 2]) for i in range(len(arrays) // 2)]
print([each.identities.tolist() for each in follow_objects(frames, TrackerSettings(0.4, 0.1, 0.4, 5))])
"""
    printed = json.loads(run_alone(code, exported.folder, without=("distillab", "scipy", "torch")))
    again = [type(found[0]).of_rows(time, *each) for time, each in enumerate(zip(rows, looks, strict=True))]
    wanted = follow_objects(again, TrackerSettings(0.4, 0.1, 0.4, 5))
    assert printed == [each.identities.tolist() for each in wanted]
    assert len({number for each in printed for number in each}) > 6


@pytest.mark.parametrize("title", ["onnxruntime", "plain torch"])
def test_snippets_of_the_card_follow_the_same_objects(title: str, exported: Exported) -> None:
    card = (exported.folder / "README.md").read_text()
    code = card.partition(f"### {title}\n\n```python\n")[2].partition("\n```")[0]
    assert 0 < len(code.splitlines()) <= MOST_LINES
    if not (exported.folder / "frames").is_dir():
        folder = exported.folder / "frames"
        write_frames(folder)
        for file in folder.iterdir():  # sorted by name as by number
            file.rename(file.with_name(f"{int(file.stem):02d}.png"))
    printed = [line.split(" ")[:3] for line in run_alone(code, exported.folder).splitlines()]
    tracks = load_model(exported.folder / "model.onnx").track(exported.folder / "frames")
    wanted = [
        (f"frames/{number:02d}.png", box.id, box.confidence)
        for number, boxes in enumerate(tracks, start=1)
        for box in boxes
    ]
    assert sorted((file, int(number)) for file, number, _ in printed) == sorted(w[:2] for w in wanted)
    confidences = sorted(float(confidence) for *_, confidence in printed)
    assert confidences == pytest.approx(sorted(w[2] for w in wanted), abs=1e-4)


def test_boxes_have_identities_in_pixels_of_the_frames(exported: Exported, frames: Path) -> None:
    model = distillab.load(exported.folder / "model.onnx")
    tracks = model.track(frames)
    assert len(tracks) == FRAMES and all(tracks)
    for boxes in tracks:
        assert len({box.id for box in boxes}) == len(boxes)
        assert all(0 <= box.left < box.right <= SIZE[0] and box.bottom <= SIZE[1] for box in boxes)
    assert min(box.id for box in tracks[0]) == 1
    kept = [{box.id for box in one} & {box.id for box in two} for one, two in pairwise(tracks)]
    assert all(kept)  # some objects are followed from each frame to the next
    pictures = [Image.open(frames / f"{number}.png") for number in range(1, FRAMES + 1)]
    assert model.track(pictures) == tracks
    sure = model.track(frames, least=0.6)
    assert [[box for box in boxes if box.confidence >= 0.6] for boxes in tracks] == [list(b) for b in sure]


def test_predict_prints_writes_and_draws_tracks(
    exported: Exported, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, mot, out, film = (tmp_path / name for name in ("t.csv", "tracks.txt", "drawn", "film.gif"))
    command = ["predict", str(exported.folder), str(frames), "--csv", str(table), "--mot", str(mot)]
    assert execute([*command, "--pictures", str(out), "--gif", str(film), "--fps", "4"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == [f"{n}.png" for n in range(1, FRAMES + 1)]
    assert {(line["width"], line["height"]) for line in lines} == {SIZE}
    wanted = load_model(exported.folder).track(frames)
    assert [[box["id"] for box in line["boxes"]] for line in lines] == [[b.id for b in w] for w in wanted]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], int(row["id"]), float(row["left"])) for row in rows] == [
        (line["file"], box["id"], box["left"]) for line in lines for box in line["boxes"]
    ]
    drawn = Image.open(out / "3.png")
    times = drawn.width // SIZE[0]
    assert drawn.size == (times * SIZE[0], times * SIZE[1]) and times > 1  # small frames are enlarged
    first = lines[2]["boxes"][0]
    corner = drawn.getpixel((round(times * first["left"]), round(times * first["bottom"]) - 2))
    assert "#{:02x}{:02x}{:02x}".format(*corner) in {box_color(box["id"] - 1) for box in lines[2]["boxes"]}
    animation = Image.open(film)
    assert animation.n_frames == FRAMES and animation.info["duration"] == 250  # type: ignore[attr-defined]


def test_files_of_motchallenge_are_read_back(exported: Exported, frames: Path, tmp_path: Path) -> None:
    (tmp_path / "one" / "gt").mkdir(parents=True)
    (tmp_path / "one" / "img1").mkdir()
    for number in range(1, FRAMES + 1):
        target = tmp_path / "one" / "img1" / f"{number:06d}.png"
        target.write_bytes((frames / f"{number}.png").read_bytes())
    mot = tmp_path / "one" / "gt" / "gt.txt"
    assert execute(["predict", str(exported.folder), str(tmp_path / "one"), "--mot", str(mot)]) == 0
    columns = [line.split(",") for line in mot.read_text().splitlines()]
    assert {len(each) for each in columns} == {10} and {tuple(each[7:]) for each in columns} == {("-1",) * 3}
    sequence = read_sequence(tmp_path / "one")
    for number, boxes in enumerate(load_model(exported.folder).track(frames), start=1):
        read = {int(row.identity): row for row in sequence.rows[number]}
        assert set(read) == {box.id for box in boxes}
        for box in boxes:
            row = read[box.id]
            right, bottom = row.left + row.width, row.top + row.height
            edges = (box.left, box.top, box.right, box.bottom)
            assert (row.left, row.top, right, bottom) == pytest.approx(edges, abs=0.02)


def test_time_passes_over_a_frame_that_cannot_be_read(
    exported: Exported, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in frames.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "5.png").write_bytes(b"no image")
    assert execute(["predict", str(exported.folder), str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "5.png" in printed.err and len(printed.err.splitlines()) == 1
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert len(lines) == FRAMES - 1
    model = load_model(exported.folder)
    tracker, wanted = FrameTracker(model.description), []
    for number in range(1, FRAMES + 1):
        if number != 5:
            items = model.preprocess(frames / f"{number}.png")
            [cells], _ = model.engine.outputs(items)
            passed = 2 if number == 6 else 1
            wanted.append(tracker.next_frame(cells, SIZE[::-1], "frame", passed=passed))
    assert [[box["id"] for box in line["boxes"]] for line in lines] == [[b.id for b in w] for w in wanted]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/notes.txt"], "notes.txt: cannot be identified as an image"),
        (["{tmp}/missing.png"], "missing.png: there is no such file"),
        (["{tmp}/empty"], "empty: holds no image (allowed: one folder of frames"),
        (["{tmp}/mixed"], "b.png: is 20x10 pixels, and the frames before it are 40x30 (allowed: frames of"),
        (
            ["{frames}", "{tmp}/mixed"],
            "FRAMES: 2 places are named, and one sequence is followed (allowed: one",
        ),
        (["{frames}", "--csv", "{tmp}/no/t.csv"], "no/t.csv cannot be written (allowed: a file in a folder)"),
        (["{frames}", "--csv", "{tmp}/empty"], "empty cannot be written (allowed: a file in a folder)"),
        (["{frames}", "--mot", "{tmp}/no/t.txt"], "--mot: {tmp}/no/t.txt cannot be written"),
        (["{frames}", "--gif", "film.mp4"], "--gif: film.mp4 is no GIF file"),
        (["{frames}", "--confidence", "2"], "--confidence: 2 is no confidence (allowed: 0 to 1)"),
    ],
    ids=["file", "missing", "empty", "sizes", "two", "csv", "csv-folder", "mot", "gif", "confidence"],
)
def test_wrong_requests_are_one_line(
    arguments: list[str],
    message: str,
    exported: Exported,
    frames: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "mixed" / "a.png")
    Image.new("RGB", (20, 10)).save(tmp_path / "mixed" / "b.png")
    given = [each.format(tmp=tmp_path, frames=frames) for each in arguments]
    assert execute(["predict", str(exported.folder), *given]) == 2
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert message.format(tmp=tmp_path) in line and printed.out == ""


def test_detectors_and_classifiers_follow_nothing(
    model_folder: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = written_detector(tmp_path / "model", formats=("onnx",)).folder
    for folder in (detector, model_folder):
        assert execute(["predict", str(folder), str(frames), "--mot", str(tmp_path / "t.txt")]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert "--mot is about tracks, and this model follows no objects" in line
        with pytest.raises(RequestError, match="`track` needs a model that follows objects"):
            load_model(folder).track(frames)
        with pytest.raises(RequestError, match="--frames is about tracks, and this model follows no objects"):
            benchmark_models([folder], seconds=0, frames=frames)
    assert not (tmp_path / "t.txt").exists()


def test_frames_of_different_sizes_are_no_sequence(exported: Exported) -> None:
    with pytest.raises(RequestError, match="image 1: is 20x10 pixels, and the frames before it are 40x30"):
        load_model(exported.folder).track([Image.new("RGB", (40, 30)), Image.new("RGB", (20, 10))])


def test_networks_are_timed_with_their_tracker(
    exported: Exported, frames: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = benchmark_models([exported.folder, exported.folder / "model.onnx"], seconds=0, frames=frames)
    assert len(found.models) == 2
    for each in found.models:
        assert each.following is not None and each.following.throughput > 0
        assert each.as_dict()["following"]["batch"] == 1
    without = benchmark_models([exported.folder], seconds=0).models[0]
    assert without.following is None and "following" not in without.as_dict()
    assert execute(["benchmark", str(exported.folder), "--seconds", "0", "--frames", str(frames)]) == 0
    assert "1 + tracker" in capsys.readouterr().out
