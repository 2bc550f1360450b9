"""What every registered factor guarantees, and closed forms of size, imbalance and label noise."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from distillab.data.examples import Examples
from distillab.data.targets import Labels, LabelSets, Targets
from distillab.errors import RequestError
from distillab.factors import Factor, FactorContext, apply_chain, factors
from distillab.factors.factor import Configuration
from support.datasets import context_around, examples_of, label_sets_of

EXAMPLES = [
    (name, example, kind)
    for name in factors
    for example in factors[name].examples
    for kind in factors[name].model_validate(example).kinds_of_targets
]
REFUSED = [
    (name, example)
    for name in factors
    for example in factors[name].examples
    if LabelSets not in factors[name].model_validate(example).kinds_of_targets
]
SEEDS = st.integers(0, 2**63 - 1)


def apply(factor: Factor, images: Examples, seed: int, context: FactorContext | None = None) -> Examples:
    return factor.apply(images, np.random.default_rng(seed), context)


def labels_by_id(images: Examples) -> dict[int, Any]:
    return dict(zip(images.ids.tolist(), images.targets.values.tolist(), strict=True))


def state(images: Examples) -> dict[int, tuple[str, bytes]]:
    """Return the class names and the pixels of each image, by id."""
    names = [
        ", ".join(name for name, has in zip(images.classes, row, strict=True) if has)
        for row in images.targets.members
    ]
    pixels = (image.tobytes() for image in images.images)
    return dict(zip(images.ids.tolist(), zip(names, pixels, strict=True), strict=True))


def untouched(before: Examples, after: Examples) -> set[int]:
    """Return the ids of the images that are still there and unchanged."""
    was = state(before)
    return {image for image, now in state(after).items() if was.get(image) == now}


balanced_sets = st.builds(
    lambda classes, each, shuffle: examples_of([each] * classes, shuffle=shuffle),
    st.integers(3, 8),
    st.integers(20, 40),
    st.integers(0, 100),
)


def with_targets(images: Examples, kind: type[Targets]) -> Examples:
    return images if kind is Labels else label_sets_of(images)


@pytest.mark.parametrize("name", factors)
def test_examples_cover_every_kind_and_level_is_documented(name: str) -> None:
    kind = factors[name]
    first = (kind.__doc__ or "").partition("\n")[0]  # what lists and reports show
    assert "Level: " in first and first.endswith(".")
    assert kind.examples
    for field, info in kind.model_fields.items():
        kinds = getattr(info.annotation, "__args__", ())
        if kinds and all(isinstance(value, str) for value in kinds):
            default = info.default
            assert {example.get(field, default) for example in kind.examples} == set(kinds)


@pytest.mark.parametrize(("name", "example", "kind"), EXAMPLES)
@given(images=balanced_sets, seed=SEEDS)
@settings(max_examples=15)
def test_levels_are_reached_and_only_declared_aspects_change(
    name: str, example: Configuration, kind: type[Targets], images: Examples, seed: int
) -> None:
    images = with_targets(images, kind)
    factor, context = factors[name].model_validate(example), context_around(images)
    factor.check_accepts(images)
    after = apply(factor, images, seed, context)
    check = factor.check(images, after)
    assert check.passed, check
    assert check.factor == name
    assert after.digest == apply(factor, images, seed, context_around(images)).digest
    assert len(set(after.ids.tolist())) == len(after)
    if "pixels" not in factor.changes:
        assert after.pool is images.pool or "images" in factor.changes  # those added may lie elsewhere
        rows = dict(zip(images.ids.tolist(), images.rows.tolist(), strict=True))
        kept = [(i, row) for i, row in zip(after.ids.tolist(), after.rows.tolist(), strict=True) if i in rows]
        assert all(rows[i] == row for i, row in kept)
    if "classes" not in factor.changes:
        assert after.classes == images.classes
        if "labels" not in factor.changes:
            was = labels_by_id(images)
            assert all(was.get(i, label) == label for i, label in labels_by_id(after).items())
    if "selection" not in factor.changes:
        assert set(images.ids.tolist()) <= set(after.ids.tolist())
    if "images" not in factor.changes:
        assert set(after.ids.tolist()) <= set(images.ids.tolist())


@pytest.mark.parametrize(
    ("name", "targets"),
    sorted({(name, kind) for name, _, kind in EXAMPLES if factors[name].nested}, key=str),
)
@given(images=balanced_sets, seed=SEEDS)
@settings(max_examples=15)
def test_levels_of_one_seed_are_nested(
    name: str, targets: type[Targets], images: Examples, seed: int
) -> None:
    images = with_targets(images, targets)
    kinds: dict[str, list[Configuration]] = defaultdict(list)
    for _, example, accepted in (each for each in EXAMPLES if each[0] == name):
        if accepted is targets and not isinstance(example["level"], str):  # names have no order
            kinds[str({key: value for key, value in example.items() if key != "level"})].append(example)
    assert not kinds or targets is LabelSets or any(len(levels) > 1 for levels in kinds.values())
    context = context_around(images)
    for levels in kinds.values():
        after = [apply(factors[name].model_validate(level), images, seed, context) for level in levels]
        for weaker, stronger in pairwise(after):
            assert untouched(images, stronger) <= untouched(images, weaker)
            was = set(images.ids.tolist())
            few, many = set(stronger.ids.tolist()), set(weaker.ids.tolist())
            assert few & was <= many & was
            if "selection" not in factors[name].changes:  # whose copies go when it goes
                assert many - was <= few - was


@pytest.mark.parametrize(("name", "example"), REFUSED)
def test_label_sets_are_refused_where_they_have_no_meaning(name: str, example: Configuration) -> None:
    images = label_sets_of(examples_of([40, 40, 40]))
    factor = factors[name].model_validate(example)
    with pytest.raises(RequestError) as caught:
        apply_chain(images, [factor], factor.roles[0], 0)
    line = str(caught.value)
    assert f"factor {name} (" in line and "label sets (task: multilabel)" in line and "\n" not in line
    assert (
        "(allowed: groups, imbalance, initialisation, label_budget, label_noise, redundancy, resolution,"
        " size, steps, teacher_age, teacher_capacity, unlabelled)" in line
    )


@pytest.mark.parametrize(("name", "example", "kind"), EXAMPLES)
def test_check_fails_on_an_unchanged_set(name: str, example: Configuration, kind: type[Targets]) -> None:
    images = with_targets(examples_of([40, 40, 40, 40]), kind)
    factor = factors[name].model_validate(example)
    after = apply(factor, images, 3, context_around(images))
    if after.digest != images.digest:
        assert not factor.check(images, images).passed


@pytest.mark.parametrize("name", [name for name in factors if factors[name].needs_context])
def test_missing_context_is_refused(name: str) -> None:
    images = examples_of([40, 40, 40, 40])
    with pytest.raises(RequestError, match="dataset around"):
        for example in factors[name].examples:
            apply(factors[name].model_validate(example), images, 3)


@pytest.mark.parametrize("name", factors)
@pytest.mark.parametrize(
    "bad",
    [
        *({"level": level} for level in (float("nan"), float("inf"), -1, "25", True, None)),
        {"colour": "red"},
        {"roles": []},
        {"roles": ["transfer", "transfer"]},
        {"roles": ["teacher", "teacher"]},
        {"roles": ["students"]},
    ],
    ids=str,
)
def test_invalid_configurations_are_refused(name: str, bad: dict[str, Any]) -> None:
    own = list(factors[name].model_validate(factors[name].examples[0]).roles)
    good = {**factors[name].examples[0], "roles": own}
    factors[name].model_validate(good)
    with pytest.raises(ValidationError):
        factors[name].model_validate({**good, **bad})


@pytest.mark.parametrize("name", factors)
def test_factors_are_immutable(name: str) -> None:
    factor = factors[name].model_validate(factors[name].examples[0])
    with pytest.raises(ValidationError):
        factor.level = 3.0
