"""A study is the same in American and in British spelling, and is written in American."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from distillab.study.loading import load_study_data
from distillab.study.planning.outline import make_plan
from distillab.study.spec.study import StudySpec, parse_study, read_study
from support.studies import CPU

AMERICAN: dict[str, Any] = {
    "study": "spelling",
    "data": {"source": "shapes", "define": "color", "values": {"color": 4}, "images": 20, "test_images": 4},
    "teacher": {
        "model": "resnet8",
        "provenance": ["external", "full"],
        "weights": "w.safetensors",
        "at_chance": "continue",
        "normalization": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
        "recipe": {"full": {"optimizer": "adamw", "views": ["flip", {"color_jitter": {"hue": 0.2}}]}},
    },
    "students": ["resnet8"],
    "methods": ["ce", {"cat_kd": {"normalize": True}}, "logit_standardization"],
    "factors": {"selection": {"levels": ["k_center"], "budget": 5}},
    "seeds": 1,
    "recipe": {"steps": 3, "batch_size": 8, "optimizer": "sgd", "views": ["color_jitter", "flip"]},
}
WORDS = {
    "color": "colour",
    "color_jitter": "colour_jitter",
    "normalization": "normalisation",
    "normalize": "normalise",
    "optimizer": "optimiser",
    "logit_standardization": "logit_standardisation",
    "k_center": "k_centre",
}


def british(value: Any) -> Any:
    if isinstance(value, dict):
        return {WORDS.get(key, key): british(item) for key, item in value.items()}
    if isinstance(value, list):
        return [british(item) for item in value]
    return WORDS.get(value, value) if isinstance(value, str) else value


@pytest.fixture
def both(tmp_path: Path) -> tuple[StudySpec, StudySpec]:
    """The same study in American and in British spelling."""
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(3, 32))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    assert british(AMERICAN) != AMERICAN
    american, other = (
        parse_study(values, tmp_path, "study.yaml") for values in (AMERICAN, british(AMERICAN))
    )
    return american, other


def test_both_spellings_are_one_study(both: tuple[StudySpec, StudySpec]) -> None:
    first, second = both
    assert first.canonical() == second.canonical()
    assert first.identity == second.identity


def test_both_spellings_plan_the_same_runs(both: tuple[StudySpec, StudySpec]) -> None:
    small = {"factors": {"size": [5]}, "methods": ("ce", "kd", {"cat_kd": {"normalise": True}})}
    plans = []
    for each in both:
        study = each.model_copy(update=small)
        plans.append(make_plan(study, load_study_data(study), CPU))
    assert list(plans[0].jobs) == list(plans[1].jobs)
    assert {job.recipe["optimiser"] for job in plans[0].students} == {"sgd"}


def test_canonical_form_is_british_and_what_people_read_is_american(
    both: tuple[StudySpec, StudySpec],
) -> None:
    for study in both:
        kept, written = yaml.safe_dump(study.canonical()), yaml.safe_dump(study.written())
        for american in ("color", "color_jitter", "normalization", "normalize", "optimizer"):
            assert f"{WORDS[american]}:" in kept or f"- {WORDS[american]}\n" in kept
            assert f"{american}:" in written or f"- {american}\n" in written
            assert WORDS[american] not in written


def test_written_study_is_read_as_the_same_study(both: tuple[StudySpec, StudySpec], tmp_path: Path) -> None:
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(both[0].written()))
    assert read_study(file).identity == both[0].identity


def test_study_file_of_a_folder_is_american(tmp_path: Path) -> None:
    values = {
        "study": "small",
        "data": {"source": "digits", "classes": 4},
        "teacher": "resnet8",
        "students": "resnet8",
        "methods": ["ce"],
        "seeds": 1,
        "recipe": {"steps": 3, "optimiser": "adamw"},
    }
    values["teacher"] = {"model": "resnet8"}
    folder = StudyFolder.begin(
        tmp_path / "dir", parse_study(values, tmp_path, "study.yaml"), torch.device("cpu")
    )
    written = yaml.safe_load(folder.study_file.read_text())
    assert written["recipe"]["optimizer"] == "adamw" and "optimiser" not in written["recipe"]
    again = values | {"recipe": {"steps": 3, "optimizer": "adamw"}}
    StudyFolder.begin(tmp_path / "dir", parse_study(again, tmp_path, "study.yaml"), CPU)


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        (
            {"recipe": {"optimizer": "sgd", "optimiser": "sgd"}},
            "study.yaml: recipe",
            "optimizer and optimiser",
        ),
        (
            {"teacher": {"model": "resnet8", "recipe": {"optimizer": "sgd", "optimiser": "sgd"}}},
            "study.yaml: teacher.recipe",
            "optimizer and optimiser",
        ),
        (
            {"methods": [{"cat_kd": {"normalize": True, "normalise": True}}]},
            "study.yaml: methods",
            "normalize and normalise",
        ),
    ],
)
def test_both_spellings_at_once_are_one_error(changes: dict[str, Any], place: str, words: str) -> None:
    values = {**AMERICAN, "teacher": {"model": "resnet8"}, **changes}
    with pytest.raises(RequestError) as raised:
        parse_study(values, Path.cwd(), "study.yaml")
    assert str(raised.value) == f"{place}: {words} are one key: write it once"


def test_errors_name_american_keys() -> None:
    values = {**AMERICAN, "teacher": {"model": "resnet8"}, "recipe": {"optimiser": "adam"}}
    with pytest.raises(RequestError, match=r"study.yaml: recipe.optimizer: 'adam' is not accepted"):
        parse_study(values, Path.cwd(), "study.yaml")
    values["recipe"] = {"optimizr": "sgd"}
    with pytest.raises(RequestError, match=r"did you mean 'optimizer'\?"):
        parse_study(values, Path.cwd(), "study.yaml")
