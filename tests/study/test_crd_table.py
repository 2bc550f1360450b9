"""The published CIFAR-100 protocol as a study, and a small version of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab.study.spec.study import StudySpec, read_study

STUDIES = Path(__file__).resolve().parents[2] / "studies"


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[StudySpec, StudySpec]:
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))
    return read_study(STUDIES / "crd-table.yaml"), read_study(STUDIES / "crd-table-small.yaml")


def test_protocol_is_the_published_one(tables: tuple[StudySpec, StudySpec]) -> None:
    recipe = tables[0].recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.schedule) == (240, 64, 0.05, "step")
    assert [240 * share for share in recipe.milestones] == [150, 180, 210]
    assert (recipe.momentum, recipe.nesterov, recipe.weight_decay) == (0.9, False, 5e-4)
    assert (recipe.optimiser, recipe.precision, recipe.warmup) == ("sgd", "fp32", 0)
    settings = {each.name: each.settings for each in tables[0].method_specs()}
    assert settings["kd"] == {"temperature": 4.0, "ce_weight": 0.1, "kd_weight": 0.9}
    assert settings["dkd"]["beta"] == 2.0
    published = {"fitnet": 100, "at": 1000, "sp": 3000, "cc": 0.02, "vid": 1, "pkt": 30000, "nst": 50}
    published |= {"ab": 1, "ft": 200, "fsp": 50, "crd": 0.8}
    for name, weight in published.items():
        others = ("ce_weight", "label_similarity_weight")
        [found] = [
            value for key, value in settings[name].items() if key.endswith("_weight") and key not in others
        ]
        assert found == weight


def test_small_study_differs_in_size_alone(tables: tuple[StudySpec, StudySpec]) -> None:
    whole, small = (each.model_dump() for each in tables)
    for key in ("teacher", "students", "methods"):
        assert small[key] == whole[key]
    recipes = [values["recipe"] | {"epochs": None} for values in (whole, small)]
    assert recipes[0] == recipes[1]
