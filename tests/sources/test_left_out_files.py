"""Files that a folder source does not read are counted by kind, in the report of the data as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from distillab.data.dataset import Dataset
from distillab.modalities.image.formats import INSTALLABLE_FORMATS, image_extensions
from distillab.sources import load_dataset, parse_source
from distillab.sources.folder_tree import describe_left_out, list_folder
from support.source_files import noise, png, read, refuse, write_folder


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("cat/photo", "without an ending"),
        ("cat/drawing.SVG", ".svg"),
        ("cat/raw.CR2", ".cr2"),
        ("notes.txt", ".txt"),
        ("cat/.hidden.png", "hidden"),
        ("cat/._0.png", "of macOS (._*)"),
        ("cat/Thumbs.db", "of the system"),
        ("dog/.DS_Store", "of the system"),
        ("cat/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "in @eaDir"),
        ("cat/.thumbnails/0.png", "in .thumbnails"),
        ("cat/.picasaoriginals/0.png", "in .picasaoriginals"),
        (".ipynb_checkpoints/0-checkpoint.png", "in .ipynb_checkpoints"),
        ("__MACOSX/cat/0.png", "in __MACOSX"),
        ("__pycache__/a.pyc", "in __pycache__"),
        ("cat/__pycache__/a.png", "in __pycache__"),
        (".git/config", "in hidden folders"),
        ("loose.png", "outside class folders"),
    ],
)
def test_unread_files_are_counted_by_kind(file: str, kind: str, tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(png(noise(1, 99)[0]))
    raw = read(tmp_path, source="folder", path=".")
    assert raw.left_out == {kind: 1}
    assert raw.classes == ("cat", "dog") and len(raw.train.items) == 12


def test_counts_are_part_of_the_report_and_of_what_is_saved(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets")
    for row in range(3):
        (tmp_path / "pets" / "cat" / f"IMG_{row}.svg").touch()
    (tmp_path / "pets" / "cat" / "photo").touch()
    dataset = load_dataset(parse_source({"source": "folder", "path": "pets"}, tmp_path, "data"))
    assert dataset.report.left_out == {".svg": 3, "without an ending": 1}
    assert "Files left out: 4 (3 .svg; 1 without an ending)." in dataset.report.notes
    (tmp_path / "saved").mkdir()
    dataset.save(tmp_path / "saved")
    assert Dataset.open(tmp_path / "saved").report == dataset.report
    facts = json.loads((tmp_path / "saved" / "dataset.json").read_text())
    assert facts["report"]["left_out"] == {".svg": 3, "without an ending": 1}


def test_folder_without_readable_files_names_what_it_holds(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.svg").touch()
    line = refuse(tmp_path, source="folder", path=".")
    assert "no image in a class folder here; files left out: 2 (2 .svg)" in line


@pytest.mark.parametrize("ending", [".heic", ".HEIF", ".jxl", ".avif"])
def test_format_that_an_extra_reads_is_named_with_it(ending: str, tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "cat" / f"IMG_0{ending}").touch()
    _, left_out = list_folder(tmp_path, frozenset({".png"}))
    command = INSTALLABLE_FORMATS[ending.lower()]
    assert describe_left_out(left_out) == (
        f"Files left out: 1 (1 {ending.lower()}, readable after {command}).",
    )


def test_avif_images_are_read(tmp_path: Path) -> None:
    write_folder(tmp_path)
    Image.fromarray(noise(1, 50, side=16)[0]).save(tmp_path / "cat" / "z.avif")
    assert ".avif" in image_extensions()
    raw = read(tmp_path, source="folder", path=".")
    assert raw.train.names[6] == "cat/z.avif" and not raw.left_out


def test_heic_images_are_read_with_the_extra(tmp_path: Path) -> None:
    heif: Any = pytest.importorskip("pillow_heif", reason="the extra distillab[heif] is not installed")
    heif.register_heif_opener()
    write_folder(tmp_path)
    Image.fromarray(noise(1, 50, side=64)[0]).save(tmp_path / "cat" / "z.heic")
    dataset = load_dataset(parse_source({"source": "folder", "path": ".", "resolution": 8}, tmp_path, "data"))
    assert sum(map(len, (dataset.train, dataset.val, dataset.eval["test"]))) == 13
    assert not dataset.report.left_out
