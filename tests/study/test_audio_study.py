"""A study of recordings, from files to the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.errors import RequestError
from distillab.evidence.contrast import ExampleValues
from distillab.evidence.measurements import Measurements
from distillab.evidence.results import write_tables
from distillab.report.collect import collect_contents
from distillab.report.page.page import render
from distillab.study.folder import StudyFolder
from support.contributions import metrics_over_examples
from support.recordings import write_spoken
from support.studies import begin, run_here, spec

DATA = {
    "source": "audio",
    "path": "digits",
    "class_pattern": r"(\d)_",
    "group_pattern": r"_([a-z0-9]+)_",
    "split_by": "group",
    "val": 0.2,
    "test": 0.2,
    "seconds": 0.25,
    "n_mels": 12,
}
KEYS: dict[str, Any] = {
    "teacher": {"model": "resnet8", "provenance": "full", "recipe": {"steps": 20}},
    "factors": {"size": [4, 8]},
    "recipe": {"steps": 20, "batch_size": 8, "lr": 0.05},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyFolder, list[dict[str, Any]]]:
    """A finished study of two pitches, spoken by five speakers."""
    path = tmp_path_factory.mktemp("audio")
    write_spoken(path / "digits", speakers=5, takes=8)
    folder = begin(path, **_replaced(KEYS))
    return folder, run_here(folder)


def _replaced(keys: dict[str, Any]) -> dict[str, Any]:
    """The data are replaced as a whole: the keys of the small study are those of another source."""
    return {**keys, "data": DATA | {"classes": None}}


def test_recordings_are_distilled(finished: tuple[StudyFolder, list[dict[str, Any]]]) -> None:
    folder, rows = finished
    assert folder.dataset.modality == "audio" and folder.dataset.train.shape == (1, 12, 26)
    assert len(rows) == 8 and {row["status"] for row in rows} == {"done"}
    assert {row["method"] for row in rows} == {"ce", "kd"}
    assert np.mean([row["accuracy"] for row in rows]) > 0.8, "pitches are easy to separate"


def test_paired_students_share_their_recordings(finished: tuple[StudyFolder, list[dict[str, Any]]]) -> None:
    folder, rows = finished
    assert {row["n_train"] for row in rows} == {8, 16}
    groups = [folder.dataset.train.groups, folder.dataset.val.groups, folder.dataset.eval["test"].groups]
    assert all(split is not None for split in groups)
    speakers = [set(split.tolist()) for split in groups if split is not None]
    assert sum(map(len, speakers)) == 5, "no speaker is in two splits"


def test_mean_over_speakers_is_one_over_drawn_speakers(
    finished: tuple[StudyFolder, list[dict[str, Any]]],
) -> None:
    folder, rows = finished
    assert "group_accuracy" in metrics_over_examples(folder)
    contributions = Measurements(folder).contributions_to("group_accuracy")
    assert contributions is not None
    values = contributions(rows[0])
    assert isinstance(values, ExampleValues)
    assert values.ids.tolist() == np.unique(folder.dataset.eval["test"].groups).tolist()


def test_report_shows_spectrograms_with_players(
    finished: tuple[StudyFolder, list[dict[str, Any]]],
) -> None:
    folder, _ = finished
    contents = collect_contents(folder, write_tables(folder))
    [gallery] = contents.pictures
    assert all(tile.picture.shape == (3, 48, 104) for tile in gallery.before.tiles)  # type: ignore[union-attr]
    assert any(tile.sound for tile in gallery.before.tiles)
    page = render(contents)
    assert len(re.findall("<audio controls", page)) >= 4
    assert "data:audio/wav;base64," in page


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"resolution": [4]}, "factor resolution .* cannot change examples of modality audio"),
        ({"shift": {"levels": [3], "corruption": "fog"}}, "cannot change examples of modality audio"),
    ],
)
def test_factors_of_images_are_refused(tmp_path: Path, factors: dict[str, Any], message: str) -> None:
    write_spoken(tmp_path / "digits", speakers=5, takes=3)
    with pytest.raises(RequestError, match=message):
        begin(tmp_path, **_replaced(KEYS | {"factors": factors}))


def test_views_of_images_are_refused(tmp_path: Path) -> None:
    write_spoken(tmp_path / "digits", speakers=5, takes=3)
    with pytest.raises(RequestError, match="flip is an operation on image examples, and these are audio"):
        begin(tmp_path, **_replaced(KEYS | {"recipe": {"steps": 2, "views": ["flip"]}}))


def test_keys_of_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="unknown key 'resolution'"):
        spec(tmp_path, data=DATA | {"resolution": 32})
