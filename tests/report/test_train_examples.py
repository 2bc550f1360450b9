"""Training examples as read, which every report shows: images, sounds, texts and boxes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distillab.data.examples import Examples
from distillab.evidence.answer import Answer
from distillab.report import ReportContents, render
from distillab.report.collect.gallery import SOUNDS
from distillab.report.collect.train_examples import (
    LONGEST_TEXT,
    TRAIN_EXAMPLES,
    choose_of_classes,
    train_examples,
)
from distillab.report.contents.pictures import Pictures
from distillab.study.folder import StudyFolder
from distillab.study.spec.study import parse_study
from support.recordings import write_cinc2016


def examples_of(folder: Path, data: dict[str, Any], **changes: Any) -> tuple[StudyFolder, Pictures]:
    """Return a study without factors that is planned and has not run, and the examples that it shows."""
    values = {
        "study": "shown",
        "data": data,
        "teacher": {"model": "resnet8"},
        "students": ["resnet8"],
        "methods": ["kd"],
        "seeds": 1,
        **changes,
    }
    study = StudyFolder.begin(folder / "out", parse_study(values, folder, "study"), torch.device("cpu"))
    shown = train_examples(study)
    assert shown is not None
    return study, shown


def page_of(shown: Pictures) -> str:
    html = render(ReportContents("shown", Answer("Nothing has run yet."), examples=shown))
    return html[html.index('id="examples-title"') : html.index("<h3>Factors</h3>")]


def test_images_of_every_class_are_shown(tmp_path: Path) -> None:
    study, shown = examples_of(tmp_path, {"source": "digits"})
    train = study.dataset.train
    names = [train.classes[label] for label in train.labels]
    real = {(image.tobytes(), name) for image, name in zip(train.images, names, strict=True)}
    assert len(shown.before.tiles) == TRAIN_EXAMPLES
    assert {tile.labels for tile in shown.before.tiles} == {(name,) for name in train.classes}
    for tile in shown.before.tiles:
        assert isinstance(tile.picture, np.ndarray) and (tile.picture.tobytes(), *tile.labels) in real
    page = page_of(shown)
    assert page.count("<img src=") == TRAIN_EXAMPLES and '<span class="class" title="7">7</span>' in page
    again = train_examples(study)
    assert again is not None
    for one, other in zip(shown.before.tiles, again.before.tiles, strict=True):
        np.testing.assert_array_equal(one.picture, other.picture)


def test_of_many_classes_a_random_choice_is_shown() -> None:
    names = tuple(f"class {number}" for number in range(30))
    examples = Examples.of(np.zeros((60, 1, 8, 8), np.uint8), list(range(30)) * 2, names)
    labels = examples.labels[choose_of_classes(examples, 12)].tolist()
    assert len(set(labels)) == 12 and labels == sorted(labels) and labels != list(range(12))


def test_sounds_are_shown_with_players_and_axes(tmp_path: Path) -> None:
    write_cinc2016(tmp_path / "heart", each=20)
    data = {"source": "cinc2016", "path": "heart", "seconds": 0.25, "n_mels": 12, "fmin": 20}
    _, shown = examples_of(tmp_path, data)
    assert len(shown.before.tiles) == SOUNDS and all(tile.sound for tile in shown.before.tiles)
    assert shown.axes == ("0.25 s", "mel, 20–2000 Hz")
    page = page_of(shown)
    assert page.count("<audio controls") == SOUNDS
    assert "<i>0</i><i>mel, 20–2000 Hz ↑</i><i>0.25 s</i>" in page
    assert {tile.labels for tile in shown.before.tiles} == {("normal",), ("abnormal",)}


def test_axis_of_cepstral_coefficients_has_no_frequencies(tmp_path: Path) -> None:
    write_cinc2016(tmp_path / "heart", each=20)
    data = {"source": "cinc2016", "path": "heart", "features": "mfcc", "n_mels": 12, "n_mfcc": 8}
    _, shown = examples_of(tmp_path, data)
    assert shown.axes == ("0.25 s", "coefficients")


def test_texts_are_shortened_and_escaped(tmp_path: Path) -> None:
    rows = [f"<b>{'xy'[number % 2]}{number:04}</b>{'word ' * 80},{'xy'[number % 2]}" for number in range(40)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    _, shown = examples_of(
        tmp_path,
        {"source": "text", "path": "texts.csv", "length": 512},
        teacher={"model": "textcnn"},
        students=["textcnn_small"],
    )
    page = page_of(shown)
    assert len(re.findall("<blockquote", page)) == TRAIN_EXAMPLES and "<img" not in page
    assert "&lt;b&gt;" in page and "<b>x" not in page
    assert all(tile.text is not None and len(tile.text) == LONGEST_TEXT + 1 for tile in shown.before.tiles)


def test_boxes_are_drawn_where_they_are(tmp_path: Path) -> None:
    data = {"source": "drawn_boxes", "images": 30, "test_images": 12, "resolution": 32}
    _, shown = examples_of(
        tmp_path,
        data,
        task="detection",
        teacher={"model": "fcos_resnet_s"},
        students=["fcos_resnet_s"],
        methods=["kd"],
    )
    assert len(shown.before.tiles) == TRAIN_EXAMPLES and shown.several_labels
    for tile in shown.before.tiles:
        assert isinstance(tile.picture, np.ndarray) and tile.picture.shape == (3, 128, 128)
        orange = (tile.picture == np.array([255, 140, 0], np.uint8)[:, None, None]).all(axis=0)
        assert orange.any() == bool(tile.labels)


@pytest.mark.parametrize("most", [1, 5])
def test_fewer_examples_than_wanted_are_all_shown(most: int) -> None:
    examples = Examples.of(np.zeros((3, 1, 8, 8), np.uint8), [0, 1, 1], ("no", "yes"))
    assert len(choose_of_classes(examples, most)) == min(most, 3)
