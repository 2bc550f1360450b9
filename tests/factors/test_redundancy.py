"""Copies within a set and from the test set: their shares, their pixels and their origin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.derived import DerivedItems, stacked
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import (
    FactorContext,
    Manipulation,
    Redundancy,
    Resolution,
    apply_chain,
    apply_factor,
    generator,
)
from distillab.factors.inputs.near_copy import NearCopy, are_near
from distillab.factors.inputs.redundancy import COPY
from distillab.factors.subsets import rounded
from support.datasets import context_around, examples_of

SEEDS = st.integers(0, 10**9)
COUNTS = st.lists(st.integers(2, 30), min_size=2, max_size=6)
LEVELS = st.floats(0, 0.7)


def made(images: Examples, seed: int = 0, context: FactorContext | None = None, **keys: Any) -> Examples:
    after, check = apply_factor(images, Redundancy(**keys), seed, context)
    assert check.passed, check
    return after


@given(counts=COUNTS, level=LEVELS, seed=SEEDS, kind=st.sampled_from(["exact", "near"]))
@settings(max_examples=40)
def test_copies_replace_images_of_their_class_evenly(
    counts: list[int], level: float, seed: int, kind: str
) -> None:
    images = examples_of(counts)
    after = made(images, seed, level=level, kind=kind)
    copies = rounded(level * images.counts)
    np.testing.assert_array_equal(after.counts, images.counts)
    np.testing.assert_array_equal(after.labels, images.labels)
    own = after.ids < COPY
    np.testing.assert_array_equal(np.bincount(after.labels[~own], minlength=len(counts)), copies)
    label_of = dict(zip(images.ids.tolist(), images.labels.tolist(), strict=True))
    sources = after.ids % COPY
    assert [label_of[source] for source in sources.tolist()] == after.labels.tolist()
    for label in range(len(counts)):
        times = np.unique(sources[after.labels == label], return_counts=True)[1]
        assert len(times) == images.counts[label] - copies[label]
        assert times.max() - times.min() <= 1


@given(level=LEVELS, seed=SEEDS)
@settings(max_examples=20)
def test_exact_copies_share_the_row_of_their_original(level: float, seed: int) -> None:
    images = examples_of([20, 30, 25])
    after = made(images, seed, level=level)
    assert after.pool is images.pool
    row = dict(zip(images.ids.tolist(), images.rows.tolist(), strict=True))
    assert [row[i] for i in (after.ids % COPY).tolist()] == after.rows.tolist()
    distinct = len({image.tobytes() for image in after.images})
    assert distinct == len(images) - rounded(level * images.counts).sum()


def test_near_copies_differ_slightly_from_their_original() -> None:
    images = examples_of([16, 16, 16])
    after = made(images, level=0.75, kind="near")
    pixels, came = after.images, after.ids >= COPY
    assert len({image.tobytes() for image in pixels}) == len(after)
    place = {int(name): i for i, name in enumerate(after.ids)}
    sources = after.ids[came] % COPY
    models = pixels[[place[i] for i in sources.tolist()]]
    assert are_near(models, pixels[came]).all()
    others = np.roll(sources, 1) != sources
    assert others.any() and not are_near(np.roll(models, 1, axis=0), pixels[came])[others].any()
    shared = made(images, level=0.25, kind="near")
    assert shared.pool.digest == after.pool.digest  # levels and seeds share teacher outputs
    assert made(images, 5, level=0.25, kind="near").pool.digest == after.pool.digest
    assert isinstance(after.pool.items, DerivedItems) and after.pool.items.base is images.pool.items


@given(copy=st.integers(1, 200), row=st.integers(0, 10**6), seed=SEEDS)
@settings(max_examples=40)
def test_near_copy_stays_within_its_bounds(copy: int, row: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 3, 9, 7), dtype=np.uint8)
    operation, rows = NearCopy(copy), np.array([row])
    copied = operation(pixels, rows)
    np.testing.assert_array_equal(copied, operation(pixels, rows))
    assert are_near(pixels, copied).all()
    flat = np.full((1, 3, 9, 7), 100, np.uint8)
    assert np.abs(operation(flat, rows).astype(int) - 100).max() <= 6  # 4 % and two levels of noise


def test_near_copies_are_the_same_on_every_machine() -> None:
    ramp = np.arange(75, dtype=np.uint8).reshape(1, 3, 5, 5) * 3
    assert NearCopy(1)(ramp, np.array([4]))[0, 0].tolist() == [
        [2, 0, 5, 4, 9],
        [17, 14, 19, 21, 22],
        [29, 30, 35, 38, 37],
        [44, 45, 49, 49, 52],
        [61, 62, 61, 67, 72],
    ]


@given(level=st.floats(0, 0.1), seed=SEEDS)
@settings(max_examples=20)
def test_leaks_are_labelled_test_images_from_one_half(level: float, seed: int) -> None:
    images = examples_of([40, 40, 30])
    context = context_around(images)
    test = context.dataset.eval["test"]
    factor = Redundancy(level=level, kind="leakage")
    after = made(images, seed, context, level=level, kind="leakage")
    halves = factor.extra_evals(test, generator(factor, seed), context)
    leaked = after.select(after.ids >= COPY)
    np.testing.assert_array_equal(after.counts, images.counts)
    np.testing.assert_array_equal(leaked.counts, rounded(level * images.counts))
    known = {i: (label, image.tobytes()) for i, label, image in rows(test)}
    for i, label, image in rows(leaked):
        assert known[i - COPY] == (label, image.tobytes())
    exposed, unexposed = (set(halves[name].ids.tolist()) for name in ("exposed", "unexposed"))
    assert exposed | unexposed == set(test.ids.tolist()) and not exposed & unexposed
    assert {i - COPY for i in leaked.ids.tolist()} <= exposed
    np.testing.assert_array_equal(halves["exposed"].counts, halves["unexposed"].counts)


def rows(images: Examples) -> list[tuple[int, int, Any]]:
    return list(zip(images.ids.tolist(), images.labels.tolist(), images.images, strict=True))


def test_halves_are_fixed_and_leaks_are_nested() -> None:
    images = examples_of([40, 40, 40])
    context = context_around(images)
    test = context.dataset.eval["test"]
    levels = [Redundancy(level=level, kind="leakage") for level in (0.0, 0.05, 0.1)]
    halves = [factor.extra_evals(test, generator(factor, 3), context) for factor in levels]
    assert len({half["exposed"].digest for half in halves}) == 1
    leaks = [
        set(made(images, 3, context, **f.model_dump()).ids.tolist()) - set(images.ids.tolist())
        for f in levels
    ]
    assert leaks[0] < leaks[1] < leaks[2]


@pytest.mark.parametrize("kind", ["exact", "near"])
def test_copies_alone_add_no_test_image_and_no_test_set(kind: str) -> None:
    images = examples_of([40, 40, 40])
    context = context_around(images)
    factor = Redundancy(level=0.5, kind=kind)
    after, _ = apply_factor(images, factor, 0, context)
    outside = {int(i) for s in (context.dataset.val, *context.dataset.eval.values()) for i in s.ids}
    assert not outside & set((after.ids % COPY).tolist())
    assert factor.extra_evals(context.dataset.eval["test"], generator(factor, 0), context) == {}


def test_checks_measure_the_data() -> None:
    images = examples_of([20, 20, 20])
    context = context_around(images)
    before_has_some = images.select(np.r_[:60, :15])
    assert measured(Redundancy(level=0.0), images, images).measured == 0
    assert measured(Redundancy(level=0.2), images, before_has_some).measured == pytest.approx(0.2)
    near = Redundancy(level=0.5, kind="near")
    assert apply_factor(images, near, 0)[1].measured == 0.5
    unrelated = context.dataset.eval["test"].select(np.arange(24))
    fake = stacked(images.select(np.arange(24)), replace(unrelated, ids=images.ids[:24] + COPY))
    assert measured(near, images, fake).measured == 0.0  # their ids claim to be copies, their pixels are not


def measured(factor: Redundancy, before: Examples, after: Examples) -> Manipulation:
    return factor.check(before, after)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"level": 0.96},
            r"'class 1' has no image of its own \(allowed: a share below 0.95: it has 10 images",
        ),
        (
            {"level": 0.5, "kind": "leakage"},
            r"20 test images of 'class 0' were requested \(allowed: a share below 0.112: half of the test",
        ),
    ],
)
def test_infeasible_levels_are_refused(keys: dict[str, Any], message: str) -> None:
    images = examples_of([40, 10, 20])
    with pytest.raises(RequestError, match=message):
        apply_factor(images, Redundancy(**keys), 0, context_around(images))


def test_highest_level_named_in_the_error_is_feasible() -> None:
    images = examples_of([40, 10, 20])
    for keys in ({"level": 0.949}, {"level": 0.111, "kind": "leakage"}):
        after = made(images, context=context_around(images), **keys)
        assert after.counts.tolist() == [40, 10, 20]


def test_leakage_needs_the_classes_of_the_test_set() -> None:
    images = examples_of([40, 40, 40])
    with pytest.raises(RequestError, match="no class 'parent 0' that could leak"):
        apply_factor(
            images.with_parents_as_classes(), Redundancy(level=0.1, kind="leakage"), 0, context_around(images)
        )


@pytest.mark.parametrize("sees", ["both", "student"])
@pytest.mark.parametrize("hold", ["architecture", "compute"])
def test_leakage_after_changed_pixels_is_refused(sees: str, hold: str) -> None:
    """Leaked images are unchanged and could be recognized by their sharpness."""
    images = examples_of([40, 40, 40])
    leakage = Redundancy(level=0.1, kind="leakage")
    coarse = Resolution(level=4, sees=sees, hold=hold)
    around = context_around(images)
    before, _ = apply_chain(images, [leakage, coarse], "transfer", 0, context=around)
    assert len(before) == 120
    if sees == "student":  # a student transform applies to leaked images as well
        after, _ = apply_chain(images, [coarse, leakage], "transfer", 0, context=around)
        assert after.student_transform == before.student_transform
        return
    with pytest.raises(RequestError, match="`redundancy` before factors that change pixels"):
        apply_chain(images, [coarse, leakage], "transfer", 0, context=around)


def test_leakage_is_named_in_the_description() -> None:
    assert Redundancy(level=0.1, kind="leakage").description == (
        "0.1 of the training images taken FROM THE TEST SET (leakage on purpose)"
    )
    chain = [Redundancy(level=0.1, kind="leakage")]
    images = examples_of([40, 40, 40])
    _, checks = apply_chain(images, chain, "transfer", 0, context=context_around(images))
    assert checks[0].measure == "share of images from outside the training set" and checks[0].measured == 0.1
