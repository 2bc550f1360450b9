"""The pictures of a study: the same examples before and after each factor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from distillab.factors import apply_chain
from distillab.report.collect.gallery import PICKED, class_counts, galleries
from distillab.report.contents.pictures import Pictures
from distillab.study.folder import StudyFolder
from distillab.study.spec.study import parse_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study that is planned and has not run."""
    place = tmp_path_factory.mktemp("gallery")
    values = {
        "study": "pictures",
        "data": {"source": "digits"},
        "teacher": {"model": "resnet8"},
        "students": ["resnet8"],
        "methods": ["kd"],
        "factors": {"size": [5, 50], "label_noise": [0.0, 0.5], "classes": [4]},
        "seeds": 1,
    }
    return StudyFolder.begin(place / "out", parse_study(values, place, "study"), torch.device("cpu"))


@pytest.fixture(scope="module")
def pictures(folder: StudyFolder) -> dict[str, Pictures]:
    with folder.ledger() as ledger:
        return {shown.factor: shown for shown in galleries(folder, ledger.conditions())}


@pytest.mark.parametrize("factor", ["size", "label_noise"])
def test_every_strip_shows_the_same_examples_of_all_classes(
    factor: str, folder: StudyFolder, pictures: dict[str, Pictures]
) -> None:
    shown = pictures[factor]
    real = {image.tobytes() for image in folder.dataset.train.images}
    assert len(shown.before.tiles) == PICKED
    assert {tile.labels for tile in shown.before.tiles} == {(name,) for name in folder.dataset.classes}
    for tile in shown.before.tiles:
        assert isinstance(tile.picture, np.ndarray)
        assert tile.picture.tobytes() in real
    for strip in shown.after:
        for before, after in zip(shown.before.tiles, strip.tiles, strict=True):
            assert np.array_equal(before.picture, after.picture)
            assert before.labels == after.labels


def test_removed_examples_are_marked_and_nested(pictures: dict[str, Pictures]) -> None:
    small, large = pictures["size"].after
    assert [strip.title for strip in (small, large)] == ["5 examples per class", "50 examples per class"]
    dropped = [[tile.dropped for tile in strip.tiles] for strip in (small, large)]
    assert all(by_small or not by_large for by_small, by_large in zip(*dropped, strict=True))
    assert 0 < sum(dropped[1]) < sum(dropped[0]) < PICKED  # each level differs from the next
    assert small.counts == (5,) * 10


def test_counts_belong_to_class_names(folder: StudyFolder, pictures: dict[str, Pictures]) -> None:
    shown = pictures["classes"]
    all_of, some = shown.before.counts, shown.after[0].counts
    assert len(some) == len(all_of) == 10
    assert sum(count > 0 for count in some) == 4
    assert all(after in (0, before) for before, after in zip(all_of, some, strict=True))
    read = folder.dataset.train
    halves = replace(read, parents=("low",) * 5 + ("high",) * 5)
    coarse = halves.with_parents_as_classes()
    assert class_counts(coarse, (*read.classes, *coarse.classes)) == (
        *[0] * 10,
        sum(all_of[:5]),
        sum(all_of[5:]),
    )


def test_changed_labels_are_those_of_the_factor(folder: StudyFolder, pictures: dict[str, Pictures]) -> None:
    clean, noisy = pictures["label_noise"].after
    assert not any(tile.changed for tile in clean.tiles)
    changed = [tile.changed for tile in noisy.tiles]
    assert 0 < sum(changed) < PICKED
    [_, levels, _] = folder.spec.factor_levels()
    made, _ = apply_chain(folder.dataset.train, [levels[1]], "transfer", 0)
    assert noisy.counts == tuple(made.counts)
    assert all(check.passed for check in pictures["label_noise"].checks)
