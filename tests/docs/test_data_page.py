"""The examples of docs/data.md are read as the page states, from files as it describes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distillab.sources import load_dataset, parse_source
from distillab.study.spec.study_yaml import load_study_yaml
from support.documents import code_blocks
from support.source_files import noise, png, write_breakhis, write_folder, write_parquet, write_shards
from support.source_tree import ROOT

PAGE = code_blocks(ROOT / "docs" / "data.md")
ENTRIES = [load_study_yaml(block.text)["data"] for block in PAGE if block.language == "yaml"]


def flowers(folder: Path) -> None:
    write_folder(folder / "flowers", ("daisy", "rose"))


def scans(folder: Path) -> None:
    for seed, split in enumerate(("Training", "Testing")):
        write_folder(folder / "scans" / split, ("glioma", "healthy"), seed=10 * seed)


def years(folder: Path) -> None:
    for seed, year in enumerate(("2019", "2020", "extra/2021")):
        write_folder(folder / "years" / year, seed=10 * seed)


def table(path: Path, images: Path, header: str, row: Callable[[int], str]) -> None:
    images.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(noise(40, 0)):
        (images / f"{number}.jpg").write_bytes(png(image))
    path.write_text("\n".join([header, *map(row, range(40))]))


def birds(folder: Path) -> None:
    path = folder / "birds" / "train.csv"
    table(path, folder / "birds" / "images", "image_id,species,bird_box", lambda n: f"{n},{'ab'[n % 2]},0")


def folds(folder: Path) -> None:
    path = folder / "folds" / "all.csv"
    table(path, folder / "folds", "file,species,fold", lambda n: f"{n}.jpg,{'ab'[n % 2]},{n // 2 % 5}")


def clinic(folder: Path) -> None:
    path = folder / "clinic" / "labels.csv"
    table(path, folder / "clinic" / "images", "file,finding,patient", lambda n: f"{n}.jpg,{n % 2},p{n // 2}")


def breakhis(folder: Path) -> None:
    write_breakhis(folder / "BreaKHis_v1")


def hub(folder: Path) -> None:
    for seed, split in enumerate(("train", "validation", "test")):
        write_parquet(folder / "hub" / f"{split}-00000-of-00001.parquet", seed=seed)


def unlabelled_test(folder: Path) -> None:
    for seed, split in enumerate(("train", "validation", "test")):
        labels = {"label": [-1] * 12} if split == "test" else {}
        write_parquet(folder / "unlabelled-test" / f"{split}-00000-of-00001.parquet", seed=seed, **labels)


def shards(folder: Path) -> None:
    write_shards(folder / "shards")


def answers(folder: Path) -> None:
    write_folder(folder / "answers", ("yes", "no", "maybe"))


FILES: dict[str, Callable[[Path], None]] = {
    "flowers": flowers,
    "scans": scans,
    "years": years,
    "birds": birds,
    "folds": folds,
    "clinic": clinic,
    "BreaKHis_v1": breakhis,
    "hub": hub,
    "unlabelled-test": unlabelled_test,
    "shards": shards,
    "answers": answers,
}
SIZES = {"scans": 12, "years": 12, "folds": 8, "hub": 12, "shards": 12}
"""Test examples where the files have a test split."""


@pytest.mark.parametrize("entry", ENTRIES, ids=[str(entry["path"]) for entry in ENTRIES])
def test_every_entry_reads_the_files_that_the_page_describes(entry: dict[str, Any], tmp_path: Path) -> None:
    name = str(entry["path"]).partition("/")[0]
    FILES[name](tmp_path)
    dataset = load_dataset(parse_source(entry, tmp_path, "data.md"))
    assert len(dataset.classes) == 2 and dataset.train.shape == (3, 32, 32)
    if name in SIZES:
        assert len(dataset.eval["test"]) == SIZES[name] and "test" not in dataset.report.carved
    if name == "unlabelled-test":
        assert ("test" in dataset.report.carved) == (entry["splits"]["test"] is None)
    assert name != "answers" or dataset.classes == ("no", "yes")


def test_every_kind_of_files_is_on_the_page() -> None:
    assert {str(entry["path"]).partition("/")[0] for entry in ENTRIES} == set(FILES)


def test_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers(tmp_path)
    monkeypatch.chdir(tmp_path)
    [code] = [block.text for block in PAGE if block.language == "python"]
    exec(compile(code, "data.md", "exec"), {})
    assert capsys.readouterr().out == "('daisy', 'rose') 8 2 2\n"
