"""What a study file may contain, and when two files are the same study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from distillab.errors import RequestError
from distillab.study.spec.study import parse_study, read_study
from support.studies import spec, study, write_study


def test_number_of_seeds_is_a_list_of_seeds() -> None:
    assert spec(seeds=3).seeds == (0, 1, 2)
    assert spec(seeds=[7, 3]).seeds == (7, 3)
    assert spec(students="resnet8").students == ("resnet8",)
    assert spec(teacher={"provenance": "full"}).teacher.provenance == ("full",)


@pytest.mark.parametrize("methods", [["kd"], ["kd", "ce"], ["ce", "kd"]])
def test_plain_student_is_always_first(methods: list[str]) -> None:
    assert [each.label for each in spec(methods=methods).method_specs()] == ["ce", "kd"]


def test_teacher_keys_replace_those_of_the_recipe() -> None:
    made = spec(recipe={"lr": 0.3, "steps": 5}, teacher={"recipe": {"epochs": 7, "views": "none"}})
    recipe = made.teacher_recipe("same")
    assert (recipe.lr, recipe.epochs, recipe.steps, recipe.views) == (0.3, 7, None, "none")
    assert made.recipe.views == "auto"


def test_teacher_recipe_may_differ_by_provenance() -> None:
    made = spec(teacher={"recipe": {"full": {"steps": 50}, "same": None}})
    assert made.teacher_recipe("full").steps == 50
    assert made.teacher_recipe("same").steps == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "seeds"),
        ({"seeds": True}, "seeds"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"students": []}, "students"),
        ({"students": ["resnet8", "resnet8"]}, "students"),
        ({"methods": []}, "methods"),
        ({"methods": ["kdd"]}, "did you mean 'kd'"),
        ({"methods": ["kd", {"kd": {"temperature": 4}}]}, "'kd' is named twice"),
        ({"methods": [{"kd": {"temperature": -1}}]}, "temperature"),
        ({"factors": {"sise": [1]}}, "did you mean 'size'"),
        ({"factors": {"size": []}}, "no levels"),
        ({"teacher": {"provenance": []}}, "provenance"),
        ({"teacher": {"provenance": "internal"}}, "provenance"),
        ({"teacher": {"provenance": ["full", "full"]}}, "provenance"),
        ({"teacher": {"provenance": "external"}}, "weights"),
        ({"teacher": {"weights": "w.safetensors"}}, "weights"),
        ({"teacher": {"replicates": 0}}, "replicates"),
        ({"teacher": {"recipe": {"stepps": 3}}}, "stepps"),
        ({"teacher": {"recipe": {"full": {"steps": 3}, "lr": 0.1}}}, "not both"),
        ({"teacher": {"recipe": {"full": 5}}}, "mapping"),
        ({"teacher": {"recipe": {"full": {"steps": -5}}}}, "steps"),
        ({"recipe": {"epochs": 3}}, "not both"),
        ({"data": {"source": "digitz"}}, "did you mean 'digits'"),
        ({"evidence": {"margin": 2}}, "margin"),
        ({"evidence": {"baselines": ["dkd"]}}, "baseline"),
        ({"metods": ["kd"]}, "did you mean 'methods'"),
    ],
)
def test_mistakes_are_one_line_with_file_and_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        spec(**changes)
    assert str(caught.value).startswith("study.yaml")
    assert "\n" not in str(caught.value)


# -- files ---------------------------------------------------------------------------------------------------


def test_file_and_values_give_the_same_study(tmp_path: Path) -> None:
    written = write_study(tmp_path / "s.yaml")
    assert read_study(written).canonical() == parse_study(study(), tmp_path, "s").canonical()


def test_canonical_form_is_the_same_study_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    data = {"source": "npz", "path": "deep/images.npz", "classes": None}
    made = spec(tmp_path, data=data, teacher={"provenance": "external", "weights": "deep/w.safetensors"})
    elsewhere = tmp_path / "deep" / "study.yaml"
    elsewhere.write_text(yaml.safe_dump(made.canonical()))
    again = read_study(elsewhere)
    assert again.canonical() == made.canonical()
    assert again.identity == made.identity
    assert again.weights_path() == made.weights_path() == tmp_path / "deep" / "w.safetensors"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: [", "not valid YAML in line"),
        ("- a\n- b\n", "mapping"),
        ("", "mapping"),
        ("study: x\n", "missing"),
    ],
)
def test_file_that_is_not_a_study_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=message) as caught:
        read_study(path)
    assert str(path) in str(caught.value)


def test_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read the study file"):
        read_study(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(RequestError, match="not UTF-8"):
        read_study(tmp_path / "binary.yaml")


def test_environment_variables_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path / "s.yaml", data={"source": "npz", "path": "${IMAGES}/a.npz", "classes": 2})
    monkeypatch.setenv("IMAGES", "/somewhere")
    assert read_study(path).canonical()["data"]["path"] == "/somewhere/a.npz"
    monkeypatch.delenv("IMAGES")
    with pytest.raises(RequestError, match="IMAGES is not set"):
        read_study(path)


# -- identity ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"study": "other"},
        {"notes": "a thought"},
        {"evidence": {"margin": 0.02, "confidence": 0.9}},
        {"seeds": [0, 1]},
        {"students": "resnet8"},
        {"seed": 0},
        {"data": {"val": 0.1}},  # a default, written out
    ],
)
def test_names_notes_and_notation_keep_the_identity(changes: dict[str, Any]) -> None:
    assert spec(**changes).identity == spec().identity


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"classes": 3}},
        {"teacher": {"model": "resnet14"}},
        {"teacher": {"provenance": ["same"]}},
        {"teacher": {"replicates": 2}},
        {"teacher": {"recipe": {"steps": 4}}},
        {"students": ["resnet14"]},
        {"methods": ["ce", "dkd"]},
        {"factors": {"size": [5, 11]}},
        {"seeds": 3},
        {"seed": 1},
        {"recipe": {"steps": 4}},
    ],
)
def test_changes_of_the_design_change_the_identity(changes: dict[str, Any]) -> None:
    assert spec(**changes).identity != spec().identity


def test_paths_in_factors_start_at_the_study_file(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("id,score\n0,1.0\n")
    entry = {"levels": ["uncertain"], "budget": 5, "scores": "scores.csv"}
    study = spec(tmp_path, factors={"selection": entry})
    [[factor]] = study.factor_levels()
    assert factor.scores == tmp_path / "scores.csv"
    moved = parse_study(study.canonical(), Path("/elsewhere"), "study.yaml")
    assert moved.factor_levels() == study.factor_levels()
