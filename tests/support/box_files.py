"""Drawn images with boxes in the exact layouts of COCO, Pascal VOC, YOLO and PlantDoc."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

NAMES = ("0", "1")
WIDTH, HEIGHT = 40, 30
SET = "cells"
"""The folder, within a given one, that the data set is written to."""
SPLITS = {"train": 12, "val": 4, "test": 4}
Rows = Sequence[tuple[int, int, int, int, int]]


def boxes_of(split: str, number: int) -> list[tuple[int, int, int, int, int]]:
    """Return (class, left, top, right, bottom) of an image: none, one or two boxes; never none at first."""
    rng = np.random.default_rng([len(split), number])
    count = (2, 1, 0)[number % 3]
    boxes = []
    for place in range(count):
        left, top = int(rng.integers(0, WIDTH - 13)), int(rng.integers(0, HEIGHT - 13))
        wide, high = (int(side) for side in rng.integers(6, 13, 2))
        boxes.append(((number + place) % 2, left, top, left + wide, top + high))
    return boxes


def save_image(path: Path, boxes: Rows, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 80, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for label, left, top, right, bottom in boxes:
        pixels[top:bottom, left:right, label] = 230
    Image.fromarray(pixels).save(path)


def write_coco(folder: Path) -> dict[str, Any]:
    """Write ``annotations/instances_SPLIT2017.json`` and ``SPLIT2017/*.png``, with categories 3 and 18."""
    folder = folder / SET
    for split, count in SPLITS.items():
        images, annotations = [], []
        for number in range(count):
            name, boxes = f"{number:012d}.png", boxes_of(split, number)
            save_image(folder / f"{split}2017" / name, boxes, number + 100 * len(split))
            key = 1000 + 7 * number
            images.append({"id": key, "file_name": name, "width": WIDTH, "height": HEIGHT})
            annotations += [
                coco_annotation(key, len(annotations) + 1 + place, box) for place, box in enumerate(boxes)
            ]
        write_coco_file(folder / "annotations" / f"instances_{split}2017.json", images, annotations)
    return {"path": SET}


def coco_annotation(image: int, number: int, box: Sequence[float]) -> dict[str, Any]:
    label, left, top, right, bottom = box
    return {
        "id": number,
        "image_id": image,
        "category_id": (3, 18)[int(label)],
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 0,
    }


def write_coco_file(path: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    categories = [{"id": key, "name": name, "supercategory": ""} for key, name in ((18, "1"), (3, "0"))]
    path.write_text(
        json.dumps({"info": {}, "images": images, "annotations": annotations, "categories": categories})
    )


def voc_xml(name: str, boxes: Rows, *, difficult: int = 0, width: int = WIDTH) -> str:
    objects = "".join(
        f"<object><name>{NAMES[label]}</name><pose>Left</pose><truncated>0</truncated>"
        f"<difficult>{difficult}</difficult><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for label, left, top, right, bottom in boxes
    )
    size = f"<size><width>{width}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return (
        f"<annotation><folder>VOC2007</folder><filename>{name}</filename>{size}"
        f"<segmented>0</segmented>{objects}</annotation>"
    )


def write_voc(folder: Path) -> dict[str, Any]:
    """Write ``Annotations``, ``JPEGImages`` and ``ImageSets/Main`` as VOC2007 has them."""
    folder = folder / SET
    for part in ("Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for split, count in SPLITS.items():
        stems = [f"{split}_{number:06d}" for number in range(count)]
        (folder / "ImageSets/Main" / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
        (folder / "ImageSets/Main" / f"cat_{split}.txt").write_text("".join(f"{stem}  1\n" for stem in stems))
        for number, stem in enumerate(stems):
            boxes = boxes_of(split, number)
            save_image(folder / "JPEGImages" / f"{stem}.png", boxes, number + 100 * len(split))
            (folder / "Annotations" / f"{stem}.xml").write_text(voc_xml(f"{stem}.png", boxes))
    return {"path": SET}


def write_yolo(folder: Path) -> dict[str, Any]:
    """Write ``images/SPLIT``, ``labels/SPLIT`` and ``data.yaml``; images without boxes have no text file."""
    folder = folder / SET
    for split, count in SPLITS.items():
        (folder / "labels" / split).mkdir(parents=True)
        for number in range(count):
            boxes = boxes_of(split, number)
            save_image(folder / "images" / split / f"{number}.png", boxes, number + 100 * len(split))
            lines = [
                f"{label} {(left + right) / 2 / WIDTH} {(top + bottom) / 2 / HEIGHT} "
                f"{(right - left) / WIDTH} {(bottom - top) / HEIGHT}\n"
                for label, left, top, right, bottom in boxes
            ]
            if lines:
                (folder / "labels" / split / f"{number}.txt").write_text("".join(lines))
    (folder / "data.yaml").write_text(
        "path: .\ntrain: images/train\nval: images/val\ntest: images/test\nnames:\n  0: '0'\n  1: '1'\n"
    )
    return {"path": SET}


def write_box_table(folder: Path) -> dict[str, Any]:
    """Write ``train_labels.csv``, ``test_labels.csv``, ``TRAIN`` and ``TEST`` as PlantDoc has them.

    Files are called by encoded addresses in some rows, and both folders have images of one name.
    """
    folder = folder / SET
    for split, count in {"train": 12, "test": 6}.items():
        rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for number in range(count):
            name = f"leaf spot {number}.jpg"
            boxes = boxes_of(split, number)
            save_image(folder / split.upper() / (quote(name) if number % 2 else name), boxes, number)
            written = name if number % 2 else quote(name)
            rows += [
                f"{written},{WIDTH},{HEIGHT},{NAMES[label]},{','.join(map(str, box))}"
                for label, *box in boxes
            ]
        (folder / f"{split}_labels.csv").write_text("\n".join(rows) + "\n")
    return {"path": SET}
