"""Groups: their proportions, their removal, and their own test sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import Groups
from support.datasets import examples_of

SEEDS = st.integers(0, 2**63 - 1)
LEVELS = st.floats(0, 1)


def apply(factor: Groups, images: Examples, seed: int = 0) -> Examples:
    return factor.apply(images, np.random.default_rng(seed))


def grouped(table: list[list[int]]) -> Examples:
    """Return ``table[c][g]`` examples of class c and group g."""
    counts = np.array(table)
    images = examples_of(counts.sum(axis=1).tolist())
    groups = np.empty(len(images), dtype=np.int64)
    for label, row in enumerate(counts):
        groups[images.labels == label] = np.repeat(np.arange(len(row)), row)
    return replace(images, groups=groups, group_names=("field", "lab", "garden")[: counts.shape[1]])


def table(images: Examples) -> list[list[int]]:
    counts = np.zeros((len(images.classes), len(images.group_names)), dtype=np.int64)
    np.add.at(counts, (images.labels, np.asarray(images.groups)), 1)
    return counts.tolist()  # type: ignore[no-any-return]


tables = st.lists(st.lists(st.integers(1, 20), min_size=3, max_size=3), min_size=2, max_size=5)


@given(rows=tables, levels=st.tuples(LEVELS, LEVELS), seed=SEEDS)
def test_class_counts_stay_equal_while_the_group_share_changes(
    rows: list[list[int]], levels: tuple[float, float], seed: int
) -> None:
    images = grouped(rows)
    low, high = (Groups(level=level, group="lab") for level in sorted(levels))
    few, many = apply(low, images, seed), apply(high, images, seed)
    sizes = [min(row[1], row[0] + row[2]) for row in rows]
    assert few.counts.tolist() == many.counts.tolist() == sizes
    for factor, after in ((low, few), (high, many)):
        assert factor.check(images, after).passed
        for row, size in zip(table(after), sizes, strict=True):
            assert abs(row[1] - factor.level * size) <= 0.5 + 1e-9  # type: ignore[operator]
    ids = [[set(s.ids[(s.groups == 1) == inside].tolist()) for s in (few, many)] for inside in (True, False)]
    assert ids[0][0] <= ids[0][1] and ids[1][1] <= ids[1][0]
    assert few.pool is images.pool


@given(rows=tables, level=st.floats(0, 0.5), seed=SEEDS)
def test_hold_rest_keeps_examples_outside_the_group(rows: list[list[int]], level: float, seed: int) -> None:
    rows = [[a, a + b + c + 1, c] for a, b, c in rows]  # half of a class can be of the lab
    images = grouped(rows)
    factor = Groups(level=level, group="lab", hold="rest")
    after = apply(factor, images, seed)
    for had, has in zip(rows, table(after), strict=True):
        assert (has[0], has[2]) == (had[0], had[2])
        assert abs(has[1] - level / (1 - level) * (had[0] + had[2])) <= 0.5 + 1e-9
    assert factor.check(images, after).passed


def test_only_and_without_select_a_group_and_its_complement() -> None:
    images = grouped([[3, 4, 5], [6, 7, 8]])
    only, without = (Groups(level="lab", kind=kind) for kind in ("only", "without"))  # type: ignore[arg-type]
    assert table(apply(only, images)) == [[0, 4, 0], [0, 7, 0]]
    assert table(apply(without, images)) == [[3, 0, 5], [6, 0, 8]]
    assert only.check(images, apply(only, images)).passed
    assert without.check(images, apply(without, images)).passed
    assert not only.check(images, images).passed and not without.check(images, images).passed


def test_every_group_of_the_test_set_becomes_a_test_set() -> None:
    images = grouped([[3, 4, 0], [6, 7, 0]])
    sets = Groups(level=0.5, group="lab").extra_evals(images, np.random.default_rng(0))
    assert {name: each.counts.tolist() for name, each in sets.items()} == {"field": [3, 6], "lab": [4, 7]}
    named = replace(images, group_names=("test", "lab", "garden"))
    assert set(Groups(level=0.5, group="lab").extra_evals(named, np.random.default_rng(0))) == {
        "group test",
        "lab",
    }
    bare = replace(images, groups=None, group_names=())
    assert Groups(level=0.5, group="lab").extra_evals(bare, np.random.default_rng(0)) == {}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"level": 0.5, "group": "labs"}, "unknown group 'labs', did you mean 'lab'.*field, lab"),
        ({"level": "fields", "kind": "only"}, "unknown group 'fields', did you mean 'field'"),
        ({"level": "garden", "kind": "only"}, "group 'garden' has no examples here .allowed: field, lab"),
        ({"level": 0.5, "group": "lab", "images_per_class": 20}, "would need 10 examples of group 'lab'"),
        (
            {"level": 0.1, "group": "lab", "images_per_class": 20},
            "would need 18 examples outside group",
        ),
        ({"level": 0.8, "group": "lab", "hold": "rest"}, "at most 4, all there are"),
    ],
    ids=str,
)
def test_infeasible_levels_are_refused(keys: dict[str, Any], message: str) -> None:
    images = grouped([[13, 4, 0], [6, 17, 0]])
    with pytest.raises(RequestError, match=message):
        apply(Groups.model_validate(keys), images)


def test_missing_groups_and_classes_are_refused() -> None:
    images = grouped([[3, 4, 1], [6, 0, 8]])
    with pytest.raises(
        RequestError, match=r"lab only leaves class 'class 1' without .* field has 2, lab has 1"
    ):
        apply(Groups(level="lab", kind="only"), images)
    with pytest.raises(RequestError, match="class 'class 1' has 0 examples of group 'lab' and 14 of others"):
        apply(Groups(level=0.5, group="lab"), images)
    with pytest.raises(RequestError, match="these examples have no groups"):
        apply(Groups(level=0.5, group="lab"), replace(images, groups=None))


@pytest.mark.parametrize(
    "bad",
    [
        {"level": 0.5},
        {"level": "lab", "group": "lab"},
        {"level": 0.5, "kind": "only"},
        {"level": "lab", "kind": "only", "group": "lab"},
        {"level": "lab", "kind": "only", "hold": "rest"},
        {"level": "lab", "kind": "without", "images_per_class": 3},
        {"level": 1.1, "group": "lab"},
        {"level": 1.0, "group": "lab", "hold": "rest"},
        {"level": 0.5, "group": "lab", "hold": "rest", "images_per_class": 3},
    ],
    ids=str,
)
def test_inconsistent_keys_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Groups.model_validate(bad)
