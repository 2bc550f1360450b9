"""Studies of ``studies/systems`` that have no test file of their own, in a small form; none is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support.radiographs import write_cxr14
from support.recordings import write_spoken
from support.source_files import png
from support.source_tree import ROOT, TEST_TREES, TESTS
from support.studies import rows_of
from support.systems import run_by_command, small_form, write_cifar100, write_lung


@pytest.mark.parametrize("name", ["lung-histology", "lung-histology-by-image"])
def test_one_teacher_teaches_five_students(name: str, tmp_path: Path) -> None:
    values = small_form(name, steps=2)
    values["data"]["resolution"] = 32
    values["teacher"]["model"] = "densenet121_mini"
    folder = run_by_command(write_lung(tmp_path), values)
    rows = rows_of(folder)
    assert {row["status"] for row in rows} == {"done"} and len(rows) == 10
    sides = [folder.dataset.train.groups, folder.dataset.eval["test"].groups]
    shared = set.intersection(*(set(each.tolist()) for each in sides if each is not None))
    assert bool(shared) == (name == "lung-histology-by-image"), "tiles are apart unless split by image"


def test_findings_of_chest_x_rays(tmp_path: Path) -> None:
    values = small_form("chest-xray", factors={"size": {"levels": [0.5, 1.0], "unit": "fraction"}})
    values["data"]["resolution"], values["teacher"]["model"] = 16, "resnet8"
    folder = run_by_command(write_cxr14(tmp_path, values["data"]["labels"]), values)
    rows = rows_of(folder)
    assert {row["factor.size"] for row in rows} == {0.5, 1.0}
    assert all(0 <= row["macro_auc"] <= 1 for row in rows)


def test_digits_of_a_speaker_who_is_new(tmp_path: Path) -> None:
    write_spoken(tmp_path / "digits_spoken", speakers=5, takes=4)
    values = small_form("spoken-digits", factors={"size": [4]})
    values["data"] |= {"seconds": 0.25, "n_mels": 12, "group_pattern": "_(speaker[0-9])_"}
    values["teacher"]["model"] = "resnet8"
    folder = run_by_command(tmp_path, values)
    assert {row["status"] for row in rows_of(folder)} == {"done"}
    sides = [folder.dataset.train.groups, folder.dataset.eval["test"].groups]
    assert not set.intersection(*(set(each.tolist()) for each in sides if each is not None))


@pytest.mark.parametrize("name", ["edge/cifar20", "edge/corn-leaf", "edge/eurosat"])
def test_networks_to_compress_are_trained(name: str, tmp_path: Path) -> None:
    write_cifar100(tmp_path, classes=20)
    for place in ("corn_leaf", "eurosat"):
        for label in range(3):
            (tmp_path / place / f"class {label}").mkdir(parents=True)
            for number in range(12):
                image = np.random.default_rng(number).integers(60 * label, 60 * label + 60, (32, 32, 3))
                file = tmp_path / place / f"class {label}" / f"{number}.png"
                file.write_bytes(png(image.astype(np.uint8)))
    [row] = rows_of(run_by_command(tmp_path, small_form(name)))
    assert row["status"] == "done" and row["student"] == "resnet8"


def test_every_study_of_a_system_has_a_small_form() -> None:
    tests = "".join((TESTS / file).read_text() for file in TEST_TREES)
    folder = ROOT / "studies" / "systems"
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")]
    assert [name for name in names if f'"{name}' not in tests] == []
