"""Layouts of folders: splits under any usual name, one level deeper, beside others, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.source_files import noise, png, read, refuse

CLASSES = ("cat", "dog")


def write_images(root: Path, *folders: str, classes: tuple[str, ...] = CLASSES) -> None:
    """Write two images into every class folder of every folder; into the folder itself without classes."""
    for number, folder in enumerate(folders):
        for name in classes or (".",):
            (root / folder / name).mkdir(parents=True, exist_ok=True)
            for row, image in enumerate(noise(2, number)):
                (root / folder / name / f"{name.strip('.')}{row}.png").write_bytes(png(image))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training_set/training_set", "test_set/test_set"),
        ("train_images", "test_images"),
        ("images_train", "images_test"),
        ("trainSet", "testSet"),
        ("train2017", "test2017"),
        ("01-train", "02-test"),
        ("data/train", "data/test"),
        ("dataset/training", "dataset/testing"),
        ("archive/flowers/train", "archive/flowers/test"),
        ("train/images", "test/images"),
        ("train/train", "test"),
        ("intel_train", "intel_test"),
    ],
)
def test_splits_are_found_under_usual_names(train: str, test: str, tmp_path: Path) -> None:
    write_images(tmp_path, train, test)
    raw = read(tmp_path, source="folder", path=".")
    assert list(raw.given()) == ["train", "test"]
    assert raw.classes == CLASSES
    assert raw.train.names[0] == f"{train}/cat/cat0.png" and raw.test.names[0] == f"{test}/cat/cat0.png"


@pytest.mark.parametrize("val", ["val", "Valid", "validation", "dev", "val_images", "ValidationSet"])
def test_validation_folder_has_many_names(val: str, tmp_path: Path) -> None:
    write_images(tmp_path, "train", "test", val)
    assert read(tmp_path, source="folder", path=".").val.names[0] == f"{val}/cat/cat0.png"


def test_splits_may_lie_below_the_classes(tmp_path: Path) -> None:
    write_images(tmp_path, "cat", "dog", classes=("Train", "Test"))
    raw = read(tmp_path, source="folder", path=".")
    assert raw.classes == CLASSES and list(raw.given()) == ["train", "test"]
    assert raw.test.names[0] == "cat/Test/Test0.png"


@pytest.mark.parametrize(
    "classes", [("bus", "car", "train"), ("invalid", "valid"), ("control", "test"), ("car", "crash_test")]
)
def test_one_folder_may_be_a_class_with_the_name_of_a_split(classes: tuple[str, ...], tmp_path: Path) -> None:
    write_images(tmp_path, *classes, classes=())
    raw = read(tmp_path, source="folder", path=".")
    assert raw.classes == classes and list(raw.given()) == ["train"]


@pytest.mark.parametrize(
    ("folders", "reason"),
    [
        (["trainA", "trainB", "testA", "testB"], "two folders hold the test split, 'testA' and 'testB'"),
        (["train", "val", "dev"], "two folders hold the val split, 'dev' and 'val'"),
        (["train", "training"], "two folders hold the train split"),
        (["train", "eval"], "'eval' could be the val split or the test split"),
        (["val", "test"], "there is no train folder beside 'test' and 'val'"),
        (["fold1", "fold2", "fold3"], "'fold1', 'fold2' and 'fold3' look like folds"),
        (["Training", "older"], "'Training' may be a split or a class beside 'older'"),
        (["a/train", "a/test", "b/train", "b/test"], "'a' and 'b' hold folders of splits"),
        (["a/train", "a/test", "b"], "'a' holds folders of splits, beside 'b'"),
    ],
)
def test_unclear_splits_are_refused_with_the_key(folders: list[str], reason: str, tmp_path: Path) -> None:
    write_images(tmp_path, *folders)
    line = refuse(tmp_path, source="folder", path=".")
    assert reason in line and "`splits: {train: " in line


@pytest.mark.parametrize(
    "folders", [["bus", "test", "train"], ["bullet_train", "drug_test"], ["train", "test"]]
)
def test_two_split_names_are_never_silently_two_classes(folders: list[str], tmp_path: Path) -> None:
    write_images(tmp_path, *folders, classes=())
    assert "`splits: {train: " in refuse(tmp_path, source="folder", path=".")
    raw = read(tmp_path, source="folder", path=".", splits={"train": "."})
    assert raw.classes == tuple(sorted(folders)) and list(raw.given()) == ["train"]


@pytest.mark.parametrize(
    ("folders", "splits", "expected"),
    [
        (["A", "B"], {"train": "A", "test": "B"}, {"train": 4, "test": 4}),
        (["d/A", "d/B", "d/valid"], {"train": "d/A", "test": "d/B"}, {"train": 4, "val": 4, "test": 4}),
        (
            ["fold1", "fold2", "fold3"],
            {"train": ["fold1", "fold2"], "test": "fold3"},
            {"train": 8, "test": 4},
        ),
        (["train", "test"], {"test": None}, {"train": 4}),
        (["train", "test", "dev"], {"validation": None}, {"train": 4, "test": 4}),
        (["train", "eval"], {"test": "eval"}, {"train": 4, "test": 4}),
        (["2019", "2020"], {"train": 2019, "test": 2020}, {"train": 4, "test": 4}),
    ],
)
def test_splits_can_be_stated(
    folders: list[str], splits: dict[str, Any], expected: dict[str, int], tmp_path: Path
) -> None:
    write_images(tmp_path, *folders)
    raw = read(tmp_path, source="folder", path=".", splits=splits)
    assert {split: len(each.items) for split, each in raw.given().items()} == expected
    assert raw.classes == CLASSES


@pytest.mark.parametrize(
    ("splits", "reason"),
    [
        ({"train": "C", "test": "B"}, "there is no folder 'C' here (allowed: A, B)"),
        ({"exam": "B"}, "'exam' is no split (allowed: train, val and test, once each)"),
        ({"train": None}, "the train split cannot be left out"),
        ({"train": "A", "test": "A"}, "'A' is both train and test"),
        ({"test": "B"}, "no folder holds the train split"),
        ({"train": ".", "test": "B"}, "train is the folder itself, which holds 'B'"),
        ({"test": ["A", None]}, "is no name of the test split"),
        (["A", "B"], "is not a choice of splits"),
    ],
)
def test_wrong_statements_of_splits_are_refused(splits: Any, reason: str, tmp_path: Path) -> None:
    write_images(tmp_path, "A", "B")
    with pytest.raises(ValueError, match=r".") as caught:
        read(tmp_path, source="folder", path=".", splits=splits)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_one_folder_of_images_beside_a_table_is_refused_with_the_source(tmp_path: Path) -> None:
    write_images(tmp_path, "images", classes=())
    (tmp_path / "train.csv").write_text("image,label\n")
    line = refuse(tmp_path, source="folder", path=".")
    assert "there is only one class folder, 'images', beside train.csv" in line and "`source: csv`" in line


def test_folders_beside_splits_are_counted(tmp_path: Path) -> None:
    write_images(tmp_path, "train", "test", "unlabelled", "extra")
    raw = read(tmp_path, source="folder", path=".")
    assert raw.notes == ("Folders that are not a split, left out: extra (4 files), unlabelled (4 files).",)
    assert raw.left_out == {"in folders that are not a split": 8}


def test_classes_that_hold_the_same_folders_are_noted(tmp_path: Path) -> None:
    write_images(tmp_path, "site a", "site b")
    [note] = read(tmp_path, source="folder", path=".").notes
    assert "each holds the same folders, 'cat' and 'dog'" in note
    assert not read(tmp_path, source="folder", path=".", layout="group/class").notes


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("10", "2", "1"), ("1", "2", "10")),
        (("-1", "10", "2"), ("-1", "2", "10")),
        (("0.5", "10.0", "2.5"), ("0.5", "2.5", "10.0")),
        (("1", "01", "10"), ("01", "1", "10")),
        (("b", "10", "9"), ("9", "10", "b")),
        (("class10", "class2"), ("class10", "class2")),
    ],
)
def test_numeric_class_names_are_sorted_by_value(
    names: tuple[str, ...], order: tuple[str, ...], tmp_path: Path
) -> None:
    write_images(tmp_path, *names, classes=())
    assert read(tmp_path, source="folder", path=".").classes == order


@pytest.mark.parametrize("above", ["", "train/"])
def test_copy_of_the_classes_beside_them_is_no_class(above: str, tmp_path: Path) -> None:
    write_images(tmp_path / above, "cat", "dog", "pets/cat", "pets/dog", classes=())
    write_images(tmp_path / above, "mixed/cat", "mixed", "views/left", "views/right", classes=())
    if above:
        write_images(tmp_path, "test", classes=("cat", "dog", "mixed", "views"))
    raw = read(tmp_path, source="folder", path=".")
    assert raw.classes == ("cat", "dog", "mixed", "views")
    assert any("beside them, left out: pets (" in note for note in raw.notes)
    assert sum(raw.left_out.values()) > 0
    if not above:
        assert "pets" in read(tmp_path, source="folder", path=".", splits={"train": "."}).classes
