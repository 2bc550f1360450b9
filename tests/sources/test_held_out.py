"""Classes that are tested and never trained on, and lists of trials as people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from distillab.cli import execute
from distillab.data.dataset import Dataset
from distillab.data.targets import Identities, Labels
from distillab.errors import RequestError
from distillab.sources import load_dataset, parse_source
from support.recordings import write_tone
from support.systems import refusal_of_plan, write_cifar100

pytest.importorskip("soundfile", reason="the extra distillab[audio] is not installed")

SPEAKERS = ("id10270", "id10271", "id10309", "id10310")
AUDIO = {
    "source": "audio",
    "path": "wav",
    "class_pattern": r"(id\d+)/",
    "seconds": 0.25,
    "n_mels": 8,
    "val": 0.25,
}


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Recordings of four speakers in the folders of VoxCeleb: identity, video, number."""
    for number, speaker in enumerate(SPEAKERS):
        for video in ("5r0dWxy17C8", "8jEAjG6SegY"):
            for part in range(4):
                path = tmp_path / "wav" / speaker / video / f"{part + 1:05}.wav"
                write_tone(path, 300 + 150 * number, 0.6, seed=100 * number + part + 10 * len(video))
    return tmp_path


def load(base: Path, **changes: Any) -> Dataset:
    return load_dataset(parse_source(AUDIO | changes, base, "data"))


def listed(base: Path, *lines: str) -> str:
    (base / "veri_test2.txt").write_text("\n".join(lines) + "\n")
    return "veri_test2.txt"


SAME = "1 id10309/5r0dWxy17C8/00001.wav id10309/8jEAjG6SegY/00002.wav"
OTHER = "0 id10309/5r0dWxy17C8/00001.wav id10310/5r0dWxy17C8/00001.wav"


def test_held_out_classes_are_tested_alone(voices: Path) -> None:
    dataset = load(voices, unseen_classes=["id10271", "id10310"])
    assert dataset.classes == ("id10270", "id10309") == dataset.val.classes
    test = dataset.eval["test"]
    assert test.classes == ("id10271", "id10310") and test.counts.tolist() == [8, 8]
    assert isinstance(test.targets, Identities) and test.targets.trials is None
    assert type(dataset.train.targets) is Labels and (dataset.train.counts + dataset.val.counts).tolist() == [
        8,
        8,
    ]
    assert (dataset.val.counts > 0).all()
    assert "Classes that are tested and not trained on: 2 ('id10271', 'id10310')." in dataset.report.notes
    numbered = load(voices, unseen_classes=2)
    assert numbered.eval["test"].classes == ("id10309", "id10310")


def test_a_list_of_trials_is_the_test_set(voices: Path) -> None:
    dataset = load(voices, trials=listed(voices, SAME, OTHER))
    test = dataset.eval["test"]
    assert test.classes == ("id10309", "id10310") and len(test) == 3
    assert isinstance(test.targets, Identities) and test.targets.trials is not None
    same = np.equal(*test.targets.values[test.targets.trials].T)
    assert same.tolist() == [True, False]
    assert dataset.classes == ("id10270", "id10271"), "other recordings of these speakers are not trained on"
    assert any("left out: 13" in note for note in dataset.report.notes)


def test_a_dataset_with_identities_is_read_back(voices: Path, tmp_path: Path) -> None:
    dataset = load(voices, trials=listed(voices, SAME, OTHER))
    (tmp_path / "stored").mkdir()
    dataset.save(tmp_path / "stored")
    again = Dataset.open(tmp_path / "stored")
    assert again.digest == dataset.digest
    test, before = again.eval["test"], dataset.eval["test"]
    assert test.classes == before.classes and isinstance(test.targets, Identities)
    np.testing.assert_array_equal(test.targets.trials, before.targets.trials)  # type: ignore[attr-defined]


def test_the_parts_of_a_recording_share_its_trials(voices: Path) -> None:
    parts = {"seconds": 0.2, "segments": 3, "vote": True}
    dataset = load(voices, trials=listed(voices, SAME, OTHER), **parts)
    test = dataset.eval["test"]
    assert test.parts is not None and len(test) == 3
    assert test.parts.shape[1] == 3 and (test.parts >= 0).all(), "every part of a listed recording"
    assert isinstance(test.targets, Identities) and test.targets.trials is not None
    assert np.equal(*test.targets.values[test.targets.trials].T).tolist() == [True, False]


def test_a_given_test_split_keeps_its_examples_of_held_out_classes(tmp_path: Path) -> None:
    write_cifar100(tmp_path, classes=5)
    entry = {
        "source": "parquet",
        "train": str(tmp_path / "cifar100/train.parquet"),
        "test": str(tmp_path / "cifar100/test.parquet"),
        "label": "fine_label",
        "unseen_classes": 2,
    }
    dataset = load_dataset(parse_source(entry, tmp_path, "data"))
    assert len(dataset.classes) == 3 and dataset.eval["test"].counts.tolist() == [6, 6]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 id10309/5r0dWxy17C8/00001.wav"], "line 1: '1 id10309/5r0dWxy17C8/00001.wav' is no trial"),
        ([SAME, "2 a b"], "line 2: '2 a b' is no trial (allowed: 0 or 1 and two names)"),
        ([SAME, OTHER.replace("00001", "00009")], "line 2: unknown file 'id10309/5r0dWxy17C8/00009.wav'"),
        (
            [OTHER.replace("0 ", "1 ", 1)],
            "the trial says the same identity, and the files are of 'id10309' and 'id10310'",
        ),
        (["1 id10309/5r0dWxy17C8/00001.wav id10309/5r0dWxy17C8/00001.wav"], "needs two different files"),
        ([""], "there is no trial"),
        ([SAME], "fewer than two classes would be tested"),
    ],
)
def test_wrong_lists_are_refused_in_one_line(voices: Path, lines: list[str], message: str) -> None:
    with pytest.raises(RequestError) as raised:
        load(voices, trials=listed(voices, *lines))
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unseen_classes": ["id10271", "nobody"]}, "unknown class 'nobody'"),
        ({"unseen_classes": 3}, "1 class would be left to train on"),
        ({"trials": "missing.txt"}, "missing.txt"),
        ({"unseen_classes": ["id10270", "id10271"], "trials": True}, "which is trained on"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(voices: Path, changes: dict[str, Any], message: str) -> None:
    if changes.get("trials") is True:
        changes = changes | {"trials": listed(voices, SAME, OTHER)}
    with pytest.raises(RequestError) as raised:
        source = parse_source(AUDIO | changes, voices, "data")
        source.check_paths()
        load_dataset(source)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_other_tasks_and_factors_refuse_held_out_classes(
    voices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values: dict[str, Any] = {
        "study": "voices",
        "data": AUDIO | {"unseen_classes": 2},
        "teacher": {"model": "resnet8"},
        "students": ["resnet8"],
        "methods": ["ce", "kd"],
        "seeds": 1,
        "recipe": {"steps": 1},
    }
    assert "the task is classification (allowed: task: verification" in refusal_of_plan(
        voices, values, capsys
    )
    values |= {"task": "verification", "factors": {"classes": {"levels": [2], "roles": ["transfer", "eval"]}}}
    assert "cannot change identities that are not trained on" in refusal_of_plan(voices, values, capsys)
    (voices / "study.yaml").write_text(yaml.safe_dump({**values, "factors": {}}))
    assert execute(["plan", str(voices / "study.yaml")]) == 0


@pytest.mark.parametrize("command", ["profile", "advise", "distill"])
def test_commands_for_classifiers_refuse_held_out_classes(
    voices: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"class_pattern": r"(id\d+)/", "seconds": 0.25, "n_mels": 8, "unseen_classes": 2}
    keys = [part for key, value in entry.items() for part in ("--set", f"{key}={value}")]
    further = {"distill": ["--student", "resnet8", "--out", str(voices / "out")], "advise": ["--budget", "0"]}
    assert execute([command, f"audio:{voices / 'wav'}", *keys, *further.get(command, [])]) == 2
    [line] = [each for each in capsys.readouterr().err.splitlines() if each.strip()]
    assert "does not work with classes that are not trained on" in line
