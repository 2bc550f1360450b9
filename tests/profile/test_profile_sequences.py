"""Profiles of recordings and of texts: what is planted is found, and what only images have is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import distillab
from distillab.cli import execute
from distillab.errors import RequestError
from distillab.profile import Profile
from distillab.profile.families import FAMILIES, IMAGES_ONLY
from support.recordings import PITCHES, RATE, write_spoken, write_tone

SPOKEN: dict[str, Any] = {
    "class_pattern": r"(\d)_",
    "group_pattern": r"_(speaker\d)_",
    "seconds": 0.25,
    "n_mels": 16,
}
LETTERS = {"rain": "abcdefghijk", "sun": "mnopqrstuvw"}


def write_texts(folder: Path, each: int = 60) -> Path:
    """Write texts of two classes, of which those about the sun are longer, to a file with a header."""
    rng, rows = np.random.default_rng(0), ["text\tlabel"]
    for label, letters in LETTERS.items():
        for _ in range(each):
            words = ["".join(rng.choice(list(letters), 6)) for _ in range(3 if label == "rain" else 7)]
            rows.append(f"{' '.join(words)}\t{label}")
    (folder / "weather.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "weather.tsv"


def add_lines(path: Path, *lines: str) -> None:
    path.write_text(path.read_text() + "\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """The profile of 40 tones by four speakers, with a copy, a quieter copy and a longer recording."""
    folder = tmp_path_factory.mktemp("spoken")
    write_spoken(folder)
    rng = np.random.default_rng(1)
    chirp = np.cumsum(rng.normal(0, 0.05, RATE // 4))
    sounds = {"0_speaker0_90": chirp, "0_speaker0_91": chirp, "0_speaker0_92": 0.5 * chirp}
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", 0.3 * samples / np.abs(chirp).max(), RATE)
    write_tone(folder / "1_speaker1_93.wav", PITCHES[1], seconds=1.5, seed=93)
    return distillab.profile(f"audio:{folder}", keys=SPOKEN)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """The profile of texts with a copy, a near copy of another class, and a strange character in test."""
    path = write_texts(tmp_path_factory.mktemp("texts"))
    add_lines(
        path,
        "bright beach in the summer shade 0001s\tsun",
        "bright beach in the summer shade 0001s\tsun",
        "bright beach in the summer shades 0001s\train",
    )
    test = path.with_name("test.tsv")
    test.write_text("text\tlabel\nstorm 雨 wind\train\nheat beach\tsun\n", encoding="utf-8")
    return distillab.profile("text", keys={"train": str(path), "test": str(test), "length": 64})


@pytest.mark.parametrize("kind", ["spoken", "texts"])
def test_families_of_images_alone_are_one_line_each(kind: str, request: pytest.FixtureRequest) -> None:
    profile: Profile = request.getfixturevalue(kind)
    families = {family.key: family for family in profile.families}
    assert families.keys() >= FAMILIES.keys() - {"association", "distance", "teacher"}
    for name in IMAGES_ONLY:
        assert not families[name].measures
        [note] = families[name].notes
        assert "images only" in note
    others = [
        measure for name, each in families.items() if name not in IMAGES_ONLY for measure in each.measures
    ]
    assert not any("image" in f"{each.label} {each.means} {each.alarm}" for each in others)


def test_sizes_and_groups_of_recordings(spoken: Profile) -> None:
    assert (spoken.modality, spoken.embedding) == ("audio", "spectra")
    measures = spoken.measures
    assert measures["images"].value == 44 and measures["classes"].value == 2
    assert measures["cramers_v_group"].value < 0.3
    assert measures["probe_accuracy"].value > 0.9


def test_copies_of_a_recording_are_found_also_when_they_are_quieter(spoken: Profile) -> None:
    measures = spoken.measures
    assert measures["exact_duplicates"].value == pytest.approx(1 / 44)
    assert measures["near_duplicates"].value == pytest.approx(1 / 44)
    assert measures["effective_images"].value == 42


def test_lengths_of_recordings_are_those_before_they_are_cut(spoken: Profile) -> None:
    measures = spoken.measures
    assert measures["length_median"].value == pytest.approx(0.25)
    assert measures["length_max"].value == pytest.approx(1.5)


def test_copies_of_texts_and_their_labels(texts: Profile) -> None:
    measures = texts.measures
    assert (texts.modality, texts.embedding) == ("text", "characters")
    assert measures["images"].value == 123
    assert measures["exact_duplicates"].value == pytest.approx(1 / 123)
    assert measures["near_duplicates"].value == pytest.approx(1 / 123)
    assert measures["duplicate_label_conflicts"].value >= 1
    shown = [
        picture.text
        for family in texts.families
        for gallery in family.galleries
        for _, row in gallery.rows
        for picture in row
    ]
    assert "bright beach in the summer shades 0001s" in shown


def test_lengths_that_predict_the_class_are_an_alarm(texts: Profile) -> None:
    measures = texts.measures
    assert measures["cue_length"].value > 0.9
    assert any("length alone predicts the class" in alarm for alarm in texts.alarms)
    assert measures["length_max"].value > measures["length_median"].value > measures["length_min"].value


def test_vocabulary_is_counted_and_compared_with_test(texts: Profile) -> None:
    characters = set("".join(LETTERS.values())) | set("bright beach in the summer shade 0001s")
    measures = texts.measures
    assert measures["vocabulary"].value == len(characters)
    among = len("storm 雨 wind") + len("heat beach")
    assert measures["unknown_characters_test"].value == pytest.approx(1 / among)


def test_commands_print_texts_and_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_texts(tmp_path)
    add_lines(path, *["a copy of the same text\train"] * 2)
    page = tmp_path / "page.html"
    command = ["profile", f"text:{path}", "--set", "length=64"]
    assert execute([*command, "--out", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "weather: 122 texts, 64 characters" in printed
    assert "Border, background, color and detail are cues of images only." in printed
    assert "122 texts of 2 classes, 64 characters</h1>" in page.read_text()
    assert "<q>a copy of the same text</q>" in page.read_text()
    assert execute([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["modality"] == "text" and found["shape"] == [1, 1, 64]


def test_embedding_of_another_modality_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write_texts(tmp_path)
    with pytest.raises(RequestError, match="the embedding patches is for image examples") as caught:
        distillab.profile(f"text:{path}", embedding="patches", keys={"length": 64})
    assert str(caught.value).endswith("(allowed: characters)")


def test_parts_of_recordings_count_one_by_one(tmp_path: Path) -> None:
    write_spoken(tmp_path)
    keys = {**SPOKEN, "seconds": 0.1, "segments": 2, "vote": True, "split_by": "group"}
    profile = distillab.profile(f"audio:{tmp_path}", keys=keys)
    assert profile.images == 80
    [size] = [family for family in profile.families if family.key == "size"]
    assert any("several parts" in note for note in size.notes)
