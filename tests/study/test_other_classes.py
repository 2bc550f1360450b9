"""Given weights whose classes differ from those of the data, and further datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from distillab.study.loading import load_study_data
from distillab.study.planning.external_teacher import given_teacher
from distillab.study.planning.outline import make_plan
from support.studies import CPU, run_here, spec

NAMES = ["three", "zero", "one", "nine", "two", "six"]
TO_DATA = {"zero": "0", "one": "1", "two": "2", "three": "3"}


def weights(folder: Path, classes: int = len(NAMES)) -> Path:
    """Write the weights of an untrained network with six classes; return the teacher."""
    torch.manual_seed(0)
    network = build_model("resnet8", classes=classes, inputs=InputSpec.square(1, 8))
    save_file(network.state_dict(), folder / "teacher.safetensors")
    return folder / "teacher.safetensors"


def external(folder: Path, **keys: Any) -> dict[str, Any]:
    return {
        "provenance": "external",
        "weights": str(weights(folder)),
        "at_chance": "continue",
        "classes": NAMES,
        "class_map": TO_DATA,
        **keys,
    }


@pytest.mark.parametrize("methods", [["ce", "kd", "rkd"], ["ce", "fitnet", "srrl"]], ids=["stored", "live"])
def test_students_learn_from_the_classes_they_share(methods: list[str], tmp_path: Path) -> None:
    study = spec(teacher=external(tmp_path), methods=methods, seeds=1)
    folder = StudyFolder.begin(tmp_path / "study", study, CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    taught = [row for row in rows if row["method"] != "ce"]
    images = folder.dataset.eval["test"]
    probabilities = given_teacher(folder.spec, folder.dataset)
    assert probabilities is not None
    mapped = probabilities(images)[:, [1, 2, 4, 0]]
    accuracy = float((mapped.argmax(axis=1) == images.labels).mean())
    for row in taught:
        assert row["teacher_accuracy"] == pytest.approx(accuracy)
        assert np.isfinite(row["teacher_kl"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"class_map": {"zero": "0"}}, "no class of the teacher corresponds to '1', '2', '3'"),
        ({"class_map": {"zehn": "0"}}, "'zehn' is not a class of the teacher"),
        ({"provenance": "full", "weights": None, "class_map": {}}, "only a teacher of provenance external"),
    ],
)
def test_class_mapping_that_does_not_fit_is_refused(
    keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=message):
        study = spec(teacher=external(tmp_path, **keys))
        make_plan(study, load_study_data(study), CPU)


def test_other_datasets_have_their_own_ids(tmp_path: Path) -> None:
    study = spec(others={"more": {"source": "digits", "classes": ["5", "6"]}})
    data = load_study_data(study)
    assert data.others["more"].classes == ("5", "6")
    mine = {int(i) for each in (data.train, data.val, *data.eval.values()) for i in each.ids}
    other = data.others["more"]
    assert not mine & {int(i) for each in (other.train, other.val, *other.eval.values()) for i in each.ids}
    assert data.digest != load_study_data(spec()).digest
    (tmp_path / "data").mkdir()
    data.save(tmp_path / "data")
    again = type(data).open(tmp_path / "data")
    assert again.digest == data.digest and again.others["more"].digest == other.digest


def test_other_datasets_must_have_the_same_channels() -> None:
    study = spec(others={"color": {"source": "digits", "channels": 3}})
    with pytest.raises(RequestError, match="RGB, those of data 8x8 gray"):
        load_study_data(study)
