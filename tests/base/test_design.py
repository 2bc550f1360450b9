"""The design of the evidence base: pure, even over its ranges, and made of studies that can be planned."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from distillab.base.contexts import DrawnContext, draw_context
from distillab.base.design import SOURCES_OF_VARIATION, Design, DesignFile, read_design
from distillab.base.estimate import Trainings
from distillab.base.ranges import Range, Weights
from distillab.base.sets import BaseSet
from distillab.errors import RequestError
from support.source_tree import ROOT

DESIGNS = ROOT / "studies" / "evidence"
TIERS = {"R": "real", "S": "worlds", "T": "long"}
SIZES = {"cifar100": 100, "corn_leaf": 4, "lung": 3, "chest": 2, "heart": 2}
NUMERALS = {"mnist", "usps", "digits"}
COLORED = {"cifar100", "eurosat", "corn_leaf", "lung"}


def design(tier: str) -> Design:
    return read_design(DESIGNS / f"{TIERS[tier]}.yaml")


def facts(of: Design) -> dict[str, BaseSet]:
    """Return made-up facts of the base sets of a design, so that nothing is read."""
    return {
        name: BaseSet(
            name,
            Path(f"{name}.npz"),
            tuple(
                str(place) if name in NUMERALS else f"{name} {place}" for place in range(SIZES.get(name, 10))
            ),
            3 if name in COLORED else 1,
            200,
        )
        for name in of.base_sets
    }


def drawn(tier: str, count: int) -> list[DrawnContext]:
    of = design(tier)
    sets = facts(of)
    return [draw_context(of, index, sets) for index in range(count)]


@pytest.mark.parametrize("tier", TIERS)
def test_a_context_is_a_function_of_file_and_number(tier: str) -> None:
    of = design(tier)
    sets = facts(of)
    later = draw_context(of, 5, sets)
    for index in (0, 3):
        draw_context(of, index, sets)
    again = draw_context(read_design(of.path), 5, sets)
    assert (again.study, again.levels, again.name) == (later.study, later.levels, later.name)


def test_a_point_is_the_same_on_every_machine() -> None:
    point = Design(DesignFile(tier="S", prefix="s", contexts=8, sobol_seed=18), Path("s.yaml")).point(6)
    values = [round(point.coordinates[name], 6) for name in ("base_set", "size", "draw")]
    assert values == GOLDEN


GOLDEN = [0.589208, 0.744462, 0.560232]


def test_points_cover_every_coordinate_evenly() -> None:
    of = design("S")
    points = np.array([list(of.point(index).coordinates.values()) for index in range(64)])
    assert points.shape[1] == len(SOURCES_OF_VARIATION)
    for column in points.T:
        assert np.histogram(column, bins=8, range=(0, 1))[0].tolist() == [8] * 8


@pytest.mark.parametrize("tier", TIERS)
def test_every_context_is_a_study_that_is_accepted(tier: str, tmp_path: Path) -> None:
    for context in drawn(tier, min(design(tier).file.contexts, 120)):
        spec = context.spec(tmp_path)
        assert spec.study == context.name
        assert {method.label for method in spec.method_specs()} >= {"ce", "kd", "dkd", "at"}
        assert spec.tune is not None
        assert len({spec.tune.budget}) == 1


def test_names_and_seeds_of_contexts_differ() -> None:
    contexts = drawn("S", 60)
    assert len({context.name for context in contexts}) == 60
    seeds = [seed for context in contexts for seed in context.study["seeds"]]
    assert len(set(seeds)) == len(seeds)


def test_contexts_of_real_images_come_from_all_base_sets() -> None:
    of = design("R")
    counts = Counter(context.base_set for context in drawn("R", of.file.contexts))
    assert set(counts) == set(of.file.sets)
    assert len(counts) >= 8
    assert max(counts.values()) <= 1.3 * min(counts.values())


def test_every_level_of_every_choice_occurs() -> None:
    of = design("R")
    contexts = drawn("R", of.file.contexts)
    assert of.file.ranges is not None
    for key, names in {
        "provenance": of.file.ranges.provenance,
        "model": of.file.ranges.teacher,
    }.items():
        assert {context.study["teacher"][key] for context in contexts} == set(names.weights)
    for factor in ("imbalance", "label_noise", "similarity", "spurious", "shift"):
        share = np.mean([context.levels.get(factor) is not None for context in contexts])
        assert 0.01 < share < 0.5, factor
    assert {isinstance(context.study["students"][0], dict) for context in contexts} == {True, False}


def test_longer_contexts_are_those_of_real_images_with_more_steps() -> None:
    of = design("T")
    sets = facts(of)
    for index in range(4):
        longer = draw_context(of, index, sets)
        short = draw_context(of.other, longer.index, sets)
        assert longer.study["data"] == short.study["data"]
        assert longer.study["seeds"][:5] == short.study["seeds"]
        assert len(longer.study["seeds"]) == 10
        times = longer.study["recipe"]["steps"] / short.study["recipe"]["steps"]
        assert 3.9 < times < 6.1
        assert longer.study["teacher"]["recipe"]["steps"] > 3.9 * short.study["teacher"]["recipe"]["steps"]


def test_students_of_a_set_do_not_start_from_weights_trained_on_it() -> None:
    for context in drawn("R", design("R").file.contexts):
        if context.base_set == "cifar100":
            assert not isinstance(context.study["students"][0], dict)


def test_there_are_as_many_runs_as_the_base_promises() -> None:
    runs = {tier: design(tier).file.contexts * Trainings.of(drawn(tier, 1)[0]).runs for tier in TIERS}
    assert runs["S"] >= 10_000
    assert design("S").file.contexts >= 400
    assert design("R").file.contexts >= 100
    assert design("T").file.contexts >= 20
    assert sum(runs.values()) >= 20_000


def test_all_methods_have_as_many_trials() -> None:
    from distillab.study.spec.tuning import Designer

    for tier in TIERS:
        spec = drawn(tier, 1)[0].spec(Path("sets"))
        assert spec.tune is not None
        settings = Designer(spec.tune, spec.method_specs()).settings(0.1, 5e-4, 600)
        assert len({len(each) for each in settings.values()}) == 1


@pytest.mark.parametrize("coordinate", [0.0, 0.3, 0.999999])
def test_values_stay_in_their_range(coordinate: float) -> None:
    for scale in ("linear", "log"):
        for whole in (True, False):
            value = Range(between=(3, 20), scale=scale, whole=whole).at(coordinate)
            assert value is not None
            assert 3 <= value <= 20


def test_a_share_of_the_contexts_has_a_value() -> None:
    values = [Range(between=(0, 1), share=0.25).at(place / 100) for place in range(100)]
    assert sum(value is not None for value in values) == 25


def test_names_occur_by_their_weight() -> None:
    names = Weights(weights={"a": 3, "b": 1, "never": 0})
    counts = Counter(names.at(place / 100) for place in range(100))
    assert counts == {"a": 75, "b": 25}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "mapping"),
        ("[1, 2]", "mapping"),
        ("tier: X", "tier"),
        ("{tier: S, prefix: s, contexts: 0}", "contexts"),
        ("{tier: S, prefix: s, contexts: 3}", "ranges"),
        ("{tier: T, prefix: t, contexts: 3}", "of"),
        ("{tier: S, prefix: s, contexts: 3, rangs: {}}", "rangs"),
        ("{tier: S", "YAML"),
    ],
)
def test_a_wrong_design_file_is_refused_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "design.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=named) as caught:
        read_design(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
