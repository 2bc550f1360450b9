"""Detectors are exported with raw outputs, and their files find the same boxes without distillab."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import distillab
from distillab.cli import execute
from distillab.deploy import DetectionOutputs, Exported, FileDetections, load_model
from distillab.deploy.detection_postprocessing import boxes_of_cells
from distillab.deploy.detector_gates import differing_detections
from distillab.deploy.graph import DeployedNetwork
from distillab.deploy.onnx_export import EXPORTERS
from distillab.deploy.snippets import MOST_LINES
from distillab.errors import RequestError
from distillab.modalities.image.box_pictures import ColoredBox, box_color, draw_boxes
from distillab.tasks.detections import find_boxes
from support.detectors import OBJECTS, SIDE, bold_detector, describe_detector, written_detector
from support.exported import smooth_images

KINDS = ("fcos_dwnet_s", "retinanet_dwnet_s")
GATES = {"cells", "geometry", "detections", "ap50"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A detector with every kind of file."""
    return written_detector(tmp_path_factory.mktemp("detector") / "model")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three pictures of two sizes, one of them below a folder and turned by its EXIF entry."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    pixels = smooth_images(3, (3, SIDE, SIDE), seed=5).transpose(0, 2, 3, 1)
    Image.fromarray(pixels[0]).save(folder / "a.png")
    Image.fromarray(pixels[1]).resize((3 * SIDE, 2 * SIDE)).save(folder / "b.bmp")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels[2]).resize((200, 100)).save(folder / "more" / "c.jpg", exif=exif)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_by_numpy_are_those_of_the_study(kind: str) -> None:
    description = describe_detector(kind)
    pixels = smooth_images(6, (3, SIDE, SIDE)).astype(np.float32) / 255
    with torch.no_grad():
        cells = bold_detector(description)(torch.from_numpy(pixels))
    cells[2, 0, 0] = torch.nan
    wanted = find_boxes(cells, SIDE, SIDE).numpy()
    found = boxes_of_cells(cells.numpy(), SIDE, SIDE)
    assert np.isnan(found[2]).all() and np.isnan(wanted[2]).all()
    known = [0, 1, 3, 4, 5]
    assert (found[known][..., 5] >= 0).sum() > 50  # there is something to compare
    np.testing.assert_allclose(found[known].reshape(5, -1), wanted[known], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_gives_what_the_network_gives_on_all_of_val(kind: str, tmp_path: Path) -> None:
    made = written_detector(tmp_path / "model", kind)
    checks = made.checks
    assert set(checks.files) == {"model.safetensors", "model.onnx", "model.pt2"}
    assert checks.not_written == {} and checks.passed
    assert "torchscript" in checks.files["model.onnx"].origin  # the first exporter is enough
    for name in checks.files:
        gates = [gate for gate in checks.gates if gate.file == name]
        assert {gate.gate for gate in gates} == GATES
        assert {(gate.batch, gate.examples) for gate in gates} == {(1, 12), (64, 12)}
        assert checks.val[name] == pytest.approx(checks.val["model.safetensors"])
    assert checks.val["model.onnx"] > 0.3


def test_the_folder_has_what_predicts_without_distillab(exported: Exported) -> None:
    assert {"config.json", "labels.txt", "README.md", "checks.json", "detections.py"} <= set(exported.files)
    assert "model.int8.onnx" not in exported.files
    code = (exported.folder / "detections.py").read_text()
    assert "distillab" not in code
    card = (exported.folder / "README.md").read_text()
    assert "pipeline_tag: object-detection" in card and "0.00% of detections differ" in card


@pytest.mark.parametrize("title", ["onnxruntime", "plain torch"])
def test_snippets_of_the_card_find_the_same_boxes(title: str, exported: Exported) -> None:
    card = (exported.folder / "README.md").read_text()
    code = card.partition(f"### {title}\n\n```python\n")[2].partition("\n```")[0]
    assert 0 < len(code.splitlines()) <= MOST_LINES
    image = smooth_images(1, (3, 2 * SIDE, 3 * SIDE), seed=9)[0].transpose(1, 2, 0)
    Image.fromarray(image).save(exported.folder / "image.jpg", quality=95)
    guard = "import sys; sys.modules['distillab'] = None; sys.path.insert(0, '.')\n"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-I", "-W", "ignore", "-c", guard + code]
    run = subprocess.run(command, cwd=exported.folder, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    [boxes] = load_model(exported.folder / "model.onnx").detect(exported.folder / "image.jpg")
    printed = [line.split(" ")[:2] for line in run.stdout.splitlines()]
    assert [label for label, _ in printed] == [box.label for box in boxes] != []
    assert [float(each) for _, each in printed] == pytest.approx([box.confidence for box in boxes], abs=1e-4)


def test_a_file_that_finds_other_boxes_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = EXPORTERS["torchscript"]

    def moved(network: DeployedNetwork, items: Tensor, name: str) -> bytes:
        with torch.no_grad():
            for values in network.network.parameters():
                values.mul_(1.01)
        return export(network, items, name)

    for name in ("torchscript", "dynamo"):
        monkeypatch.setitem(EXPORTERS, name, moved)
    made = written_detector(tmp_path / "model", formats=("safetensors", "onnx"))
    assert set(made.checks.files) == {"model.safetensors"} and not made.checks.passed
    assert "difference of a raw output from the trained network" in made.checks.not_written["model.onnx"]


def test_detections_that_differ_count_by_their_confidence() -> None:
    same = [0, 0, 4, 4, 0.9, 0]
    one, two = np.array([[*same, 8, 8, 9, 9, 0.1, 1]]), np.array([[*same, 8, 8, 9, 9, 0.1, 2]])
    assert differing_detections(one, two) == pytest.approx(0.1)
    assert differing_detections(one[:, 6:] * 0 - 1, one[:, 6:] * 0 - 1) == 0.0


def test_boxes_are_in_pixels_of_the_picture_as_it_is_displayed(exported: Exported, photos: Path) -> None:
    model = distillab.load(exported.folder / "model.onnx")
    photo = Image.open(photos / "b.bmp")
    resized = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    [small], (wide, turned) = model.detect(resized), model.detect([photo, photos / "more" / "c.jpg"])
    assert small and turned
    assert len(wide) == len(small)
    for box, same in zip(wide, small, strict=True):
        assert (box.label, round(box.confidence, 4)) == (same.label, round(same.confidence, 4))
        assert (box.left, box.bottom) == pytest.approx((3 * same.left, 2 * same.bottom), abs=1e-3)
    assert max(box.right for box in turned) <= 100 and max(box.bottom for box in turned) > 100


def test_predict_prints_writes_and_draws_boxes(
    exported: Exported, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "d.png").write_bytes(b"no image")
    out, table, film = tmp_path / "drawn", tmp_path / "boxes.csv", tmp_path / "film.gif"
    command = ["predict", str(exported.folder), str(photos), "--confidence", "0.2", "--fps", "4"]
    assert execute([*command, "--csv", str(table), "--pictures", str(out), "--gif", str(film)]) == 1
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [(Path(line["file"]).name, line["width"], line["height"]) for line in lines] == [
        ("a.png", SIDE, SIDE),
        ("b.bmp", 3 * SIDE, 2 * SIDE),
        ("c.jpg", 100, 200),
    ]
    assert "d.png" in printed.err and len(printed.err.splitlines()) == 1
    boxes = [(line["file"], box) for line in lines for box in line["boxes"]]
    assert boxes and all(box["confidence"] >= 0.2 and box["label"] in OBJECTS for _, box in boxes)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["label"], float(row["left"])) for row in rows] == [
        (name, box["label"], box["left"]) for name, box in boxes
    ]
    drawn = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert drawn == ["a.png", "b.bmp.png", "more/c.jpg"]
    first, best = Image.open(out / "a.png"), lines[0]["boxes"][0]
    corner = first.getpixel((round(best["left"]), round(best["bottom"]) - 2))
    assert "#{:02x}{:02x}{:02x}".format(*corner) in {box_color(number) for number in range(3)}
    animation = Image.open(film)
    assert animation.n_frames == 3 and animation.size == (SIDE, SIDE)  # type: ignore[attr-defined]
    assert animation.info["duration"] == 250


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--confidence", "1.5"], "--confidence: 1.5 is no confidence (allowed: 0 to 1)"),
        (["--gif", "film.mp4"], "--gif: film.mp4 is no GIF file (allowed: a file that ends in .gif)"),
        (["--gif", "missing/film.gif"], "--gif: missing/film.gif cannot be written"),
        (["--csv", "missing/table.csv"], "--csv: missing/table.csv cannot be written"),
        (["--pictures", "{photos}"], "is one of the images (allowed: another folder)"),
        (["--pictures", "{photos}/a.png"], "cannot be written"),
    ],
    ids=["confidence", "film", "no-folder", "table", "over-images", "file"],
)
def test_wrong_requests_of_pictures_are_one_line(
    arguments: list[str],
    message: str,
    exported: Exported,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [each.format(photos=photos) for each in arguments]
    assert execute(["predict", str(exported.folder), str(photos), *given]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("option", [["--confidence", "0.5"], ["--csv", "a.csv"], ["--pictures", "a"]])
def test_classifiers_draw_no_boxes(
    option: list[str], model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["predict", str(model_folder), str(photos), *option]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{option[0]} is about boxes, and this model finds none (allowed: a detector)" in line
    with pytest.raises(RequestError, match="`detect` needs a model that finds boxes"):
        load_model(model_folder).detect(photos / "a.png")


def test_detectors_have_no_probabilities_maps_or_int8(
    exported: Exported, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RequestError, match="a probability is about classes of whole images"):
        load_model(exported.folder).predict(photos / "a.png")
    assert execute(["explain", str(exported.folder), str(photos / "a.png")]) == 2
    assert "an attribution is about classes of whole images" in capsys.readouterr().err
    assert execute(["compress", str(exported.folder), "drawn_boxes", "--out", str(photos / "new")]) == 2
    assert "is a model for detection of modality image" in capsys.readouterr().err
    with pytest.raises(RequestError, match="--format int8: detectors are not quantized"):
        written_detector(photos / "model", formats=("onnx", "int8"))


def test_pictures_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    files = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "a.png")
        Image.new("RGB", (40, 40)).save(files[-1])
    outputs = DetectionOutputs(OBJECTS, pictures=tmp_path / "out")
    outputs.check(files, files)
    results = [FileDetections(str(file), (), Image.open(file)) for file in files]
    assert list(outputs.written(iter(results))) == results
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "a-2.png"}


def test_texts_of_boxes_are_left_out_where_they_would_cover_others() -> None:
    blank = Image.new("RGB", (120, 120))
    box = ColoredBox(20, 40, 80, 80, 0, "a cell 0.90")
    drawn = [draw_boxes(blank, [box] * count) for count in (1, 2, 3)]
    assert drawn[0] != drawn[1] and drawn[1] == drawn[2]  # above, below, and no third place
