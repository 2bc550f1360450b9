"""Factors as a study writes them, and several in a chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import Imbalance, LabelNoise, Size, apply_chain, factors, generator, parse_factors
from support.datasets import context_around, examples_of

WHERE = "study.yaml: factors"


def balanced(classes: int = 4, each: int = 40) -> Examples:
    labels = np.tile(np.arange(classes), each)
    pixels = np.zeros((len(labels), 1, 1, 1), dtype=np.uint8)
    return Examples.of(pixels, labels, tuple("abcdefgh"[:classes]), first_id=1000)


def labels_by_id(images: Examples) -> dict[int, int]:
    return dict(zip(images.ids.tolist(), images.labels.tolist(), strict=True))


def test_factors_are_parsed_in_written_order() -> None:
    entries = {
        "size": [25, 100, 400],
        "label_noise": {"levels": [0.0, 0.4], "kind": "pair", "roles": ["transfer", "teacher"]},
    }
    assert parse_factors(entries, WHERE) == [
        [Size(level=25), Size(level=100), Size(level=400)],
        [LabelNoise(level=x, kind="pair", roles=("transfer", "teacher")) for x in (0, 0.4)],
    ]
    assert [levels[0].name for levels in parse_factors(dict(reversed(entries.items())), WHERE)] == [
        "label_noise",
        "size",
    ]
    assert parse_factors({}, WHERE) == []


@pytest.mark.parametrize("name", factors)
def test_configurations_survive_a_json_round_trip(name: str) -> None:
    for example in factors[name].examples:
        factor = factors[name].model_validate(example)
        assert factors[name].model_validate(factor.model_dump(mode="json")) == factor


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"sise": [1]}, f"{WHERE}: unknown factor 'sise', did you mean 'size'?"),
        ({"size": {"level": [1]}}, f"{WHERE}.size: unknown key 'level', did you mean 'levels'?"),
        (
            {"size": {"levels": [1], "unti": "total"}},
            f"{WHERE}.size: unknown key 'unti', did you mean 'unit'?",
        ),
        ({"size": {"unit": "total"}}, f"{WHERE}.size: levels must be a list, not nothing"),
        ({"size": []}, f"{WHERE}.size: there are no levels"),
        ({"size": 25}, f"{WHERE}.size: levels must be a list, not int 25"),
        ({"size": None}, f"{WHERE}.size: levels must be a list, not nothing"),
        ({"size": "25"}, f"{WHERE}.size: levels must be a list, not str '25'"),
        ({"size": [25, 25.0]}, f"{WHERE}.size: level 25 is written twice"),
        ({"size": [25, "many"]}, f"{WHERE}.size.level: 'many' is not accepted"),
        ({"size": [True]}, f"{WHERE}.size.level: True is not accepted"),
        ({"unlabelled": ["none", 1, 4]}, f"{WHERE}.unlabelled: levels mix numbers and names: none, 1, 4"),
        ({"size": [float("nan")]}, f"{WHERE}.size.level: nan is not accepted"),
        ({"size": [2.5]}, f"{WHERE}.size: 2.5 is not a number of examples"),
        ({"label_noise": [1.0]}, f"{WHERE}.label_noise.level: 1.0 is not accepted"),
        ({"imbalance": [0.5]}, f"{WHERE}.imbalance.level: 0.5 is not accepted"),
        ({"label_noise": {"levels": [0.1], "kind": "symetric"}}, f"{WHERE}.label_noise.kind: 'symetric'"),
        ({"label_noise": {"levels": [0.1], "roles": ["student"]}}, f"{WHERE}.label_noise.roles.0: 'student'"),
        (["size"], f"{WHERE}: factors must be a mapping"),
    ],
)
def test_errors_name_the_place_of_the_mistake(entries: Any, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_factors(entries, WHERE)
    line = str(caught.value)
    assert line.startswith(message)
    assert "\n" not in line


@pytest.mark.parametrize("name", [name for name in factors if factors[name].changes])
def test_roles_that_are_not_named_stay_unchanged(name: str) -> None:
    images = examples_of([40] * 4)
    context = context_around(images)
    factor = factors[name].model_validate(factors[name].examples[-1])
    changed, checks = apply_chain(images, [factor], factor.roles[0], 5, context=context)
    assert changed.digest != images.digest and [check.factor for check in checks] == [name]
    for role in {"teacher", "transfer", "val", "eval"} - set(factor.roles):
        same, none = apply_chain(images, [factor], role, 5, context=context)  # type: ignore[arg-type]
        assert same is images and none == []


@pytest.mark.parametrize("name", [name for name in factors if factors[name].changes])
def test_draws_are_equal_across_roles_and_differ_across_seeds(name: str) -> None:
    images = examples_of([40] * 4)
    context = context_around(images)
    example = {**factors[name].examples[-1], "roles": ["transfer", "teacher"]}
    chain = [factors[name].model_validate(example)]
    transfer, _ = apply_chain(images, chain, "transfer", 5, context=context)
    assert apply_chain(images, chain, "teacher", 5, context=context)[0].digest == transfer.digest
    rng = generator(chain[0], 5)
    fresh = rng.bit_generator.state
    chain[0].apply(images, rng, context)
    draws = rng.bit_generator.state != fresh
    assert draws == (apply_chain(images, chain, "transfer", 6, context=context)[0].digest != transfer.digest)


@given(seed=st.integers(0, 10**9))
@settings(max_examples=40)
def test_factors_compose_and_noise_of_an_example_stays_the_same(seed: int) -> None:
    images = balanced()
    noise, size, skew = LabelNoise(level=0.3), Size(level=20), Imbalance(level=5)
    noisy, _ = apply_chain(images, [noise], "transfer", seed)
    cut_then_noisy, checks = apply_chain(images, [size, noise], "transfer", seed)
    assert [check.factor for check in checks] == ["size", "label_noise"]
    assert all(check.passed for check in checks)
    cut, _ = apply_chain(images, [size], "transfer", seed)
    assert cut_then_noisy.input_digest == cut.input_digest
    was, alone, composed = labels_by_id(images), labels_by_id(noisy), labels_by_id(cut_then_noisy)
    both = [i for i in composed if composed[i] != was[i] and alone[i] != was[i]]
    assert both and all(composed[i] == alone[i] for i in both)
    skewed, checks = apply_chain(images, [skew, size.model_copy(update={"level": 8})], "transfer", seed)
    assert skewed.counts.tolist() == [8] * 4 and [c.passed for c in checks] == [True, True]
    with pytest.raises(RequestError, match="at most 8"):
        apply_chain(images, [skew, Size(level=9)], "transfer", seed)


@given(seed=st.integers(0, 10**9), levels=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=40)
def test_sizes_stay_nested_after_noise(seed: int, levels: tuple[int, int]) -> None:
    few, many = sorted(levels)
    noise = LabelNoise(level=0.0), LabelNoise(level=0.05)
    for first in noise:
        noisy, _ = apply_chain(balanced(), [first], "transfer", seed)
        most = int(noisy.counts.min())
        small, large = (
            apply_chain(balanced(), [first, Size(level=min(n, most))], "transfer", seed)[0]
            for n in (few, many)
        )
        assert set(small.ids.tolist()) <= set(large.ids.tolist())
