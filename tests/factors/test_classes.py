"""Number, granularity and similarity of classes: closed forms and infeasible levels."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import Classes, Factor, FactorContext, Granularity, Role, Similarity, apply_chain
from distillab.factors.targets.similarity import TOLERANCE, _Scale
from support.datasets import context_around, examples_of

SEEDS = st.integers(0, 10**9)
ALL: tuple[Role, ...] = ("transfer", "val", "eval")


def around(images: Examples, role: Role = "transfer") -> FactorContext:
    """Return a context whose training set is the given one."""
    context = context_around(images, role)
    return replace(context, dataset=replace(context.dataset, train=images))


def roles(factor: Factor, context: FactorContext, seed: int) -> dict[Role, Examples]:
    """Return the sets of a condition with one factor."""
    dataset = context.dataset
    sets: dict[Role, Examples] = {
        "teacher": dataset.train,
        "transfer": dataset.train,
        "val": dataset.val,
        "eval": dataset.eval["test"],
    }
    return {
        role: apply_chain(images, [factor], role, seed, context=replace(context, role=role))[0]
        for role, images in sets.items()
    }


# Number of classes


@given(classes=st.integers(3, 8), level=st.integers(2, 8), seed=SEEDS, draw=st.sampled_from(["seed", 0, 3]))
@settings(max_examples=40)
def test_all_roles_keep_the_same_classes_and_their_pixels(
    classes: int, level: int, seed: int, draw: Any
) -> None:
    level = min(level, classes)
    context = around(examples_of([6] * classes))
    sets = roles(Classes(level=level, draw=draw), context, seed)
    names = {images.classes for role, images in sets.items() if role in ALL}
    assert len(names) == 1 and len(names.pop()) == level
    assert sets["teacher"] is context.dataset.train
    transfer = sets["transfer"]
    assert transfer.pool is context.dataset.train.pool
    kept = np.isin(context.dataset.train.ids, transfer.ids)
    assert np.array_equal(context.dataset.train.rows[kept], transfer.rows)
    old = [context.dataset.train.classes[label] for label in context.dataset.train.labels[kept]]
    assert old == [transfer.classes[label] for label in transfer.labels]
    assert transfer.parents == tuple(
        context.dataset.train.parents[context.dataset.train.classes.index(name)] for name in transfer.classes
    )


def test_classes_are_drawn_per_seed_or_once_for_all_seeds() -> None:
    context = around(examples_of([4] * 12))

    def drawn(level: int, seed: int, draw: Any = "seed") -> tuple[str, ...]:
        return roles(Classes(level=level, draw=draw), context, seed)["transfer"].classes

    assert len({drawn(4, seed) for seed in range(10)}) > 5
    assert len({drawn(4, seed, 2) for seed in range(10)}) == 1
    assert len({drawn(4, 0, draw) for draw in range(10)}) > 5
    for draw in ("seed", 5):
        assert set(drawn(3, 1, draw)) < set(drawn(7, 1, draw))


@given(total=st.integers(8, 48), seed=SEEDS, counts=st.lists(st.integers(10, 30), min_size=4, max_size=9))
def test_total_is_spread_evenly_over_the_classes(total: int, seed: int, counts: list[int]) -> None:
    context = around(examples_of(counts))
    for level in (2, 4):
        factor = Classes(level=level, hold="total", total=total, roles=("teacher", *ALL))
        try:
            sets = roles(factor, context, seed)
        except RequestError as error:
            most = int(str(error).split("a total of at most ")[1].split(":")[0])
            assert most < total and most % level == 0
            continue
        for role in ("teacher", "transfer"):
            assert len(sets[role]) == total
            assert np.ptp(sets[role].counts) <= 1
        free = roles(Classes(level=level), context, seed)
        assert sets["val"].digest == free["val"].digest and sets["eval"].digest == free["eval"].digest


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"level": 1}, "not a number of classes"),
        ({"level": 2.5}, "not a number of classes"),
        ({"level": 3, "hold": "total"}, "go together"),
        ({"level": 3, "total": 30}, "go together"),
        ({"level": 3, "hold": "total", "total": 2}, "less than one for each"),
        ({"level": 3, "draw": -1}, "draw"),
    ],
    ids=str,
)
def test_inconsistent_keys_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Classes.model_validate(bad)


def test_more_classes_than_the_data_have_are_refused() -> None:
    context = around(examples_of([9] * 4))
    with pytest.raises(RequestError, match="2 to 4, all there are"):
        roles(Classes(level=5), context, 0)
    with pytest.raises(RequestError, match="a total of at most 18"):
        roles(Classes(level=2, hold="total", total=19), context, 0)


# Granularity


def test_coarse_labels_are_the_parents_of_the_fine_ones() -> None:
    context = around(examples_of([9] * 5))
    fine, coarse = (roles(Granularity.model_validate({"level": x}), context, 0) for x in ("fine", "coarse"))
    for role, images in fine.items():
        assert coarse[role].classes == ("parent 0", "parent 1", "parent 2")
        assert np.array_equal(coarse[role].labels, images.labels // 2)
        assert coarse[role].input_digest == images.input_digest
        assert images.classes == context.dataset.classes


def test_missing_coarser_classes_are_refused_with_a_remedy() -> None:
    images = examples_of([9, 9, 9])
    for level in ("fine", "coarse"):
        factor = Granularity.model_validate({"level": level})
        with pytest.raises(RequestError, match="`coarse:`"):
            factor.apply(replace(images, parents=()), np.random.default_rng(0))
        with pytest.raises(RequestError, match="all classes belong to one coarser class, 'parent 0'"):
            factor.apply(examples_of([9, 9]), np.random.default_rng(0))


# Similarity


def families(each: int = 40, *, seed: int = 0) -> Examples:
    """Return twelve classes in four families; the three classes of a family have similar colors."""
    rng = np.random.default_rng(5)
    colors = np.repeat(rng.uniform(70, 186, (4, 3)), 3, axis=0) + rng.uniform(-12, 12, (12, 3))
    labels = np.repeat(np.arange(12), each)
    noise = np.random.default_rng(seed).normal(0, 6, (len(labels), 3, 8, 8))
    pixels = np.clip(colors[labels][:, :, None, None] + noise, 0, 255).astype(np.uint8)
    return Examples.of(pixels, labels, tuple(f"class {c}" for c in range(12)))


@pytest.mark.parametrize("k", [2, 3])
def test_most_similar_classes_come_from_one_family(k: int) -> None:
    images = families()
    factor = Similarity(level=1.0, classes=k)
    for seed in range(3):
        after = factor.apply(images, np.random.default_rng(seed), around(images))
        numbers = [int(name.split()[1]) for name in after.classes]
        assert len(numbers) == k and len({number // 3 for number in numbers}) == 1
        assert after.counts.tolist() == [40] * k
        check = factor.check(images, after)
        assert check.passed and check.measured == pytest.approx(1.0)


def test_measured_similarity_is_the_level() -> None:
    images = families()
    measured = {}
    for level in (0.0, 0.3, 1.0):
        factor = Similarity(level=level, classes=4)
        sets = [factor.apply(images, np.random.default_rng(s), around(images)) for s in range(8)]
        checks = [factor.check(images, after) for after in sets]
        assert all(check.passed and abs(check.measured - level) <= TOLERANCE for check in checks)
        measured[level] = np.mean([check.measured for check in checks])
        assert (len({after.classes for after in sets}) == 1) == (level == 1.0)
    assert measured[0.0] < measured[0.3] < measured[1.0]


def test_other_roles_keep_the_same_classes_with_all_examples() -> None:
    images, factor = families(), Similarity(level=1.0, classes=3, images_per_class=10)
    val = families(5, seed=1)
    transfer, few = (
        factor.apply(each, np.random.default_rng(2), around(images, role))
        for each, role in ((images, "transfer"), (val, "val"))
    )
    assert transfer.classes == few.classes
    assert (transfer.counts.tolist(), few.counts.tolist()) == ([10] * 3, [5] * 3)
    assert factor.check(val, few).passed
    wrong = val.of_classes([0, 4, 8])  # from three different families
    assert not factor.check(val, wrong).passed
    assert not factor.check(images, images.of_classes([0, 4, 8])).passed


def test_infeasible_similarity_is_refused() -> None:
    images = families(10)
    for keys, message in (
        ({"level": 1.0, "classes": 12}, "2 to 11, fewer than there are"),
        ({"level": 1.0, "classes": 3, "images_per_class": 11}, "at most 10 per class: 'class 0' has 10"),
    ):
        with pytest.raises(RequestError, match=message):
            Similarity.model_validate(keys).apply(images, np.random.default_rng(0), around(images))
    three = images.of_classes([0, 1, 6])  # one pair is similar and two are not: no level in between exists
    with pytest.raises(RequestError, match=r"no 2 classes of a similarity near 0\.3 were found"):
        Similarity(level=0.3, classes=2).apply(three, np.random.default_rng(0), around(three))


@given(classes=st.integers(4, 9), k=st.integers(2, 3), seed=SEEDS)
@settings(max_examples=40)
def test_search_finds_the_most_similar_set(classes: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(classes, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    scale = _Scale.of(points @ points.T, k)
    sets = [np.array(each) for each in combinations(range(classes), k)]
    scores = [scale.score(each) for each in sets]
    assert np.mean(scores) == pytest.approx(0, abs=1e-9)
    assert scale.score(scale.most_similar) == pytest.approx(1)
    assert max(scores) == pytest.approx(1)
    start = rng.permutation(classes)[:k]
    chosen, score = scale.towards(0.4, start)
    assert len(set(chosen.tolist())) == k and score == pytest.approx(scale.score(chosen))
    assert abs(score - 0.4) <= abs(scale.score(start) - 0.4)
