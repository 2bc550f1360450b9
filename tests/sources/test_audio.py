"""Sources of audio: recordings in folders and tables, their classes, groups and segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from distillab.data.dataset import Dataset
from distillab.data.targets import LabelSets
from distillab.errors import RequestError
from distillab.sources import load_dataset, parse_source
from support.recordings import RATE, write_spoken, write_tone

AUDIO = {"seconds": 0.25, "n_mels": 12}


def load(entry: dict[str, Any], base: Path) -> Dataset:
    return load_dataset(parse_source(AUDIO | entry, base, "data"))


def groups_of(dataset: Dataset) -> list[set[int]]:
    splits = (dataset.train, dataset.val, dataset.eval["test"])
    return [set() if split.groups is None else set(split.groups.tolist()) for split in splits]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_class_folders_are_read(tmp_path: Path, suffix: str) -> None:
    for label, frequency in enumerate((400, 900)):
        for number in range(10):
            write_tone(tmp_path / f"tones/class{label}/{number}{suffix}", frequency, seed=10 * label + number)
    (tmp_path / "tones/class0/notes.txt").write_text("no recording")
    dataset = load({"source": "audio", "path": "tones"}, tmp_path)
    assert dataset.modality == "audio" and dataset.classes == ("class0", "class1")
    assert dataset.train.shape == (1, 12, 26)
    assert dataset.train.pool.items.dtype == np.float16
    loudest = dataset.train.items(np.arange(len(dataset.train))).mean(axis=(1, 3)).argmax(axis=1)
    low, high = (set(loudest[dataset.train.labels == label].tolist()) for label in (0, 1))
    assert max(low) < min(high)


def test_names_of_files_state_class_and_speaker(tmp_path: Path) -> None:
    write_spoken(tmp_path / "digits")
    entry = {
        "source": "audio",
        "path": "digits",
        "class_pattern": r"(\d)_",
        "group_pattern": r"_([a-z0-9]+)_",
        "split_by": "group",
        "val": 0.25,
        "test": 0.25,
    }
    dataset = load(entry, tmp_path)
    assert dataset.classes == ("0", "1")
    assert dataset.train.group_names == ("speaker0", "speaker1", "speaker2", "speaker3")
    train, val, test = groups_of(dataset)
    assert len(train) == 2 and len(val) == len(test) == 1
    assert not train & val and not train & test and not val & test
    assert sum(map(len, (dataset.train, dataset.val, dataset.eval["test"]))) == 40
    assert dataset.report.notes == ()


def test_class_pattern_must_match_every_file(tmp_path: Path) -> None:
    write_spoken(tmp_path / "digits", speakers=1, takes=1)
    with pytest.raises(RequestError, match=r"class_pattern: '\^\(x\)' is not found in '0_speaker0_0.wav'"):
        load({"source": "audio", "path": "digits", "class_pattern": "^(x)"}, tmp_path)


def write_table(folder: Path, recordings: int = 12, seconds: float = 0.25) -> None:
    lines = ["record,site,label,split"]
    for number in range(recordings):
        label, site = (1, -1)[number % 2], "ab"[number // 2 % 2]
        write_tone(folder / f"part-{site}" / f"r{number}.flac", 900 if label == 1 else 400, seconds, number)
        split = ("train", "train", "val", "test")[number // 2 % 4]
        lines.append(f"r{number},{site},{label},{split}")
    (folder / "REFERENCE.csv").write_text("\n".join(lines) + "\n")


TABLE = {
    "source": "audio_csv",
    "path": "REFERENCE.csv",
    "file": "part-{site}/{record}.flac",
    "label": "label",
    "class_names": {"-1": "normal", "1": "abnormal"},
}


def test_table_lists_recordings_labels_and_splits(tmp_path: Path) -> None:
    write_table(tmp_path)
    dataset = load(TABLE | {"split": "split", "group": "site"}, tmp_path)
    assert dataset.classes == ("normal", "abnormal")
    assert [len(split) for split in (dataset.train, dataset.val, dataset.eval["test"])] == [8, 2, 2]
    assert dataset.train.group_names == ("a", "b")
    assert dataset.report.carved == ()


def test_segments_of_a_recording_stay_together(tmp_path: Path) -> None:
    write_table(tmp_path, seconds=0.6)
    dataset = load(TABLE | {"segments": 3, "split_by": "group"}, tmp_path)
    splits = (dataset.train, dataset.val, dataset.eval["test"])
    assert sum(map(len, splits)) == 24, "0.6 s hold two full parts of 0.25 s"
    assert len(dataset.train.group_names) == 12
    train, val, test = groups_of(dataset)
    assert not train & val and not train & test and not val & test
    for split in splits:
        assert split.groups is not None and (np.unique(split.groups, return_counts=True)[1] == 2).all()


def test_no_split_is_carved_between_parts_of_a_recording(tmp_path: Path) -> None:
    """Also where groups are something else than recordings, and single examples are carved."""
    write_table(tmp_path, seconds=0.6)
    dataset = load(
        {k: v for k, v in TABLE.items() if k != "split_by"} | {"segments": 2, "group": "site"}, tmp_path
    )
    splits = (dataset.train, dataset.val, dataset.eval["test"])
    train, val, test = (set((split.ids // 2).tolist()) for split in splits)
    assert not train & val and not train & test and not val & test
    assert dataset.train.group_names == ("a", "b")


def test_recordings_of_val_and_test_consist_of_their_parts(tmp_path: Path) -> None:
    write_table(tmp_path, seconds=0.6)
    parts = load(TABLE | {"segments": 2, "split_by": "group"}, tmp_path)
    whole = load(TABLE | {"segments": 2, "split_by": "group", "vote": True}, tmp_path)
    assert whole.train.digest == parts.train.digest and whole.train.parts is None
    test, each = whole.eval["test"], parts.eval["test"]
    assert 2 * len(test) == len(each) and test.digest != each.digest
    flat, owners = test.each_part()
    np.testing.assert_array_equal(np.sort(flat.rows), np.sort(each.rows))
    np.testing.assert_array_equal(flat.labels, test.labels[owners])
    np.testing.assert_array_equal(each.groups[np.searchsorted(each.ids, test.ids)], test.groups)
    assert "whole recording" in " ".join(whole.report.notes)
    (tmp_path / "saved").mkdir()
    whole.save(tmp_path / "saved")
    assert Dataset.open(tmp_path / "saved").digest == whole.digest


def test_recordings_of_different_lengths_have_different_numbers_of_parts(tmp_path: Path) -> None:
    write_table(tmp_path, seconds=0.6)
    write_tone(tmp_path / "part-a" / "r0.flac", 400, 0.3)
    entry = TABLE | {
        "segments": 2,
        "vote": True,
        "split": "split",
        "splits": {"test": "train", "train": "test"},
    }
    test = load({k: v for k, v in entry.items() if k != "split_by"}, tmp_path).eval["test"]
    assert test.parts is not None
    assert sorted((test.parts >= 0).sum(axis=1).tolist()) == [1] + [2] * (len(test) - 1)


def test_segments_are_consecutive(tmp_path: Path) -> None:
    write_table(tmp_path, seconds=0.5)
    dataset = load(TABLE | {"segments": 2}, tmp_path)
    assert dataset.originals is not None
    whole, _ = soundfile.read(tmp_path / "part-a" / "r0.flac")
    for number in (0, 1):
        original = dataset.originals.of(number)
        assert original is not None
        part = whole[number * 1000 : (number + 1) * 1000]
        np.testing.assert_allclose(original.values / 32767, part / np.abs(part).max(), atol=1e-4)


def test_recordings_may_have_label_sets(tmp_path: Path) -> None:
    lines = ["file,low,high"]
    for number in range(12):
        write_tone(tmp_path / f"{number}.wav", 400 + 50 * number, seed=number)
        lines.append(f"{number}.wav,{number % 2},{int(number % 3 == 0)}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    dataset = load({"source": "audio_csv", "path": "labels.csv", "labels": ["low", "high"]}, tmp_path)
    assert isinstance(dataset.train.targets, LabelSets) and dataset.classes == ("low", "high")


def test_audio_datasets_are_saved_and_opened(tmp_path: Path) -> None:
    write_table(tmp_path)
    dataset = load(TABLE, tmp_path)
    (tmp_path / "saved").mkdir()
    dataset.save(tmp_path / "saved")
    opened = Dataset.open(tmp_path / "saved")
    assert opened.modality == "audio" and opened.digest == dataset.digest
    for mine, reference in zip(opened.normalization(), dataset.normalization(), strict=True):
        assert mine.shape == (1, 12)
        np.testing.assert_array_equal(mine, reference)
    for example_id in dataset.val.ids.tolist():
        assert opened.originals is not None and dataset.originals is not None
        kept, before = opened.originals.of(example_id), dataset.originals.of(example_id)
        assert kept is not None and before is not None and kept.facts == {"sample_rate": RATE}
        np.testing.assert_array_equal(kept.values, before.values)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"segments": 2, "seconds": None}, "segments have no length"),
        ({"vote": True}, "vote: a single part has nothing to vote with"),
        ({"class_names": {"x": "y"}}, "class_names: there is no class 'x' to rename"),
        ({"resolution": 32}, "unknown key 'resolution'"),
        ({"n_mels": 2}, "n_mels"),
    ],
)
def test_unsuitable_keys_are_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    write_table(tmp_path)
    with pytest.raises(RequestError, match=message):
        load(TABLE | keys, tmp_path)


@pytest.mark.real
def test_spoken_digits_are_split_by_speaker(real_data: Path) -> None:
    entry = {
        "source": "audio",
        "path": str(real_data / "digits_spoken"),
        "class_pattern": r"(\d)_",
        "group_pattern": r"_([a-z]+)_",
        "split_by": "group",
        "seconds": 1.0,
        "n_mels": 40,
    }
    dataset = load(entry, real_data)
    assert dataset.classes == tuple("0123456789")
    assert dataset.train.shape == (1, 40, 101)
    train, val, test = groups_of(dataset)
    assert len(train) == 4 and len(val) == len(test) == 1
    assert sum(map(len, (dataset.train, dataset.val, dataset.eval["test"]))) == 1500


@pytest.mark.real
def test_heart_sounds_are_split_by_record(real_data: Path) -> None:
    entry = {
        "source": "audio_csv",
        "path": str(real_data / "heart" / "REFERENCE.csv"),
        "file": "training-{database}/{record}.flac",
        "label": "label",
        "class_names": {"-1": "normal", "1": "abnormal"},
        "split_by": "group",
        "seconds": 2.5,
        "segments": 2,
        "features": "mfcc",
        "n_mfcc": 13,
        "n_mels": 26,
        "window": 0.064,
        "hop": 0.02,
        "duplicates": "keep",
    }
    dataset = load(entry, real_data)
    assert dataset.classes == ("normal", "abnormal") and dataset.train.shape == (1, 13, 126)
    splits = (dataset.train, dataset.val, dataset.eval["test"])
    counts = np.sum([split.counts for split in splits], axis=0)
    assert counts.tolist() == [2 * 2575, 2 * 665]  # the published counts of records
    train, val, test = groups_of(dataset)
    assert not train & val and not train & test and not val & test
