"""Values of a study file that are refused, each in one line that names its key and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distillab.errors import RequestError
from distillab.study.spec.study import parse_study

STUDY: dict[str, Any] = {
    "study": "tiny",
    "data": {"source": "digits"},
    "teacher": {"model": "resnet8", "provenance": "same"},
    "students": ["resnet8"],
    "methods": ["ce", "kd"],
    "factors": {"size": [5, 10]},
}
TUNE = {"lr": [0.02, 0.1], "budget": 2}


def _refusal(**keys: Any) -> str:
    with pytest.raises(RequestError) as refused:
        parse_study({**STUDY, **keys}, Path.cwd(), "tiny.yaml")
    return str(refused.value)


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"recipe": {"lr": True}}, "recipe.lr"),
        ({"recipe": {"epochs": True}}, "recipe.epochs"),
        ({"recipe": {"milestones": [0.5, True]}}, "recipe.milestones"),
        ({"seeds": [0, True]}, "seeds"),
        ({"seed": True}, "seed"),
        ({"threads": True}, "threads"),
        ({"tune": {**TUNE, "budget": True}}, "tune.budget"),
        ({"tune": {**TUNE, "seeds": True}}, "tune.seeds"),
        ({"tune": {**TUNE, "lr": [True]}}, "tune.lr"),
        ({"tune": {**TUNE, "length": True}}, "tune.length"),
        ({"tune": {**TUNE, "weight_decay": [0.0, False]}}, "tune.weight_decay"),
        ({"evidence": {"margin": False}}, "evidence.margin"),
        ({"methods": ["ce", {"kd": {"temperature": True}}]}, "methods.kd.temperature"),
    ],
)
def test_true_and_false_are_no_numbers(keys: dict[str, Any], place: str) -> None:
    refusal = _refusal(**keys)
    assert refusal.startswith(f"tiny.yaml: {place}: ")
    assert " is not accepted (allowed: a " in refusal
    assert "number" in refusal


@pytest.mark.parametrize("seeds", ["many", 0, -1, 2.5, None, True])
def test_wrong_seeds_list_every_form(seeds: Any) -> None:
    assert _refusal(seeds=seeds) == (
        f"tiny.yaml: seeds: {seeds!r} is not accepted "
        "(allowed: a number of at least 1, a list of seeds, or a mapping with min, max and stop)"
    )


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"seeds": {"min": 4, "max": 9, "stop": "decided"}}, "seeds.min: 4"),
        ({"students": {"model": 5}}, "students.model: 5"),
        ({"students": ["resnet8", {"model": 5}]}, "students.1.model: 5"),
        ({"students": ["resnet8", {"model": "resnet8", "weight": 5}]}, "students.1: unknown key 'weight'"),
        ({"students": ["resnet8", 5]}, "students.1: 5 is not a student"),
        ({"evidence": {"contrasts": ["kd", {"method": 5}]}}, "evidence.contrasts.1.method: 5"),
        ({"evidence": {"contrasts": {"method": "kd", "at": 5}}}, "evidence.contrasts.0.at: 5"),
        ({"teacher": {"model": "resnet8", "recipe": {"lr": 0.1, "full": {}}}}, "teacher.recipe: name either"),
    ],
)
def test_place_of_a_nested_value_has_dots_alone(keys: dict[str, Any], place: str) -> None:
    assert _refusal(**keys).startswith(f"tiny.yaml: {place}")


@pytest.mark.parametrize("probes", [-1, "all", True, 1.5, [1], None])
def test_wrong_probes_name_the_key_alone(probes: Any) -> None:
    assert _refusal(evidence={"probes": probes}).startswith("tiny.yaml: evidence.probes: ")


def test_infinite_numbers_are_refused_in_plain_words() -> None:
    assert _refusal(tune={**TUNE, "lr": [float("inf")]}).endswith("(allowed: a finite number)")


@pytest.mark.parametrize("baselines", [[], ["ce", "ce"]])
@pytest.mark.parametrize("contrasts", [[], ["kd"]])
def test_baselines_are_at_least_one_and_each_once(baselines: list[str], contrasts: list[str]) -> None:
    refusal = _refusal(evidence={"baselines": baselines, "contrasts": contrasts})
    assert refusal.startswith("tiny.yaml: evidence.baselines: ")


@pytest.mark.parametrize(
    ("level", "message"), [(7, "size has no level 7"), ("5", "size has no level '5'"), ("x2", "'x2'")]
)
def test_unknown_level_of_a_contrast_lists_levels(level: Any, message: str) -> None:
    refusal = _refusal(evidence={"contrasts": [{"method": "kd", "at": {"size": level}}]})
    assert message in refusal
    assert refusal.endswith("(allowed: 5, 10)")
