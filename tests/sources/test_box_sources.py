"""Sources of images with boxes: four layouts give the same boxes; what is odd is counted or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.data import Boxes
from distillab.data.boxes import NO_BOX, ignored
from distillab.errors import RequestError
from distillab.sources import load_dataset, parse_source
from distillab.sources.voc import LARGEST_XML
from distillab.sources.yolo import LARGEST_YAML
from support.box_files import (
    HEIGHT,
    NAMES,
    SET,
    SPLITS,
    WIDTH,
    boxes_of,
    coco_annotation,
    save_image,
    voc_xml,
    write_box_table,
    write_coco,
    write_coco_file,
    write_voc,
    write_yolo,
)
from support.source_files import read, refuse

WRITERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "coco": write_coco,
    "voc": write_voc,
    "yolo": write_yolo,
    "box_table": write_box_table,
}


def rows_of(targets: Any, row: int) -> list[list[float]]:
    assert isinstance(targets, Boxes)
    return [box.tolist() for box in targets.values[row] if box[0] != NO_BOX]


@pytest.mark.parametrize("name", ["coco", "voc", "yolo"])
def test_layouts_give_the_boxes_that_were_drawn(name: str, tmp_path: Path) -> None:
    raw = read(tmp_path, source=name, **WRITERS[name](tmp_path))
    assert raw.classes == NAMES
    for split, items in raw.given().items():
        assert len(items.items) == SPLITS[split]
        numbers = [int(Path(item).stem.rpartition("_")[2]) for item in items.items]
        for row, number in enumerate(numbers):
            wanted = np.array(boxes_of(split, number)).reshape(-1, 5)
            np.testing.assert_allclose(
                np.array(rows_of(items.targets, row)).reshape(-1, 5), wanted, atol=1e-4
            )
    assert "Images without boxes, kept: 6." in raw.notes


def test_tables_are_joined_with_images_by_decoded_names(tmp_path: Path) -> None:
    raw = read(tmp_path, source="box_table", **write_box_table(tmp_path))
    for split, items in raw.given().items():
        for row, (path, name) in enumerate(zip(items.items, items.names, strict=True)):
            assert path.is_file() and path.parent.name == split.upper()
            assert rows_of(items.targets, row) == np.array(boxes_of(split, int(name[10:-4]))).tolist()
    # Images without a row are not known to be empty.
    assert any(note.startswith("Images that no row of a table names, left out: 6") for note in raw.notes)


# An image with boxes; the one of the table has the name of an image of test.
LABELLED = {
    "coco": "train2017/000000000001.png",
    "voc": "JPEGImages/train_000001.png",
    "yolo": "images/train/1.png",
    "box_table": "TRAIN/leaf%20spot%201.jpg",
}


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_missing_images_with_boxes_are_refused_or_counted(name: str, tmp_path: Path) -> None:
    keys = WRITERS[name](tmp_path)
    (tmp_path / SET / LABELLED[name]).unlink()
    source = parse_source({"source": name, **keys, "resolution": 32}, tmp_path, "study.yaml")
    if name == "yolo":  # a text file that is left over says nothing about an image
        notes = load_dataset(source).report.notes
        note = "Text files with boxes whose image is missing, left out: 1, such as labels/train/1.txt."
        assert note in notes
    else:
        with pytest.raises(RequestError, match="No such file or directory"):
            load_dataset(source)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_boxes_are_scaled_with_their_images(name: str, tmp_path: Path) -> None:
    entry = WRITERS[name](tmp_path)
    plain = load_dataset(parse_source({"source": name, **entry}, tmp_path, "data"))
    small = load_dataset(parse_source({"source": name, **entry, "resolution": 20}, tmp_path, "data"))
    assert plain.train.shape == (3, HEIGHT, WIDTH) and small.train.shape == (3, 20, 20)
    scale = [1, 20 / WIDTH, 20 / HEIGHT, 20 / WIDTH, 20 / HEIGHT]
    np.testing.assert_allclose(small.train.targets.values, plain.train.targets.values * scale, rtol=1e-6)


@pytest.mark.parametrize("name", [*sorted(WRITERS), "drawn_boxes"])
def test_pixels_in_a_box_are_brighter_than_around_it(name: str, tmp_path: Path) -> None:
    if name == "drawn_boxes":
        source = parse_source({"source": name, "images": 20, "test_images": 8, "noise": 0}, tmp_path, "data")
        assert source.read().train.targets.labelled.all()
        return
    dataset = load_dataset(parse_source({"source": name, **WRITERS[name](tmp_path)}, tmp_path, "data"))
    for split in (dataset.train, dataset.val, dataset.eval["test"]):
        for row, pixels in enumerate(split.images):
            for label, left, top, right, bottom in np.array(rows_of(split.targets, row), int):
                inside = np.zeros(pixels.shape[1:], bool)
                inside[top:bottom, left:right] = True
                assert pixels[label][inside].mean() > 170 > pixels[label].mean()


def one_image(folder: Path, annotations: list[dict[str, Any]], **image: Any) -> dict[str, Any]:
    save_image(folder / SET / "a.png", [], 0)
    entry = {"id": 7, "file_name": "a.png", "width": WIDTH, "height": HEIGHT, **image}
    write_coco_file(folder / SET / "instances_train.json", [entry], annotations)
    return {"source": "coco", "path": SET}


def test_boxes_beyond_the_image_are_clipped_and_those_without_area_left_out(tmp_path: Path) -> None:
    boxes = [(0, -5, 2, 10, 9), (1, 4, 4, 4, 9), (1, WIDTH + 1, 0, WIDTH + 9, 9)]
    boxes.append((1, 30, 4, 30 + 1e-7, 9))  # none in float32
    entry = one_image(tmp_path, [coco_annotation(7, number, box) for number, box in enumerate(boxes)])
    raw = read(tmp_path, **entry)
    assert rows_of(raw.train.targets, 0) == [[0, 0, 2, 10, 9]]
    assert "Boxes that reach beyond their image, clipped: 2." in raw.notes
    assert "Boxes without area in their image, left out: 3." in raw.notes


def test_crowds_are_neither_to_be_found_nor_mistakes(tmp_path: Path) -> None:
    crowd = {**coco_annotation(7, 1, (1, 2, 2, 9, 9)), "iscrowd": 1}
    raw = read(tmp_path, **one_image(tmp_path, [crowd, coco_annotation(7, 2, (0, 2, 2, 9, 9))]))
    assert rows_of(raw.train.targets, 0) == [[ignored(1), 2, 2, 9, 9], [0, 2, 2, 9, 9]]
    assert raw.train.targets.counts.tolist() == [1, 0]


@pytest.mark.parametrize("crowds", [0, 1])
def test_data_without_an_object_to_be_found_are_refused(crowds: int, tmp_path: Path) -> None:
    crowd = {**coco_annotation(7, 1, (1, 2, 2, 9, 9)), "iscrowd": 1}
    assert "no object is to be found" in refuse(tmp_path, **one_image(tmp_path, [crowd] * crowds))


def test_xml_files_without_an_object_are_refused(tmp_path: Path) -> None:
    save_image(tmp_path / SET / "a.png", [], 0)
    (tmp_path / SET / "a.xml").write_text(voc_xml("a.png", []))
    assert "no object is to be found" in refuse(tmp_path, source="voc", path=SET)


def test_difficult_objects_of_voc_are_ignored_or_kept(tmp_path: Path) -> None:
    save_image(tmp_path / SET / "JPEGImages" / "a.png", [], 0)
    (tmp_path / SET / "Annotations").mkdir()
    (tmp_path / SET / "Annotations" / "a.xml").write_text(voc_xml("a.png", [(1, 0, 0, 9, 9)], difficult=1))
    save_image(tmp_path / SET / "JPEGImages" / "b.png", [], 1)
    (tmp_path / SET / "Annotations" / "b.xml").write_text(voc_xml("b.png", [(1, 0, 0, 9, 9)]))
    found = {
        each: read(tmp_path, source="voc", path=SET, difficult=each).train.targets.values[0, 0].tolist()
        for each in ("ignore", "keep")
    }
    assert found == {"ignore": [ignored(0), 0, 0, 9, 9], "keep": [0, 0, 0, 9, 9]}


def voc_names(folder: Path, **changes: Any) -> dict[str, list[str]]:
    """Return the stems of the images of each split."""
    given = read(folder, source="voc", path=SET, **changes).given()
    return {split: [Path(name).stem for name in items.names] for split, items in given.items()}


def test_the_list_trainval_is_read_only_without_a_list_train(tmp_path: Path) -> None:
    write_voc(tmp_path)
    lists = tmp_path / SET / "ImageSets" / "Main"
    standard = voc_names(tmp_path)
    train, val = ((lists / f"{split}.txt").read_text() for split in ("train", "val"))
    (lists / "trainval.txt").write_text(train + val + train)
    assert voc_names(tmp_path) == standard
    stated = voc_names(tmp_path, splits={"train": "trainval", "val": None})
    assert stated["train"] == standard["train"] + standard["val"] and "val" not in stated
    (lists / "train.txt").unlink()
    assert voc_names(tmp_path) == standard  # images of val are no images of train
    (lists / "val.txt").unlink()
    assert voc_names(tmp_path) == stated


def test_a_size_that_is_not_that_of_the_file_is_noted(tmp_path: Path) -> None:
    raw = read(tmp_path, **one_image(tmp_path, [coco_annotation(7, 1, (0, 0, 0, 40, 40))], height=WIDTH))
    assert any("other proportions than their annotations state: 1." in note for note in raw.notes)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"category_id": 4}, "annotation 1: 4 is not a class of the data set (allowed: 3, 18)"),
        ({"image_id": 8}, "annotation 1: image_id 8 is not the id of an image"),
        ({"bbox": [1, 2, 3]}, "annotation 1: '1 2 3' is not a box (allowed: 4 finite numbers)"),
        ({"bbox": [1, 2, 3, float("nan")]}, "annotation 1: '1 2 3 nan' is not a box"),
        ({"bbox": 5}, "annotation 1: 5 is not a box (allowed: 4 finite numbers)"),
        ({"bbox": "1234"}, "annotation 1: '1234' is not a box"),
        ({"bbox": [1, 2, -3, 4]}, "annotation 1: [1, 2, -3, 4] is a box with a negative side"),
        ({"image_id": [7]}, "annotation 1: image_id [7] is not the id of an image"),
        ({"category_id": [3]}, "annotation 1: [3] is no id (allowed: an integer or a text)"),
    ],
    ids=[
        *("category", "image", "short box", "no number"),
        *("one number", "a text", "negative", "list for an image", "list for a category"),
    ],
)
def test_odd_annotations_of_coco_are_refused(change: dict[str, Any], line: str, tmp_path: Path) -> None:
    entry = one_image(tmp_path, [{**coco_annotation(7, 1, (0, 0, 0, 9, 9)), **change}])
    assert f"instances_train.json: {line}" in refuse(tmp_path, **entry)


def coco_text(**changes: list[dict[str, Any]]) -> str:
    """Return annotations with images that have a file name each, or other lists of COCO."""
    images = [{"file_name": "a.png", **image} for image in changes.pop("images", [{"id": 7}])]
    return json.dumps(
        {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cell"}], **changes}
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[]", "there is no list 'images'"),
        ("{", "cannot be read"),
        (json.dumps({"images": [{}], "annotations": [], "categories": []}), "image None has no file_name"),
        (json.dumps({"images": [], "annotations": [], "categories": []}), "the categories are none"),
        ("[" * 500_000, "cannot be read"),
        (coco_text(images=[{}]), "images: None is no id"),
        (coco_text(images=[{"id": [1]}]), "images: [1] is no id"),
        (coco_text(images=[{"id": 1.5}]), "images: 1.5 is no id"),
        (coco_text(images=[{"id": 1}, {"id": 1}]), "images: the id 1 is given twice"),
        (coco_text(images=[{"id": 1, "file_name": []}]), "image 1 has no file_name"),
        (coco_text(images=[{"id": 1, "width": "a", "height": 2}]), "['a', 2] is not a width and a height"),
        (coco_text(categories=[{"id": 1}, {"id": "b"}]), "categories: the categories are none, or have ids"),
        (coco_text(categories=[{"id": 1}]), "categories: the names are not all different texts"),
        (coco_text(categories=[{"id": [1]}]), "categories: [1] is no id"),
    ],
    ids=[
        *("a list", "broken", "no file name", "no categories", "deep", "no id", "list as id", "float as id"),
        *("id twice", "list as name", "text as width", "ids of two kinds", "no category name", "list as key"),
    ],
)
def test_other_json_files_are_refused(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / SET).mkdir()
    (tmp_path / SET / "instances_train.json").write_text(text)
    assert line in refuse(tmp_path, source="coco", path=SET)


@pytest.mark.parametrize(
    ("xml", "line"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "declares a document type or entities"),
        ("<annotation>", "cannot be read"),
        (" " * (LARGEST_XML + 1), f"is too large for an annotation (allowed: at most {LARGEST_XML:,} bytes)"),
        ("<annotation><object><name>a</name></object></annotation>", "object 1: has no bndbox/xmin"),
        ("<annotation><object/></annotation>", "object 1: has no name"),
    ],
    ids=["entities", "broken", "large", "no box", "no name"],
)
def test_other_xml_files_are_refused(xml: str, line: str, tmp_path: Path) -> None:
    write_voc(tmp_path)
    (tmp_path / SET / "Annotations" / "train_000000.xml").write_text(xml)
    refused = refuse(tmp_path, source="voc", path=SET)
    assert f"train_000000.xml: {line}" in refused.replace(".xml: object", ".xml: object")


@pytest.mark.parametrize("encoding", ["nothing", "gbk", "utf-16"])
def test_xml_files_in_other_encodings_are_refused(encoding: str, tmp_path: Path) -> None:
    write_voc(tmp_path)
    file = tmp_path / SET / "Annotations" / "train_000000.xml"
    file.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?><annotation/>'.encode())
    assert "train_000000.xml: cannot be read" in refuse(tmp_path, source="voc", path=SET)


def test_entities_are_refused_in_every_encoding(tmp_path: Path) -> None:
    write_voc(tmp_path)
    file = tmp_path / SET / "Annotations" / "train_000000.xml"
    file.write_bytes('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'.encode("utf-16"))
    assert "declares a document type or entities" in refuse(tmp_path, source="voc", path=SET)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
def test_xml_files_are_read_in_their_encoding(encoding: str, tmp_path: Path) -> None:
    write_voc(tmp_path)
    file = tmp_path / SET / "Annotations" / "train_000000.xml"
    text = voc_xml("train_000000.png", [(1, 0, 0, 9, 9)]).replace("<name>1<", "<name>abcès<")
    declared = '<?xml version="1.0" encoding="ISO-8859-1"?>' if encoding == "latin-1" else ""
    file.write_bytes((declared + text).encode(encoding))
    assert read(tmp_path, source="voc", path=SET).classes == (*NAMES, "abcès")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2 .5 .5 .1 .1", "line 1: 2 is not the number of a class (allowed: 0 to 1)"),
        ("0.5 .5 .5 .1 .1", "line 1: 0.5 is not the number of a class"),
        ("\n0 .1 .1 .2 .1 .2 .2", "line 2: '0 .1 .1 .2 .1 .2 .2' is not a box (allowed: 5 finite numbers)"),
    ],
    ids=["class", "fraction", "polygon"],
)
def test_odd_lines_of_yolo_are_refused(text: str, line: str, tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / SET / "labels" / "train" / "0.txt").write_text(text)
    assert line in refuse(tmp_path, source="yolo", path=SET)


def test_names_of_classes_of_yolo_must_be_known(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / SET / "data.yaml").unlink()
    assert "no file names the classes (allowed: a YAML file with `names`" in refuse(
        tmp_path, source="yolo", path=SET
    )
    (tmp_path / SET / "classes.txt").write_text("0\n1\n")
    assert read(tmp_path, source="yolo", path=SET).classes == NAMES


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("names: " + "[" * 100_000, "data.yaml: cannot be read: values are nested more than 50 deep"),
        ("a: [", "data.yaml: cannot be read"),
        ("#" * (LARGEST_YAML + 1), "data.yaml: is too large for a list of classes"),
        ("names: [cell, cell]", "data.yaml: names: 'cell' is the name of two classes"),
        ("names: [cell, yes]", "data.yaml: names: the name of class 1 is True (allowed: a text"),
        ("names: {0: cell, 1: [2]}", "data.yaml: names: the name of class 1 is [2]"),
    ],
    ids=["deep", "broken", "large", "twice", "a truth value", "a list"],
)
def test_other_yaml_files_of_yolo_are_refused(text: str, line: str, tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / SET / "data.yaml").write_text(text)
    assert line in refuse(tmp_path, source="yolo", path=SET)


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    write_box_table(tmp_path)
    table = tmp_path / SET / "train_labels.csv"
    table.write_text(table.read_text().replace("xmax", "right"))
    assert "train_labels.csv: unknown column 'xmax'" in refuse(tmp_path, source="box_table", path=SET)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_folder_without_annotations_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / SET).mkdir()
    assert SET in refuse(tmp_path, source=name, path=SET)


def test_too_few_images_to_carve_from_are_refused(tmp_path: Path) -> None:
    entry = one_image(tmp_path, [coco_annotation(7, 1, (0, 0, 0, 9, 9))])
    assert "no example is left for" in refuse(tmp_path, **entry)
    drawn = {"source": "drawn_boxes", "images": 1, "test_images": 2}
    assert "no example is left for val once val is carved" in refuse(tmp_path, **drawn)


def test_one_class_is_enough(tmp_path: Path) -> None:
    entry = {"source": "coco", **write_coco(tmp_path)}
    dataset = load_dataset(parse_source(entry, tmp_path, "data"))
    only = dataset.train.of_classes([1])
    assert only.classes == ("1",) and len(only) == len(dataset.train)


@pytest.mark.real
def test_blood_cells_are_read(real_data: Path) -> None:
    folder = real_data / "bccd"
    entry = {"source": "coco", "path": str(folder), "resolution": 160}
    dataset = load_dataset(parse_source(entry, Path(), "data"))
    assert dataset.classes == ("Platelets", "RBC", "WBC")
    assert [len(dataset.train), len(dataset.val), len(dataset.eval["test"])] == [205, 87, 72]
    objects = [split.targets.objects for split in (dataset.train, dataset.eval["test"])]  # type: ignore[attr-defined]
    assert [int(each.sum()) for each in objects] == [2804, 945]
    assert objects[0].argmax() == 1
