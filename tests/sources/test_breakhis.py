"""The breakhis source: names of files, patients, magnifications, folds and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.sources import load_dataset, parse_source, source_from_argument
from support.source_files import read, refuse, write_breakhis

ROOT = "BreaKHis_v1"


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """The names of the images below ``tmp_path / ROOT``."""
    return write_breakhis(tmp_path / ROOT)


def write_fold(folder: Path, lines: list[str]) -> None:
    folder.mkdir()
    (folder / "dsfold1.txt").write_text("".join(f"{line}\n" for line in lines))


def lines_of(names: list[str], test_patients: tuple[str, ...]) -> list[str]:
    """Return the lines of a fold whose test patients are named by the end of their number."""
    return [
        f"{name}|{name.split('-')[3]}|1|{'test' if name.split('-')[2] in test_patients else 'train'}"
        for name in names
    ]


def test_names_state_tumor_patient_and_magnification(tmp_path: Path, images: list[str]) -> None:
    raw = read(tmp_path, source="breakhis", path=ROOT)
    assert raw.classes == ("benign", "malignant")
    assert len(raw.train.items) == len(images) == 8 * 2 * 2
    assert raw.group_names == tuple(f"14-{number}" for number in range(1, 9))
    for name, label in zip(raw.train.names, raw.train.targets.values, strict=True):
        assert raw.classes[label] == ("benign" if "SOB_B_" in name else "malignant")
    one = read(tmp_path, source="breakhis", path=ROOT, magnification=100)
    assert len(one.train.items) == 8 * 2
    assert all("-100-" in name for name in one.train.names)


def test_subtypes_are_the_eight_tumors(tmp_path: Path, images: list[str]) -> None:
    raw = read(tmp_path, source="breakhis", path=ROOT, target="subtype")
    assert raw.classes[4] == "ductal carcinoma" and len(raw.classes) == 8
    assert set(raw.train.targets.values[["_DC-" in name for name in raw.train.names]]) == {4}
    np.testing.assert_array_equal(np.bincount(raw.train.targets.values), [4] * 8)


def test_no_patient_is_on_two_sides_of_a_carved_split(tmp_path: Path, images: list[str]) -> None:
    dataset = load_dataset(parse_source({"source": "breakhis", "path": ROOT}, tmp_path, "data"))
    sides = [dataset.train, dataset.val, dataset.eval["test"]]
    patients = [set(side.groups.tolist()) for side in sides if side.groups is not None]
    assert len(patients) == 3
    assert sum(map(len, patients)) == len(set().union(*patients)) == 8


def test_patient_of_two_subtypes_is_one_group(tmp_path: Path) -> None:
    write_breakhis(tmp_path / ROOT, ["B_A-14-1", "M_DC-14-13412", "M_LC-14-13412"])
    raw = read(tmp_path, source="breakhis", path=ROOT)
    assert raw.group_names == ("14-1", "14-13412")
    assert raw.notes == ("Patients with images under several subtypes: 14-13412; each is one group.",)


def test_published_fold_gives_train_and_test(tmp_path: Path, images: list[str]) -> None:
    write_fold(tmp_path / "mkfold", lines_of(images, ("4", "8")))
    raw = read(tmp_path, source="breakhis", path=ROOT, magnification=40, folds="mkfold", fold=1)
    assert {raw.group_names[code] for code in raw.test.groups} == {"14-4", "14-8"}
    assert len(raw.train.items) == 6 * 2 and len(raw.test.items) == 2 * 2


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "nowhere"}, "there is no such folder"),
        ({"magnification": 400}, "there is no image at 400x"),
        ({"magnification": 50}, "magnification"),
        ({"fold": 1}, "'folds' and 'fold' belong together"),
        ({"folds": "mkfold", "fold": 6}, "fold"),
        ({"folds": "mkfold", "fold": 2}, "dsfold2.txt: cannot be read"),
    ],
)
def test_unusable_requests_are_refused(
    tmp_path: Path, images: list[str], entry: dict[str, Any], message: str
) -> None:
    write_fold(tmp_path / "mkfold", lines_of(images, ("4", "8")))
    assert message in refuse(tmp_path, **({"source": "breakhis", "path": ROOT} | entry))


def test_patient_on_both_sides_of_a_fold_is_refused(tmp_path: Path, images: list[str]) -> None:
    lines = lines_of(images, ("4", "8"))
    lines[0] = lines[0].replace("train", "test")
    write_fold(tmp_path / "mkfold", lines)
    line = refuse(tmp_path, source="breakhis", path=ROOT, folds="mkfold", fold=1)
    assert "patient 14-1 is in train and in test" in line


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("absent.png|40|1|train", "1 listed files are missing, such as absent.png"),
        ("a line without bars", "is no line of a fold (allowed: file|magnification|fold|train or test)"),
    ],
)
def test_damaged_folds_are_refused(tmp_path: Path, images: list[str], fault: str, message: str) -> None:
    write_fold(tmp_path / "mkfold", [*lines_of(images, ("4", "8")), fault])
    assert message in refuse(tmp_path, source="breakhis", path=ROOT, folds="mkfold", fold=1)


def test_file_of_another_name_is_refused(tmp_path: Path, images: list[str]) -> None:
    (tmp_path / ROOT / "tumor.png").write_bytes((next((tmp_path / ROOT).rglob("*.png"))).read_bytes())
    line = refuse(tmp_path, source="breakhis", path=ROOT)
    assert "tumor.png: the name of this file states no tumor, patient and magnification" in line


def test_folder_is_an_argument_of_the_command_line(
    tmp_path: Path, images: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_from_argument(f"breakhis:{ROOT}").kind == "breakhis"
