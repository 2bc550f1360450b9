"""Maps and boxes: from the table of a source to the pointing game of a study, beside chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import distillab
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples, Pool
from distillab.data.label_boxes import LabelBox
from distillab.data.targets import LabelSets
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.explain import (
    ExplainedNetwork,
    attribute,
    attributions,
    box_area,
    box_share,
    center_maps,
    pointing_game,
)
from distillab.explain.localization import POINTING_TOLERANCE
from distillab.explain.study_networks import ExplainedImages
from distillab.models import InputSpec, build_model
from distillab.sources import load_dataset, parse_source
from distillab.sources.chestxray14 import ChestXray14
from distillab.tasks import MultiLabel
from support.radiographs import BLOB, write_chestxray14
from support.source_files import refuse

NAMES = ("Atelectasis", "Cardiomegaly", "Effusion")
BOX = (0.25, 0.25, 0.5, 0.5)


# Measures


def test_share_in_boxes_and_their_area() -> None:
    maps = np.ones((3, 8, 8), np.float32)
    maps[2] = 0
    boxes = [[[0, 0, 4, 8]], [], [[0, 0, 1, 1]]]
    assert box_share(maps, boxes)[0] == box_area(boxes, 8, 8)[0] == 0.5, "a map without preference"
    assert np.isnan(box_share(maps, boxes)[1:]).all(), "no box; no attribution"
    assert np.isnan(box_area(boxes, 8, 8)[1])
    two = [[[0, 0, 4, 8], [0, 0, 8, 4]]]
    assert box_area(two, 8, 8)[0] == 0.75, "what two boxes share counts once"
    assert box_area([[[4, 4, 5, 5]]], 8, 8, tolerance=1).tolist() == [9 / 64]


def test_random_places_hit_as_often_as_the_area_with_tolerance() -> None:
    rng = np.random.default_rng(0)
    maps = np.zeros((4000, 16, 16), np.float32)
    maps[np.arange(4000), rng.integers(0, 16, 4000), rng.integers(0, 16, 4000)] = 1
    boxes = [[[3.0, 5.0, 9.0, 8.0]]] * 4000
    chance = box_area(boxes, 16, 16, tolerance=1.5)[0]
    assert pointing_game(maps, boxes, tolerance=1.5).mean() == pytest.approx(chance, abs=0.03)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 9), (8, 11)])
def test_center_of_an_image_is_its_middle(height: int, width: int) -> None:
    [found] = center_maps(1, height, width)
    rows, columns = np.nonzero(found)
    assert (rows + 0.5).mean() == height / 2
    assert (columns + 0.5).mean() == width / 2
    middle = [[width / 2 - 1, height / 2 - 1, width / 2 + 1, height / 2 + 1]]
    assert pointing_game(found[None], [middle]).tolist() == [1.0]


def test_tolerance_is_that_of_the_published_protocol() -> None:
    assert pytest.approx(15) == 224 * POINTING_TOLERANCE


# The label that is explained


def images_of(labels: list[list[int]], boxes: list[tuple[LabelBox, ...]]) -> ExplainedImages:
    pixels = np.zeros((len(labels), 1, 8, 8), np.uint8)
    targets = LabelSets(np.array(labels, np.int8), 3)
    rows = np.arange(len(labels))
    examples = Examples(Pool.of(pixels), rows, targets, NAMES, rows)
    return ExplainedImages(examples, torch.zeros(len(labels), 1, 8, 8), tuple(boxes))


def teacher(logits: list[float]) -> ExplainedNetwork:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([logits]).expand(len(x), -1)

    return ExplainedNetwork("teacher", InputSpec(1, 8, 8), forward, MultiLabel())


def test_label_that_is_explained_has_a_box_or_is_one_of_the_image() -> None:
    labels = [[0, 0, 0], [1, 1, 0], [1, 1, 0], [-1, -1, 1]]
    boxes = [(), (), (LabelBox("Atelectasis", *BOX),), ()]
    found = images_of(labels, boxes).explained_by(teacher([-3.0, -1.0, 2.0]))
    assert found.tolist() == [2, 1, 0, 2], "highest of all; of its own; the boxed one; the known one"


def test_boxes_of_other_labels_do_not_count() -> None:
    both = (LabelBox("Atelectasis", *BOX), LabelBox("Effusion", 0.5, 0.5, 1.0, 1.0))
    images = images_of([[1, 0, 1], [1, 0, 0]], [both, ()])
    assert images.boxes_of(torch.tensor([2, 0])) == [[(4.0, 4.0, 8.0, 8.0)], []]


def test_explanations_without_boxes_keep_the_address_of_their_images() -> None:
    bare = images_of([[1, 0, 0]], [()])
    boxed = images_of([[1, 0, 0]], [(LabelBox("Atelectasis", *BOX),)])
    assert set(bare.facts) == {"images", "classes"}
    assert bare.digest != boxed.digest


# Grad-CAM of an ensemble


def test_map_of_an_ensemble_is_the_sum_of_those_of_its_members() -> None:
    inputs = InputSpec(1, 16, 16)
    torch.manual_seed(0)
    module = build_model("mean(resnet8+convnet3)", classes=3, inputs=inputs)
    x, classes = torch.randn(2, 1, 16, 16), torch.tensor([0, 2])
    together = attribute("grad_cam", ExplainedNetwork.of(module, inputs, name="both"), x, classes)
    compute = attributions["grad_cam"].compute  # before maps are normalized
    parts = [
        compute(ExplainedNetwork.of(member, inputs, name="one"), x, classes) for member in module.members
    ]
    expected = (parts[0] + parts[1]).numpy()
    scale = expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(together, expected / np.where(scale > 0, scale, 1), atol=1e-5)


def test_best_member_of_an_ensemble_is_explained_alone() -> None:
    inputs = InputSpec(1, 16, 16)
    torch.manual_seed(0)
    module = build_model("best(resnet8+resnet8)", classes=3, inputs=inputs)
    module.weights.copy_(torch.tensor([0.1, 0.9]))
    x, classes = torch.randn(2, 1, 16, 16), torch.tensor([0, 2])
    whole = attribute("grad_cam", ExplainedNetwork.of(module, inputs, name="best"), x, classes)
    alone = ExplainedNetwork.of(module.members[1], inputs, name="one")
    np.testing.assert_allclose(whole, attribute("grad_cam", alone, x, classes), atol=1e-6)


# From the table to the study


def load(folder: Path) -> Dataset:
    return load_dataset(parse_source({"source": "chestxray14", "path": "nih"}, folder, "data"))


def test_boxes_lie_where_the_findings_were_drawn(tmp_path: Path) -> None:
    write_chestxray14(tmp_path, boxes=True)
    dataset = load(tmp_path)
    checked = 0
    for split in (dataset.train, dataset.val, dataset.eval["test"]):
        for row, example in enumerate(split.ids.tolist()):
            labels = [split.classes[label] for label in np.flatnonzero(split.targets.values[row] == 1)]
            boxes = dataset.boxes.get(example, ())
            assert [box.label for box in boxes] == labels
            for box in boxes:
                left, top, right, bottom = (round(edge) for edge in box.pixels(16, 16))
                assert (right - left, bottom - top) == (BLOB, BLOB)
                pixels = split.items(np.array([row]))[0, 0]
                assert pixels[top:bottom, left:right].min() >= 160
                checked += 1
    assert checked > 40


def test_boxes_are_kept_with_the_dataset(tmp_path: Path) -> None:
    write_chestxray14(tmp_path, boxes=True)
    dataset = load(tmp_path)
    (tmp_path / "kept").mkdir()
    dataset.save(tmp_path / "kept")
    assert Dataset.open(tmp_path / "kept").boxes == dataset.boxes
    assert Dataset.open(tmp_path / "kept").digest == dataset.digest


def test_table_is_read_in_the_layout_of_its_authors(tmp_path: Path) -> None:
    """The header splits its fourth name at commas, and every row ends with three empty cells."""
    write_chestxray14(tmp_path)
    lines = [
        "Image Index,Finding Label,Bbox [x,y,w,h],,,",
        "00000001_000.png,Atelectasis,256.0,512.5,128.25,64.125,,,",
        "00000001_000.png,Infiltrate,0.0,0.0,1024.0,1024.0,,,",
        "00000002_001.png,Mass,686.101694915254,131.543498411017,185.491525423729,313.491525423729,,,",
    ]
    (tmp_path / "nih" / "BBox_List_2017.csv").write_bytes("\r\n".join(lines).encode())
    found = ChestXray14(path=str(tmp_path / "nih")).boxes()
    assert {name: [box.label for box in boxes] for name, boxes in found.items()} == {
        "00000001_000.png": ["Atelectasis", "Infiltration"],
        "00000002_001.png": ["Mass"],
    }
    assert found["00000001_000.png"][0].pixels(1024, 1024) == (256.0, 512.5, 384.25, 576.625)
    assert found["00000001_000.png"][1].pixels(16, 16) == (0, 0, 16, 16)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("\n\n00000001_000.png,Efusion,1,2,3,4,,,", "line 4"),
        ("00000001_000.png,Efusion,1,2,3,4,,,", "did you mean 'Effusion'?"),
        ("00000001_000.png,Effusion,1,2,three,4,,,", "is no box"),
        ("00000001_000.png,Effusion,1,2,0,4,,,", "has no area in the image"),
        ("00000001_000.png,Effusion,2000,2,10,4", "has no area in the image"),
    ],
)
def test_wrong_boxes_are_one_line(line: str, message: str, tmp_path: Path) -> None:
    write_chestxray14(tmp_path)
    table = tmp_path / "nih" / "BBox_List_2017.csv"
    table.write_text(f"Image Index,Finding Label,Bbox [x,y,w,h],,,\n{line}\n")
    refusal = refuse(tmp_path, source="chestxray14", path="nih")
    assert message in refusal
    assert f"line {2 + line.count(chr(10))}" in refusal


def test_box_is_cut_at_the_edge_of_the_image() -> None:
    assert LabelBox.of_pixels("Mass", (900, -8), (300, 520), 1024, "here") == LabelBox(
        "Mass", 900 / 1024, 0.0, 1.0, 0.5
    )
    with pytest.raises(RequestError, match="here: a box of 0 by 5 pixels"):
        LabelBox.of_pixels("Mass", (9, 8), (0, 5), 1024, "here")


def test_trained_networks_point_at_what_they_were_taught(tmp_path: Path) -> None:
    """Bright squares at random places are the findings, so that their boxes are known."""
    write_chestxray14(tmp_path, patients=100, labels=3, boxes=True, side=32)
    recipe = {"batch_size": 32, "lr": 0.05, "warmup": 0.1}
    study = distillab.Study(
        study="boxes",
        task="multilabel",
        data={"source": "chestxray14", "path": str(tmp_path / "nih"), "test": 0.3},
        teacher={
            "model": "convnet3",
            "provenance": "full",
            "replicates": 1,
            "recipe": {**recipe, "steps": 90},
        },
        students="convnet3",
        methods=["ce", "kd"],
        seeds=1,
        recipe={**recipe, "steps": 45},
        evidence={"probes": 0},
        explain={"attributions": ["occlusion"], "images": 30},
    )
    done = study.run(tmp_path / "out", executor="inline", workers=1)
    rows = read_rows(done.folder.explanations_file)
    assert [row["method"] for row in rows] == ["ce", "kd"]
    for row in rows:
        chance = max(row["pointing_random"], row["pointing_center"])
        assert row["n_boxed"] == row["n_images"] == 30, "images with boxes come first"
        assert row["teacher_pointing"] > chance + 0.3
        assert row["pointing"] > max(chance, row["pointing_untrained"]) + 0.15
        assert row["teacher_box_share"] > row["box_area"]
    gains = {row["measure"]: row for row in read_rows(done.folder.explanation_gains_file)}
    assert gains["pointing"]["gain"] == pytest.approx(rows[1]["pointing"] - rows[0]["pointing"])
    page = done.report.read_text()
    assert "pointing game (higher is better)" in page
    assert "of the center" in page
