"""The text source: tables, JSON lines, files without a header, class names, lengths and faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.modalities.text import text_of
from distillab.sources import load_dataset, parse_source, source_from_argument
from support.source_files import read, refuse

WORDS = ("买 房", "涨停", "股市")


def write_titles(folder: Path) -> None:
    """Write titles without a header, as THUCNews has them: TEXT<tab>NUMBER."""
    for split, first in (("train", 0), ("test", 100)):
        lines = [f"{WORDS[n % 3]} {first + n}\t{n % 3}" for n in range(30)]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "class.txt").write_text("realty\nstocks\nfinance\n")


TITLES: dict[str, Any] = {
    "source": "text",
    "train": "train.txt",
    "test": "test.txt",
    "columns": ["text", "label"],
    "class_file": "class.txt",
    "length": 12,
}


def load(folder: Path, **entry: Any) -> Any:
    return load_dataset(parse_source(entry, folder, "study.yaml: data"))


def test_titles_without_a_header_have_named_classes(tmp_path: Path) -> None:
    write_titles(tmp_path)
    dataset = load(tmp_path, **TITLES)
    assert dataset.classes == ("realty", "stocks", "finance")
    assert dataset.train.shape == (1, 1, 12) and dataset.modality == "text"
    test = dataset.eval["test"]
    assert len(test) == 30
    shown = {
        text_of(item): test.classes[label]
        for item, label in zip(test.items(np.arange(30)), test.labels, strict=True)
    }
    assert shown["买 房 100"] == "realty" and shown["股市 102"] == "finance"


def test_vocabulary_is_that_of_the_training_split(tmp_path: Path) -> None:
    write_titles(tmp_path)
    (tmp_path / "test.txt").write_text("".join(f"罕见字 {n}\t{n % 3}\n" for n in range(6)), encoding="utf-8")
    dataset = load(tmp_path, **TITLES)
    points, counts = dataset.normalization()
    characters = {chr(int(point)) for point in points}
    assert "股" in characters and not characters & set("罕见字")
    assert (np.diff(counts) <= 0).all()


def test_equal_texts_in_two_splits_are_dropped_from_train(tmp_path: Path) -> None:
    write_titles(tmp_path)
    with (tmp_path / "train.txt").open("a", encoding="utf-8") as file:
        file.write("股市  １０２\t2\n")  # full-width digits and another space: equal after cleaning
    dataset = load(tmp_path, **TITLES)
    assert dataset.report.dropped_duplicates == 1


def test_json_lines_of_clue_are_read(tmp_path: Path) -> None:
    rows = [
        {"label": str(100 + n % 2), "label_desc": ("edu", "cars")[n % 2], "sentence": f"{WORDS[n % 2]} {n}"}
        for n in range(40)
    ]
    (tmp_path / "train.json").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    raw = read(tmp_path, source="text", path="train.json", label="label_desc")
    assert raw.classes == ("cars", "edu")
    assert raw.train.items[:2] == ["买 房 0", "涨停 1"]


def test_usual_columns_are_found_and_groups_kept(tmp_path: Path) -> None:
    rows = [f"great place {n},{n % 2},shop{n // 4}" for n in range(40)]
    (tmp_path / "reviews.csv").write_text("\n".join(["review,label,shop", *rows]))
    raw = read(tmp_path, source="text", path="reviews.csv", group="shop")
    assert raw.train.items[0] == "great place 0" and len(raw.group_names) == 10


def test_longer_texts_are_cut_and_counted(tmp_path: Path) -> None:
    write_titles(tmp_path)
    dataset = load(tmp_path, **(TITLES | {"length": 5, "duplicates": "keep"}))
    assert "Texts longer than 5 characters, cut: 36." in dataset.report.notes


def test_texts_without_a_character_are_named(tmp_path: Path) -> None:
    write_titles(tmp_path)
    with (tmp_path / "train.txt").open("a", encoding="utf-8") as file:
        file.write(" \t1\n")
    line = refuse(tmp_path, **TITLES)
    assert "train[30] (it has no character)" in line
    assert len(load(tmp_path, **TITLES, on_broken="skip").report.broken) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"train": "nowhere.txt"}, "there is no such file"),
        (
            {"columns": ["text", "label", "more"]},
            "train.txt, line 1: this line has 2 cells, and `columns` names 3",
        ),
        ({"columns": ["text", "text"]}, "names a column twice"),
        ({"columns": ["a", "label"]}, "no column of a, label has a usual name of texts"),
        ({"text": "titel"}, "unknown text column 'titel'"),
        ({"class_file": "test.txt", "encoding": "ascii"}, "cannot be read"),
        ({"class_file": "short.txt"}, "names 1 classes, and labels are"),
        ({"class_file": "gap.txt"}, "each with a name"),
        ({"length": 2}, "length"),
        ({"resolution": 32}, "unknown key 'resolution'"),
    ],
)
def test_unusable_texts_are_refused(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    write_titles(tmp_path)
    (tmp_path / "short.txt").write_text("realty\n")
    (tmp_path / "gap.txt").write_text("realty\n\nfinance\n")
    assert message in refuse(tmp_path, **(TITLES | entry))


@pytest.mark.parametrize("file", ["train.txt", "class.txt", "train.csv", "train.json"])
def test_texts_of_another_encoding_are_refused_by_name(tmp_path: Path, file: str) -> None:
    write_titles(tmp_path)
    written = {
        "train.txt": "".join(f"楼市 {n}\t{n % 3}\n" for n in range(30)),
        "class.txt": "楼市\n股票\n财经\n",
        "train.csv": "text,label\n" + "".join(f"楼市 {n},{n % 2}\n" for n in range(30)),
        "train.json": "".join(f'{{"text": "楼市 {n}", "label": "{n % 2}"}}\n' for n in range(30)),
    }
    (tmp_path / file).write_text(written[file], encoding="gb18030")
    entry = TITLES if file.endswith("txt") else {"source": "text", "path": file}
    line = refuse(tmp_path, **entry)
    assert file in line and "is not in UTF-8" in line
    if file != "class.txt":
        alone = {key: value for key, value in entry.items() if key != "class_file"} | {"encoding": "gb18030"}
        (tmp_path / "test.txt").write_text(
            "".join(f"股票 {n}\t{n % 3}\n" for n in range(9)), encoding="gb18030"
        )
        assert len(read(tmp_path, **alone).train.items) > 0


def test_unknown_labels_do_not_become_the_last_class(tmp_path: Path) -> None:
    write_titles(tmp_path)
    (tmp_path / "train.txt").write_text("".join(f"title {n}\t{n % 3 - 1}\n" for n in range(30)))
    assert "labels are -1, 0, 1" in refuse(tmp_path, **TITLES)


def test_line_separators_within_texts_do_not_split_rows(tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"a\u2028b {n}", "label": str(n % 2)}, ensure_ascii=False) for n in range(20)]
    (tmp_path / "train.jsonl").write_text("\r\n".join(rows), encoding="utf-8", newline="")
    assert len(read(tmp_path, source="text", path="train.jsonl").train.items) == 20


def test_damaged_json_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"sentence": "a", "label": "1"}\n["b"]\n')
    line = refuse(tmp_path, source="text", path="train.json")
    assert "train.json, line 2: this line is no JSON object" in line


def test_table_is_an_argument_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\n")
    assert source_from_argument("text:reviews.csv").kind == "text"


@pytest.mark.real
def test_titles_of_thucnews_have_ten_classes(real_data: Path) -> None:
    folder = real_data / "zh_text" / "thucnews_titles"
    entry = {
        "source": "text",
        "train": str(folder / "dev.txt"),
        "test": str(folder / "test.txt"),
        "columns": ["text", "label"],
        "class_file": str(folder / "class.txt"),
        "length": 32,
    }
    dataset = load(real_data, **entry)
    assert dataset.classes[0] == "finance" and len(dataset.classes) == 10
    assert len(dataset.eval["test"]) == 10_000
    assert dataset.report.dropped_duplicates > 0  # titles that are in both files
