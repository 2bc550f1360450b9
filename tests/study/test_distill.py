"""``distill``: the distilled student, its gain, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from distillab import distill
from distillab.api import Distilled
from distillab.artefacts import LOGITS, load_logits, load_state
from distillab.errors import RequestError
from support.live import IMAGES, LABELS, SHORT, SmallNet, trained_net

FIVE = {"recipe": SHORT, "seeds": 5, "executor": "inline", "device": "cpu"}


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Distilled:
    out = tmp_path_factory.mktemp("distill") / "run"
    return distill(trained_net(), SmallNet, (IMAGES, LABELS), out=out, **FIVE)


def test_the_student_is_a_network_of_the_given_class_in_evaluation_mode(distilled: Distilled) -> None:
    assert type(distilled.student) is SmallNet
    assert not distilled.student.training
    assert distilled.classes == ("0", "1") and distilled.shape == (3, 16, 16)


def test_the_numbers_are_those_of_the_tables(distilled: Distilled) -> None:
    rows = distilled.finished.tables.results
    for method, score in (("kd", distilled.accuracy), ("ce", distilled.plain_accuracy)):
        assert np.mean([row["accuracy"] for row in rows if row["method"] == method]) == pytest.approx(score)
    assert distilled.gain == pytest.approx(distilled.accuracy - distilled.plain_accuracy)
    assert distilled.n_pairs == 5 and distilled.interval is not None
    assert distilled.interval[0] <= distilled.gain <= distilled.interval[1]
    assert distilled.teacher_score == rows[-1]["teacher_accuracy"]


def test_its_logits_are_those_that_were_tested(distilled: Distilled) -> None:
    folder = distilled.finished.folder
    test = folder.dataset.eval["test"]
    [run] = [
        row["run_id"]
        for row in distilled.finished.tables.results
        if (row["method"], row["seed"]) == ("kd", distilled.seed)
    ]
    stored = load_logits(folder.store.folder("student", run) / LOGITS)["test.last"]
    pixels = test.items(np.arange(len(test)))
    np.testing.assert_allclose(distilled.logits(pixels), stored, atol=2e-3)
    np.testing.assert_allclose(distilled.logits(torch.from_numpy(pixels / 255)), stored, atol=2e-3)
    assert distilled.predict(pixels) == [distilled.classes[label] for label in stored.argmax(axis=1)]


def test_the_saved_file_has_weights_classes_and_normalization(distilled: Distilled, tmp_path: Path) -> None:
    file = distilled.save(tmp_path)
    assert file == tmp_path / "student.safetensors"
    again = SmallNet()
    load_state(again, file)
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), distilled.student.parameters(), strict=True)
    )
    with safe_open(file, "pt") as content:
        metadata = content.metadata()
    assert json.loads(metadata["classes"]) == ["0", "1"]
    assert json.loads(metadata["normalization"])["mean"] == list(distilled.mean)
    with pytest.raises(RequestError, match="cannot be written"):
        distilled.save(tmp_path / "missing" / "student.safetensors")


def test_the_normalization_of_a_teacher_is_stated(distilled: Distilled, tmp_path: Path) -> None:
    given: dict[str, Any] = {"out": tmp_path / "same", **FIVE, "seeds": 1}
    statistics = (distilled.mean, distilled.std)
    same = distill(trained_net(), "resnet8", (IMAGES, LABELS), normalization=statistics, **given)
    assert same.teacher_score == distilled.teacher_score
    assert same.finished.folder.spec.teacher.normalisation.mean == distilled.mean  # type: ignore[union-attr]


def test_few_pairs_have_no_interval_and_the_folder_is_temporary() -> None:
    once = distill("resnet8", SmallNet, (IMAGES, LABELS), "dkd", **FIVE | {"seeds": 1})
    assert (once.method, once.n_pairs, once.interval, once.verdict) == ("dkd", 1, None, "undecided")
    folder = once.finished.folder.path
    assert once.finished.report.is_file()
    assert "1 pairs: undecided" in str(once) and "dkd" in once._repr_html_()
    del once
    assert not folder.exists()


def test_images_of_another_size_are_refused(distilled: Distilled) -> None:
    with pytest.raises(RequestError, match=r"images have shape \[3, 8, 8\]"):
        distilled.logits(np.zeros((1, 8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"method": "kdd"}, "unknown method 'kdd', did you mean 'kd'?"),
        ({"recipe": {"epoch": 3}}, "unknown key 'epoch'"),
        ({"data": (IMAGES, LABELS[1:])}, "80 images but 79 labels"),
        ({"teacher": None}, "NoneType is no network"),
        ({"student": nn.LazyLinear(2)}, "the shape of weight is not known yet"),
        ({"factors": {"size": [10, 50]}}, "`factors` would make several students of it"),
        ({"methods": ["kd"]}, "`methods` would make several students of it"),
        ({"student": ["resnet8", "resnet14"]}, "more than one student"),
        ({"teacher": {"model": "resnet8", "provenance": ["full", "same"]}}, "provenance of the teacher"),
        ({"factor": {}}, "unknown key 'factor', did you mean 'factors'?"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        distill(**{"teacher": "resnet8", "student": "resnet8", "data": (IMAGES, LABELS), **arguments})
    assert expected in str(caught.value) and "\n" not in str(caught.value)
