"""Settings that authors chose by pair of networks: where they apply, and what is stated where they do not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from distillab.methods import MethodSpec, methods, parse_method
from distillab.methods.pair_defaults import for_pair, pair_notes
from distillab.models.names import require_known_name
from distillab.models.registry import models
from distillab.report.collect.question import method_view
from distillab.study.planning.outline import make_plan
from support.studies import CPU, dataset, spec

WITH_PAIRS = [name for name in methods if methods[name].pair_defaults]
WITHOUT_PAIRS = [name for name in methods if name not in WITH_PAIRS]
# From the authors' configurations: (method, teacher, student) and what they set.
PUBLISHED: dict[tuple[str, str, str], dict[str, float]] = {
    ("dkd", "resnet32x4", "resnet8x4"): {"beta": 8},
    ("dkd", "wrn40-2", "wrn16-2"): {"beta": 6},
    ("dkd", "wrn40-2", "wrn40-1"): {"beta": 6},
    ("dkd", "resnet56", "resnet20"): {"beta": 2},
    ("dkd", "resnet110", "resnet32"): {"beta": 2},
    ("dkd", "torchvision:resnet34", "torchvision:resnet18"): {"beta": 0.5, "temperature": 1, "warmup": 0.01},
    ("reviewkd", "resnet32x4", "resnet8x4"): {"review_weight": 5},
    ("reviewkd", "resnet56", "resnet20"): {"review_weight": 0.6},
    ("reviewkd", "resnet110", "resnet32"): {"review_weight": 1},
    ("cat_kd", "resnet32x4", "resnet8x4"): {"cat_weight": 15},
    ("cat_kd", "resnet110", "resnet32"): {"cat_weight": 1.8},
    ("cat_kd", "wrn40-2", "wrn40-1"): {"cat_weight": 1.5},
}


def parsed(entry: Any) -> MethodSpec:
    return parse_method(entry, "methods")


@pytest.mark.parametrize("case", PUBLISHED, ids=" ".join)
def test_the_authors_pair_has_the_authors_settings(case: tuple[str, str, str]) -> None:
    name, teacher, student = case
    config = for_pair(parsed(name), teacher, student).config
    assert {key: getattr(config, key) for key in PUBLISHED[case]} == PUBLISHED[case]


@pytest.mark.parametrize("name", WITH_PAIRS)
def test_other_pairs_and_swapped_ones_keep_the_defaults(name: str) -> None:
    for pair in (("resnet14", "resnet8"), ("resnet20", "resnet56"), ("", "")):
        assert for_pair(parsed(name), *pair) == parsed(name)


@pytest.mark.parametrize("name", WITH_PAIRS)
def test_tables_name_networks_and_settings_that_exist(name: str) -> None:
    kind = methods[name]
    for pair, table in kind.pair_defaults.items():
        for network in pair:
            require_known_name(network, models)
        assert kind.Config.model_validate(table).model_dump().items() >= table.items()
        assert all(math.isfinite(value) for value in table.values())


@pytest.mark.parametrize("name", WITHOUT_PAIRS)
def test_methods_without_a_table_have_no_note(name: str) -> None:
    assert pair_notes(parsed(name), "resnet56", "resnet20") == []
    assert for_pair(parsed(name), "resnet56", "resnet20") == parsed(name)


def test_what_a_study_states_is_kept() -> None:
    stated = for_pair(parsed({"dkd": {"beta": 8}}), "resnet56", "resnet20")
    assert stated.config.beta == 8  # type: ignore[attr-defined]
    assert pair_notes(parsed({"dkd": {"beta": 8}}), "resnet56", "resnet20") == []
    other = for_pair(parsed({"dkd": {"temperature": 2}}), "resnet56", "resnet20").config
    assert (other.beta, other.temperature) == (2, 2)  # type: ignore[attr-defined]


def test_auto_is_as_good_as_leaving_it_out() -> None:
    assert parsed({"dkd": {"beta": "auto"}}) == parsed("dkd")
    assert for_pair(parsed({"dkd": {"beta": "auto"}}), "resnet56", "resnet20").settings["beta"] == 2


def test_input_size_and_stem_are_no_part_of_the_pair() -> None:
    assert for_pair(parsed("dkd"), "resnet56@64", "resnet20").settings["beta"] == 2
    pair = "torchvision:resnet34#original@64", "torchvision:resnet18#original"
    assert for_pair(parsed("dkd"), *pair).settings["beta"] == 0.5


def test_parts_of_a_sum_and_wrapped_methods_are_resolved() -> None:
    total = for_pair(parsed({"kd": {}, "dkd": {"weight": 0.5}}), "resnet56", "resnet20")
    assert total.settings["dkd.beta"] == 2 and total.settings["dkd.weight"] == 0.5
    wrapped = for_pair(parsed({"logit_standardisation": {"of": "dkd"}}), "resnet56", "resnet20")
    assert wrapped.settings["of"]["dkd"]["beta"] == 2
    assert "beta 2" in pair_notes(parsed({"logit_standardisation": {"of": "dkd"}}), "resnet56", "resnet20")[0]


def test_resolved_methods_read_back_are_the_same() -> None:
    resolved = for_pair(parsed("dkd"), "resnet56", "resnet20")
    again = MethodSpec.from_dict(resolved.as_dict())
    assert again.as_dict() == resolved.as_dict()
    assert for_pair(again, "resnet32x4", "resnet8x4").as_dict() == resolved.as_dict()


def test_run_ids_hold_the_resolved_settings_and_plans_state_them() -> None:
    changes: dict[str, Any] = {
        "teacher": {"model": "resnet56", "provenance": "full"},
        "students": ["resnet20", "resnet8"],
        "methods": ["ce", "dkd"],
        "factors": {},
        "seeds": 1,
    }
    planned = make_plan(spec(**changes), dataset(classes=4), CPU)
    jobs = [job for job in planned.students if job.method["name"] == "dkd"]
    assert {job.model: job.method["config"]["beta"] for job in jobs} == {"resnet20": 2.0, "resnet8": 8.0}
    assert {cell.method for cell in planned.cells} == {"ce", "dkd"}
    assert [note for note in planned.notes if note.startswith("dkd: ")] == [
        "dkd: beta 2, as its authors have it for resnet56 -> resnet20.",
        "dkd: beta 8; its authors choose it by pair, and have no value for resnet56 -> resnet8.",
    ]
    stated = make_plan(spec(**{**changes, "methods": ["ce", {"dkd": {"beta": 2}}]}), dataset(classes=4), CPU)
    ids = {job.model: job.id for job in jobs}
    again = {job.model: job.id for job in stated.students if job.method["name"] == "dkd"}
    assert again["resnet20"] == ids["resnet20"] and again["resnet8"] != ids["resnet8"]


def test_report_shows_the_settings_of_each_pair() -> None:
    one = method_view(parsed("dkd"), [("resnet56", "resnet20")])
    assert one.name == "dkd" and dict(one.settings)["beta"] == "2"
    several = method_view(parsed("dkd"), [("resnet56", "resnet20"), ("resnet56", "resnet8")])
    assert dict(several.settings)["beta"] == "2 for resnet20, 8 for resnet8"
    assert dict(several.settings)["alpha"] == "1"
