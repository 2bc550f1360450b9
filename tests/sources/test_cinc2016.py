"""The cinc2016 source: folders of training with tables of their own, sites, validation and faults."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from distillab.sources import load_dataset, parse_source, source_from_argument
from support.recordings import write_cinc2016
from support.source_files import read, refuse

AUDIO = {"seconds": 0.25, "n_mels": 12, "split_by": "image"}
ENTRY = {"source": "cinc2016", "path": "heart"}


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_records_have_their_labels_and_the_folder_as_group(tmp_path: Path, suffix: str) -> None:
    write_cinc2016(tmp_path / "heart", suffix=suffix)
    (tmp_path / "heart" / "training-a" / "RECORDS-abnormal").write_text("a0001\n")
    (tmp_path / "heart" / "training-a" / "a0001.hea").write_text("a0001 2 2000\n")
    raw = read(tmp_path, **ENTRY)
    assert raw.classes == ("normal", "abnormal") and raw.notes == ()
    assert raw.train.names[:2] == [f"training-a/a0001{suffix}", f"training-a/a0002{suffix}"]
    assert raw.train.targets.values.tolist() == [1, 0, 1, 0, 1, 0] * 2
    assert raw.group_names == ("training-a", "training-b")
    assert raw.train.groups.tolist() == [0] * 6 + [1] * 6
    assert raw.val is None and raw.test is None


def test_the_same_records_in_a_merged_table_are_the_same_examples(tmp_path: Path) -> None:
    write_cinc2016(tmp_path / "heart", seconds=0.6)
    rows = [
        f"{folder.name},{line}"
        for folder in sorted((tmp_path / "heart").iterdir())
        for line in (folder / "REFERENCE.csv").read_text().splitlines()
    ]
    (tmp_path / "heart" / "all.csv").write_text("\n".join(["site,record,label", *rows]))
    keys = AUDIO | {"segments": 2, "vote": True, "features": "mfcc", "n_mfcc": 6, "deltas": 1}
    merged = {
        "source": "audio_csv",
        "path": "heart/all.csv",
        "file": "{site}/{record}.wav",
        "label": "label",
        "group": "site",
        "class_names": {"-1": "normal", "1": "abnormal"},
    }
    one = load_dataset(parse_source(keys | ENTRY, tmp_path, "data"))
    other = load_dataset(parse_source(keys | merged, tmp_path, "data"))
    assert one.digest == other.digest
    assert one.train.parts is None and one.eval["test"].parts is not None
    assert one.train.shape == (2, 6, 26)


def test_validation_is_left_out_and_counted(tmp_path: Path) -> None:
    write_cinc2016(tmp_path / "heart")
    validation = tmp_path / "heart" / "validation"
    validation.mkdir()
    for name in ("a0001", "b0002"):
        shutil.copy(tmp_path / "heart" / f"training-{name[0]}" / f"{name}.wav", validation)
    shutil.copy(tmp_path / "heart" / "training-a" / "a0003.wav", validation / "z0001.wav")
    (validation / "REFERENCE.csv").write_text("a0001,1\nb0002,-1\nz0001,1\n")
    raw = read(tmp_path, **ENTRY)
    assert len(raw.train.names) == 12 and raw.val is None
    assert raw.notes == (
        "Recordings of the folder validation, left out: 3, of which 2 have the name of a record of training.",
    )


def test_recordings_that_no_table_lists_are_left_out_and_counted(tmp_path: Path) -> None:
    write_cinc2016(tmp_path / "heart")
    folder = tmp_path / "heart" / "training-b"
    shutil.copy(folder / "b0001.wav", folder / "b0099.wav")
    (folder / "._b0001.wav").write_bytes(b"of the system")
    raw = read(tmp_path, **ENTRY)
    assert len(raw.train.names) == 12
    assert raw.notes == ("Recordings that no REFERENCE.csv lists, left out: 1.",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a0001,2", "the label of 'a0001' is '2' (allowed: 1 (abnormal) or -1 (normal))"),
        ("a0001,", "the label of 'a0001' is ''"),
        ("record,label", "the label of 'record' is 'label'"),
        ("a0001", "'a0001' is not a record and its label (allowed: such as a0001,-1)"),
        ("a0077,1", "there is no file of record 'a0077' (allowed: a0077.wav or a0077.flac)"),
        ("a0002,1", "record 'a0002' is listed twice, first in "),
    ],
)
def test_a_line_that_is_no_record_is_refused(tmp_path: Path, line: str, message: str) -> None:
    write_cinc2016(tmp_path / "heart")
    table = tmp_path / "heart" / "training-a" / "REFERENCE.csv"
    table.write_text(f"a0002,-1\n\n{line}\n")
    assert f"{table}, line 3: {message}" in refuse(tmp_path, **ENTRY)


def test_a_record_in_two_folders_is_refused(tmp_path: Path) -> None:
    write_cinc2016(tmp_path / "heart")
    (tmp_path / "heart" / "training-b" / "REFERENCE.csv").write_text("a0001,1\n")
    line = refuse(tmp_path, **ENTRY)
    assert line.index("training-b/REFERENCE.csv, line 1") < line.index("training-a/REFERENCE.csv, line 1")
    assert "record 'a0001' is listed twice" in line


def test_unsuitable_folders_are_refused(tmp_path: Path) -> None:
    assert "heart: there is no such folder" in refuse(tmp_path, **ENTRY)
    (tmp_path / "heart").mkdir()
    assert "heart: no folder of training (allowed: training-a to training-f" in refuse(tmp_path, **ENTRY)
    (tmp_path / "heart" / "training-a").mkdir()
    assert "training-a/REFERENCE.csv: cannot be read" in refuse(tmp_path, **ENTRY)
    (tmp_path / "heart" / "training-a" / "REFERENCE.csv").write_text("\n")
    assert "training-a/REFERENCE.csv: no record is listed" in refuse(tmp_path, **ENTRY)
    write_cinc2016(tmp_path / "heart")
    for letter in "ab":
        (tmp_path / "heart" / f"training-{letter}" / "REFERENCE.csv").write_text(f"{letter}0001,1\n")
    assert "heart: all records are abnormal (allowed: records of both)" in refuse(tmp_path, **ENTRY)


def test_the_source_is_named_on_the_command_line(tmp_path: Path) -> None:
    write_cinc2016(tmp_path / "heart", each=10)
    entry = source_from_argument(f"cinc2016:{tmp_path / 'heart'}")
    dataset = load_dataset(entry)
    assert dataset.name == "cinc2016" and dataset.modality == "audio"
    assert np.sum([split.counts for split in (dataset.train, dataset.val, dataset.eval["test"])]) == 20
