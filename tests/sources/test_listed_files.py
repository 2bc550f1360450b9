"""Tables as people have them: delimiters, encodings, files found by name, and headers that are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.source_files import noise, png, read, refuse

ROWS = [(f"img{row}", ("cat", "dog")[row % 2]) for row in range(6)]


def write_images(folder: Path, *, suffix: str = ".png", seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for (name, _), image in zip(ROWS, noise(len(ROWS), seed), strict=True):
        (folder / f"{name}{suffix}").write_bytes(png(image))


def write_table(path: Path, form: str, header: str = "image,label", *, encoding: str = "utf-8") -> None:
    """Write a row per image, of which the name takes the given form."""
    rows = [f"{form.format(name)},{label}" for name, label in ROWS]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*([header] if header else []), *rows, ""]).encode(encoding))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiter_of_the_header_is_used(delimiter: str, end: str, tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = [f"{name}.png{delimiter}{label}" for name, label in ROWS]
    (tmp_path / "a.csv").write_bytes(end.join([f"image{delimiter}label", *rows, ""]).encode())
    raw = read(tmp_path, source="csv", path="a.csv")
    assert raw.classes == ("cat", "dog") and len(raw.train.items) == 6 and raw.notes == ()


def test_line_of_excel_that_states_the_delimiter_is_read(tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = "".join(f"{name}.png;{label}\r\n" for name, label in ROWS)
    (tmp_path / "a.csv").write_bytes(f"sep=;\r\nimage;label\r\n{rows}".encode("utf-8-sig"))
    assert read(tmp_path, source="csv", path="a.csv").classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("encoding", "noted"),
    [
        ("utf-8", False),
        ("utf-8-sig", False),
        ("utf-16", False),
        ("utf-16-le", False),
        ("utf-16-be", False),
        ("latin-1", True),
        ("cp1252", True),
    ],
)
def test_encodings_are_recognized(encoding: str, noted: bool, tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = [f"{name}.png,{'épagneul' if label == 'dog' else 'chat'}" for name, label in ROWS]
    (tmp_path / "a.csv").write_bytes("\n".join(["image,label", *rows]).encode(encoding))
    raw = read(tmp_path, source="csv", path="a.csv")
    assert raw.classes == ("chat", "épagneul")
    assert raw.notes == (("a.csv is not in UTF-8 and was read as cp1252.",) if noted else ())


def test_encoding_may_be_stated(tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = [f"{name}.png,{'собака' if label == 'dog' else 'кот'}" for name, label in ROWS]
    (tmp_path / "a.csv").write_bytes("\n".join(["image,label", *rows]).encode("cp1251"))
    entry = {"source": "csv", "path": "a.csv"}
    assert read(tmp_path, **entry, encoding="cp1251").classes == ("кот", "собака")
    assert "cannot be read" in refuse(tmp_path, **entry, encoding="klingon")


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}.png",
        "images/{}",
        "./images/{}.png",
        "images\\{}.png",
        "/data/pets/images/{}.png",
        "C:\\pets\\images\\{}.png",
        " {}.png",
        "{}.PNG",
    ],
)
def test_files_are_found_by_their_names(form: str, tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    write_table(tmp_path / "train.csv", form)
    raw = read(tmp_path, source="csv", path="train.csv")
    assert [path.relative_to(tmp_path).as_posix() for path in raw.train.items] == [
        f"images/{name}.png" for name, _ in ROWS
    ]
    assert bool(raw.notes) == (form != "./images/{}.png")
    if raw.notes:
        assert raw.notes[0].startswith("Files found by their names, as they are not where listed: 6 (")


def test_file_in_the_folder_of_the_split_is_taken(tmp_path: Path) -> None:
    write_images(tmp_path / "train_images")
    write_images(tmp_path / "test_images", seed=9)
    for split in ("train", "test"):
        write_table(tmp_path / f"{split}.csv", "{}")
    raw = read(tmp_path, source="csv", train="train.csv", test="test.csv")
    assert raw.train.items[0] == tmp_path / "train_images" / "img0.png"
    assert raw.test.items[0] == tmp_path / "test_images" / "img0.png"


@pytest.mark.parametrize(
    ("form", "header", "reason"),
    [
        ("{}.png", "", "the first row, with 'img0.png', is data: there is no header (allowed: a first row"),
        ("{}.webp", "", "the first row, with 'img0.webp', is data"),
        ("{}.jpg", "image,label", "no listed file exists in"),
        ("x/{}.gif", "image,label", "(allowed: `root`, the folder of the files, or `file`,"),
        ("https://pets.org/{}.png", "image,label", "'https://pets.org/img0.png' is a web address"),
        ("", "image,label", "row 0 names no file"),
    ],
)
def test_wrong_lists_of_files_are_refused(form: str, header: str, reason: str, tmp_path: Path) -> None:
    write_images(tmp_path)
    write_table(tmp_path / "a.csv", form, header)
    assert reason in refuse(tmp_path, source="csv", path="a.csv")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe", b",,\n"])
def test_empty_tables_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert "a.csv: there is no table in this file" in refuse(tmp_path, source="csv", path="a.csv")


def test_name_that_two_files_have_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "a")
    write_images(tmp_path / "b", seed=3)
    write_table(tmp_path / "a.csv", "{}.png")
    assert "'img0.png' may be a/img0.png or b/img0.png" in refuse(tmp_path, source="csv", path="a.csv")
    write_table(tmp_path / "a.csv", "/data/b/{}.png")
    assert read(tmp_path, source="csv", path="a.csv").train.items[0] == tmp_path / "b" / "img0.png"


@pytest.mark.parametrize(
    "header", ["image_id,label", ",id,label", "Unnamed: 0,filename,class", "label,path", " image , label "]
)
def test_usual_columns_are_found(header: str, tmp_path: Path) -> None:
    write_images(tmp_path)
    names = header.split(",")
    rows = []
    for row, (name, label) in enumerate(ROWS):
        cells = {"label": label, "class": label, "": str(row), "Unnamed: 0": str(row)}
        rows.append(",".join(cells.get(column.strip(), f"{name}.png") for column in names))
    (tmp_path / "a.csv").write_text("\n".join([header, *rows]))
    raw = read(tmp_path, source="csv", path="a.csv")
    assert raw.classes == ("cat", "dog") and raw.train.items[1] == tmp_path / "img1.png"


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("NA", "None"), ("NA", "None")),
        (("null", "nan"), ("nan", "null")),
        (("yes", "no"), ("no", "yes")),
        (("True", "False"), ("False", "True")),
        (("1", "01"), ("01", "1")),
        (("007", "1.0"), ("1.0", "007")),
        (("99999999999999999999", "1"), ("1", "99999999999999999999")),
        (("cat ", " cat"), ("cat",)),
        (("²", "1"), ("1", "²")),
    ],
)
def test_class_names_are_what_is_written(
    labels: tuple[str, ...], classes: tuple[str, ...], tmp_path: Path
) -> None:
    write_images(tmp_path)
    rows = [f"{name}.png,{labels[row % 2]}" for row, (name, _) in enumerate(ROWS)]
    (tmp_path / "a.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    assert read(tmp_path, source="csv", path="a.csv").classes == classes


@pytest.mark.parametrize(
    ("values", "splits", "expected"),
    [
        (["TRAIN", "Testing"], None, {"train": 3, "test": 3}),
        (["1", "0"], {"train": 1, "test": 0}, {"train": 3, "test": 3}),
        (["False", "True"], {"train": False, "test": True}, {"train": 3, "test": 3}),
        (["a", "b", "c"], {"train": ["a", "b"], "test": "c"}, {"train": 4, "test": 2}),
        (["train", "test"], {"test": None}, {"train": 3}),
        (["train", "extra", ""], {"train": "train"}, {"train": 2}),
    ],
)
def test_values_of_the_split_column_can_be_stated(
    values: list[str], splits: Any, expected: dict[str, int], tmp_path: Path
) -> None:
    write_images(tmp_path)
    rows = [f"{name}.png,{label},{values[row % len(values)]}" for row, (name, label) in enumerate(ROWS)]
    (tmp_path / "a.csv").write_text("\n".join(["image,label,part", *rows]))
    raw = read(tmp_path, source="csv", path="a.csv", split="part", splits=splits)
    assert {split: len(each.items) for split, each in raw.given().items()} == expected
    left_out = [note for note in raw.notes if note.startswith("Rows that belong to no split, left out: 4")]
    assert bool(left_out) == ("extra" in values)


def test_splits_without_a_column_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path)
    write_table(tmp_path / "a.csv", "{}.png")
    line = refuse(tmp_path, source="csv", path="a.csv", splits={"train": "a", "test": "b"})
    assert "(allowed: `split`, the column of splits)" in line


@pytest.mark.parametrize("missing", ["-1", ""])
def test_split_without_labels_names_the_key_that_leaves_it_out(missing: str, tmp_path: Path) -> None:
    write_images(tmp_path)
    parts = ["train", "train", "train", "train", "test", "test"]
    labels = ["0", "1", "1", "0", missing, missing]
    rows = [f"{name}.png,{labels[row]},{parts[row]}" for row, (name, _) in enumerate(ROWS)]
    (tmp_path / "a.csv").write_text("\n".join(["image,label,part", *rows]))
    entry = {"source": "csv", "path": "a.csv", "split": "part"}
    line = refuse(tmp_path, **entry)
    assert "none of the 2 test examples has a label (allowed: `splits: {test: null}`" in line
    assert list(read(tmp_path, **entry, splits={"test": None}).given()) == ["train"]


def test_test_table_without_labels_names_the_key_that_leaves_it_out(tmp_path: Path) -> None:
    write_images(tmp_path)
    write_table(tmp_path / "train.csv", "{}.png")
    (tmp_path / "test.csv").write_text("image\nimg0.png\n")
    entry = {"source": "csv", "train": "train.csv", "test": "test.csv"}
    assert "`splits: {test: null}`, which leaves the test split out" in refuse(tmp_path, **entry)
    assert list(read(tmp_path, **entry, splits={"test": None}).given()) == ["train"]
