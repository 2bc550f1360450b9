"""ChestX-ray14, CheXpert and PadChest in the exact layouts of their authors, on drawn images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from distillab.cli import execute
from distillab.data.dataset import Dataset
from distillab.sources import load_dataset, parse_source, source_from_argument
from distillab.sources.chestxray14 import FINDINGS
from distillab.sources.chexpert import OBSERVATIONS
from support.radiographs import save, write_chestxray14, write_chexpert, write_padchest
from support.source_files import read, refuse

COLLECTIONS = {"chestxray14": write_chestxray14, "chexpert": write_chexpert, "padchest": write_padchest}


def load(folder: Path, source: str, **keys: Any) -> Dataset:
    return load_dataset(parse_source({"source": source, **keys}, folder, "study.yaml: data"))


def patients_of(dataset: Dataset) -> list[set[int]]:
    splits = [dataset.train, dataset.val, *dataset.eval.values()]
    assert all(split.groups is not None for split in splits)
    return [set(split.groups.tolist()) for split in splits if split.groups is not None]


@pytest.mark.parametrize("name", COLLECTIONS)
def test_no_patient_is_on_two_sides_by_default(name: str, tmp_path: Path) -> None:
    dataset = load(tmp_path, name, **COLLECTIONS[name](tmp_path))
    train, val, test = patients_of(dataset)
    assert not (train & val or train & test or val & test)
    assert min(map(len, (train, val, test))) > 1
    mixed = load(tmp_path, name, split_by="image", path=next(tmp_path.iterdir()).name)
    train, _, test = patients_of(mixed)
    assert train & test, "two images per patient were split by image"


@pytest.mark.parametrize("name", COLLECTIONS)
def test_collection_is_named_with_its_folder_on_the_command_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / COLLECTIONS[name](tmp_path)["path"]
    assert source_from_argument(f"{name}:{path}").entry() == {"source": name, "path": str(path)}


def test_findings_of_chestxray14_are_those_of_its_table(tmp_path: Path) -> None:
    write_chestxray14(tmp_path)
    raw = read(tmp_path, source="chestxray14", path="nih")
    assert raw.classes == FINDINGS
    for line in (tmp_path / "nih" / "Data_Entry_2017.csv").read_text().splitlines()[1:]:
        name, cell, *_ = line.split(",")
        row = raw.train.names.index(name)
        found = [FINDINGS[label] for label in np.flatnonzero(raw.train.targets.values[row])]
        assert sorted(found) == sorted(set(cell.split("|")) - {"No Finding"})
        assert raw.train.items[row].is_file(), "in images_001/images or images_002/images"
        assert raw.group_names[raw.train.groups[row]] == str(int(name[:8]))


def test_newer_table_of_chestxray14_comes_first(tmp_path: Path) -> None:
    write_chestxray14(tmp_path)
    table = tmp_path / "nih" / "Data_Entry_2017.csv"
    newer = table.read_text().replace("Patient Gender", "Patient Sex").replace("No Finding", "Hernia")
    (tmp_path / "nih" / "Data_Entry_2017_v2020.csv").write_text(newer)
    raw = read(tmp_path, source="chestxray14", path="nih")
    assert raw.train.targets.counts[FINDINGS.index("Hernia")] > len(raw.train.names) / 3


def test_official_lists_are_train_and_test(tmp_path: Path) -> None:
    write_chestxray14(tmp_path, lists=True)
    raw = read(tmp_path, source="chestxray14", path="nih")
    listed = (tmp_path / "nih" / "test_list.txt").read_text().split()
    assert raw.val is None
    assert sorted(raw.test.names) == sorted(listed)
    train, val, test = patients_of(load(tmp_path, "chestxray14", path="nih"))
    assert not (train & val or (train | val) & test)


def test_patient_in_both_official_lists_is_named(tmp_path: Path) -> None:
    write_chestxray14(tmp_path, lists=True)
    train, test = (tmp_path / "nih" / name for name in ("train_val_list.txt", "test_list.txt"))
    moved, *rest = train.read_text().split()
    train.write_text("\n".join(rest))
    test.write_text(test.read_text() + moved)
    line = refuse(tmp_path, source="chestxray14", path="nih")
    assert "patient '1' is in" in line
    assert "split_by: image" in line
    assert len(load(tmp_path, "chestxray14", path="nih", split_by="image").train)
    carved = load(tmp_path, "chestxray14", path="nih", splits={"test": None})
    assert "test" in carved.report.carved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda nih: (nih / "test_list.txt").unlink(), "there is no such list beside train_val_list.txt"),
        (lambda nih: (nih / "Data_Entry_2017.csv").unlink(), "Data_Entry_2017.csv"),
        (lambda nih: replace(nih / "Data_Entry_2017.csv", "Effusion", "Efusion"), "did you mean 'Effusion'?"),
        (lambda nih: replace(nih / "Data_Entry_2017.csv", "Patient ID", "Patient"), "'Patient ID'"),
        (lambda nih: copy_first(nih), "may be"),
        (lambda nih: replace(nih / "train_val_list.txt", ".png", ".jpg"), "no listed image is in train"),
    ],
)
def test_other_layouts_are_refused_in_one_line(change: Any, message: str, tmp_path: Path) -> None:
    write_chestxray14(tmp_path, lists=True)
    change(tmp_path / "nih")
    assert message in refuse(tmp_path, source="chestxray14", path="nih")


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def copy_first(nih: Path) -> None:
    first = nih / "images_001" / "images" / "00000001_000.png"
    (nih / "images").mkdir()
    (nih / "images" / first.name).write_bytes(first.read_bytes())


def test_images_of_one_projection(tmp_path: Path) -> None:
    write_chestxray14(tmp_path)
    raw = read(tmp_path, source="chestxray14", path="nih", projections=["PA"])
    assert {name[9:12] for name in raw.train.names} == {"001"}
    line = refuse(tmp_path, source="chestxray14", path="nih", projections=["LL"])
    assert "unknown projection 'LL'" in line
    assert "AP, PA" in line


def test_images_that_are_missing_are_skipped_or_refused(tmp_path: Path) -> None:
    write_chestxray14(tmp_path)
    (tmp_path / "nih" / "images_001" / "images" / "00000003_000.png").unlink()
    assert "00000003_000.png" in refuse(tmp_path, source="chestxray14", path="nih")
    assert len(load(tmp_path, "chestxray14", path="nih", on_broken="skip").report.broken) == 1
    for image in tmp_path.glob("nih/*/*/*.png"):
        image.unlink()
    assert "no listed image exists" in refuse(tmp_path, source="chestxray14", path="nih", on_broken="skip")


def test_label_without_an_example_in_train_is_named(tmp_path: Path) -> None:
    write_chestxray14(tmp_path, lists=True)
    table, lists = tmp_path / "nih" / "Data_Entry_2017.csv", tmp_path / "nih" / "train_val_list.txt"
    train = set(lists.read_text().split())
    lines = table.read_text().splitlines()
    kept = [
        line.replace("Hernia", "Mass")
        if line.split(",")[0] in train
        else line.replace("No Finding", "Hernia")
        for line in lines
    ]
    table.write_text("\n".join(kept) + "\n")
    line = refuse(tmp_path, source="chestxray14", path="nih")
    assert "train has no example of 1 of 14 labels: 'Hernia'" in line
    rest = [name for name in FINDINGS if name != "Hernia"]
    assert load(tmp_path, "chestxray14", path="nih", classes=rest).classes == tuple(rest)


def test_observations_of_chexpert(tmp_path: Path) -> None:
    write_chexpert(tmp_path)
    raw = read(tmp_path, source="chexpert", path="CheXpert-v1.0-small")
    assert raw.classes == OBSERVATIONS
    assert raw.test is None
    assert len(raw.val.names) == 16
    value = {"1.0": 1, "0.0": 0, "-1.0": -1, "": 0}
    lines = (tmp_path / "CheXpert-v1.0-small" / "train.csv").read_text().splitlines()[1:]
    for row, line in enumerate(lines):
        assert raw.train.targets.values[row].tolist() == [value[cell] for cell in line.split(",")[6:]]
        assert raw.group_names[raw.train.groups[row]] == raw.train.names[row].split("/")[1]


def test_blank_observations_are_unknown_if_wanted(tmp_path: Path) -> None:
    write_chexpert(tmp_path)
    raw = read(tmp_path, source="chexpert", path="CheXpert-v1.0-small", blank="ignore")
    lines = (tmp_path / "CheXpert-v1.0-small" / "train.csv").read_text().splitlines()[1:]
    for row, line in enumerate(lines):
        healthy, *cells = line.split(",")[5:]
        unknown = [OBSERVATIONS[place] for place in np.flatnonzero(raw.train.targets.values[row] == -1)]
        blank = [name for name, cell in zip(OBSERVATIONS, cells, strict=True) if cell in ("", "-1.0")]
        assert unknown == (["Support Devices"] if healthy else blank)


def test_valid_of_chexpert_may_be_test(tmp_path: Path) -> None:
    write_chexpert(tmp_path)
    keys = {"path": "CheXpert-v1.0-small", "splits": {"test": "valid"}}
    dataset = load(tmp_path, "chexpert", **keys)
    assert len(dataset.eval["test"]) == 16
    assert dataset.report.carved == ("val",)
    frontal = load(tmp_path, "chexpert", **keys, projections=["Frontal"])
    assert len(frontal.eval["test"]) == 8


def test_patient_in_train_and_valid_is_named(tmp_path: Path) -> None:
    write_chexpert(tmp_path)
    root = tmp_path / "CheXpert-v1.0-small"
    replace(root / "valid.csv", "valid/patient64541", "valid/patient00007")
    (root / "valid" / "patient64541").rename(root / "valid" / "patient00007")
    line = refuse(tmp_path, source="chexpert", path="CheXpert-v1.0-small")
    assert "patient 'patient00007' is in train and in val" in line


def test_value_that_is_no_observation_is_refused(tmp_path: Path) -> None:
    write_chexpert(tmp_path)
    replace(tmp_path / "CheXpert-v1.0-small" / "train.csv", ",-1.0,", ",2.0,")
    line = refuse(tmp_path, source="chexpert", path="CheXpert-v1.0-small")
    assert "value '2.0' in row" in line
    assert "-1 (uncertain)" in line


def test_policy_for_uncertain_labels_does_not_fill_blanks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_chexpert(tmp_path)
    study = {
        "study": "policies",
        "task": {"name": "multilabel", "uncertain": "ones"},
        "data": {"source": "chexpert", "path": str(tmp_path / "CheXpert-v1.0-small"), "blank": "ignore"},
        "teacher": {"model": "resnet8"},
        "students": ["resnet8"],
        "methods": ["ce", "kd"],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert execute(["plan", str(tmp_path / "study.yaml")]) == 2
    refusal = capsys.readouterr().err
    assert "'uncertain: ones' also applies to blank labels" in refusal
    assert len(refusal.strip().splitlines()) == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_labels_of_padchest(compressed: bool, tmp_path: Path) -> None:
    write_padchest(tmp_path, compressed=compressed)
    raw = read(tmp_path, source="padchest", path="padchest")
    assert raw.classes == ("cardiomegaly", "nodule", "pleural effusion", "scoliosis"), "without blanks"
    assert (raw.train.targets.values.sum(axis=1) == 0).sum() >= len(raw.train.names) / 3, "normal"
    assert all(item.is_file() for item in raw.train.items)
    assert raw.notes == ()


def test_images_of_padchest_without_a_statement_are_left_out(tmp_path: Path) -> None:
    write_padchest(tmp_path)
    table = next((tmp_path / "padchest").glob("*.csv"))
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace(",PA,", ",EXCLUDE,")
    for row, labels in ((2, ""), (3, "['unchanged']"), (4, "['exclude', 'suboptimal study']")):
        start, end = lines[row].index('Physician,"') + 11, lines[row].rindex('",[]')
        lines[row] = f"{lines[row][:start]}{labels}{lines[row][end:]}"
    start, end = lines[5].index('Physician,"') + 11, lines[5].rindex('",[]')
    lines[5] = f"{lines[5][:start]}['unchanged', 'nodule']{lines[5][end:]}"
    table.write_text("\n".join(lines) + "\n")
    raw = read(tmp_path, source="padchest", path="padchest")
    assert len(raw.train.names) == len(lines) - 1 - 4
    assert raw.train.targets.values[0].tolist() == [0, 1, 0, 0]
    assert raw.notes == ("Images left out by their projection: 1.", "Images left out by their labels: 3.")


def test_labels_of_padchest_that_are_no_list_are_refused(tmp_path: Path) -> None:
    write_padchest(tmp_path)
    replace(next((tmp_path / "padchest").glob("*.csv")), "['normal']", "normal")
    line = refuse(tmp_path, source="padchest", path="padchest")
    assert "'normal' is not a list of labels" in line
    (tmp_path / "empty").mkdir()
    assert "there is no table" in refuse(tmp_path, source="padchest", path="empty")


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    write_padchest(tmp_path)
    for place, path in enumerate(sorted(tmp_path.glob("padchest/images/*/*.png"))):
        save(np.full((16, 16), 50 * place, np.uint16), path)
    dataset = load(tmp_path, "padchest", path="padchest", duplicates="keep")
    values = dataset.train.items(np.arange(len(dataset.train)))
    assert values.min() < 10
    assert values.max() > 245


def test_entry_is_json(tmp_path: Path) -> None:
    for name, write in COLLECTIONS.items():
        source = parse_source({"source": name, **write(tmp_path)}, tmp_path, "data")
        assert json.loads(json.dumps(source.entry()))["source"] == name
        assert "split_by" not in source.entry(), "by patient is the default"
