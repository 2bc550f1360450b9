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
from distillab.errors import RequestError
from distillab.factors import Factor, FactorContext, Imbalance, LabelNoise, Size, factors
from support.datasets import context_around, examples_of

EXAMPLES = [(name, example) for name in factors for example in factors[name].examples]
SEEDS = st.integers(0, 2**63 - 1)


def apply(factor: Factor, images: Examples, seed: int, context: FactorContext | None = None) -> Examples:
    return factor.apply(images, np.random.default_rng(seed), context)


def labels_by_id(images: Examples) -> dict[int, int]:
    return dict(zip(images.ids.tolist(), images.labels.tolist(), strict=True))


def state(images: Examples) -> dict[int, tuple[str, bytes]]:
    """Return the class name and the pixels of each image, by id."""
    names = [images.classes[label] if label >= 0 else "none" for label in images.labels]
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


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
@given(images=balanced_sets, seed=SEEDS)
@settings(max_examples=15)
def test_levels_are_reached_and_only_declared_aspects_change(
    name: str, example: dict[str, Any], images: Examples, seed: int
) -> None:
    factor, context = factors[name].model_validate(example), context_around(images)
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
            assert labels_by_id(images).items() >= {
                (i, label) for i, label in labels_by_id(after).items() if i in set(images.ids.tolist())
            }
    if "selection" not in factor.changes:
        assert set(images.ids.tolist()) <= set(after.ids.tolist())
    if "images" not in factor.changes:
        assert set(after.ids.tolist()) <= set(images.ids.tolist())


@pytest.mark.parametrize("name", [name for name in factors if factors[name].nested])
@given(images=balanced_sets, seed=SEEDS)
@settings(max_examples=15)
def test_levels_of_one_seed_are_nested(name: str, images: Examples, seed: int) -> None:
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for example in factors[name].examples:
        if not isinstance(example["level"], str):  # names have no order
            kinds[str({key: value for key, value in example.items() if key != "level"})].append(example)
    assert not kinds or any(len(levels) > 1 for levels in kinds.values())
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


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_check_fails_on_an_unchanged_set(name: str, example: dict[str, Any]) -> None:
    images = examples_of([40, 40, 40, 40])
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
        {"roles": ["students"]},
    ],
    ids=str,
)
def test_invalid_configurations_are_refused(name: str, bad: dict[str, Any]) -> None:
    good = {**factors[name].examples[0], "roles": ["transfer", "teacher"]}
    factors[name].model_validate(good)
    with pytest.raises(ValidationError):
        factors[name].model_validate({**good, **bad})


@pytest.mark.parametrize("name", factors)
def test_factors_are_immutable(name: str) -> None:
    factor = factors[name].model_validate(factors[name].examples[0])
    with pytest.raises(ValidationError):
        factor.level = 3.0


# Size


@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=8),
    seed=SEEDS,
    shuffle=st.integers(0, 50),
    data=st.data(),
)
def test_size_takes_the_same_number_of_every_class(
    counts: list[int], seed: int, shuffle: int, data: st.DataObject
) -> None:
    level = data.draw(st.integers(1, min(counts)))
    images = examples_of(counts, shuffle=shuffle)
    after = apply(Size(level=level), images, seed)
    assert after.counts.tolist() == [level] * len(counts)
    positions = {image: place for place, image in enumerate(images.ids.tolist())}
    assert after.ids.tolist() == sorted(after.ids.tolist(), key=positions.__getitem__)


def test_size_error_names_the_largest_possible_size() -> None:
    images = examples_of([500, 437, 500])
    with pytest.raises(RequestError, match=r"at most 437 per class: 'class 1' has 437"):
        apply(Size(level=438), images, 0)
    with pytest.raises(RequestError, match="at most 1437"):
        apply(Size(level=1438, unit="total"), images, 0)


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=8),
    seed=SEEDS,
    data=st.data(),
)
def test_totals_keep_proportions_and_are_nested(counts: list[int], seed: int, data: st.DataObject) -> None:
    images = examples_of(counts)
    total = data.draw(st.integers(1, len(images)))
    smaller = data.draw(st.integers(1, total))
    try:
        few = apply(Size(level=smaller, unit="total"), images, seed)
    except RequestError as error:
        # Refused only where some class of the data would be left empty, and enough images are named.
        least = int(str(error).split("at least ")[1].split()[0])
        few = apply(Size(level=least, unit="total"), images, seed)
        assert smaller < least and (few.counts > 0).all()
        return
    many = apply(Size(level=total, unit="total"), images, seed)
    assert (len(few), len(many)) == (smaller, total)
    assert set(few.ids.tolist()) <= set(many.ids.tolist())
    # Webster: no class could give an image to another and bring both closer to their share.
    n, all_of = many.counts, np.array(counts)
    assert ((n - 0.5) / all_of).max() <= ((n + 0.5) / all_of).min() + 1e-12


def test_total_that_empties_a_class_is_refused() -> None:
    images = examples_of([90, 9])
    with pytest.raises(RequestError, match="leaves 'class 1' without any"):
        apply(Size(level=0.02, unit="fraction"), images, 0)
    assert apply(Size(level=1 / 3, unit="fraction"), images, 0).counts.tolist() == [30, 3]


@pytest.mark.parametrize(
    "bad", [{"level": 1.5}, {"level": 0}, {"level": 2, "unit": "fraction"}, {"level": 0}]
)
def test_size_levels_must_fit_their_unit(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="is not a"):
        Size.model_validate(bad)


# Imbalance


def test_exponential_counts_follow_the_closed_form() -> None:
    after = apply(Imbalance(level=100), examples_of([500] * 10), 0)
    assert after.counts.tolist() == [round(500 * 100 ** (-k / 9)) for k in range(10)]


def test_step_makes_half_of_the_classes_rare() -> None:
    images = examples_of([50] * 5)
    assert apply(Imbalance(level=10, kind="step"), images, 0).counts.tolist() == [50, 50, 5, 5, 5]
    assert apply(Imbalance(level=10, kind="step", minority=0.2), images, 0).counts.tolist() == [50] * 4 + [5]


def test_random_order_permutes_the_class_counts() -> None:
    images = examples_of([100] * 8)
    by_index = apply(Imbalance(level=50), images, 0).counts
    orders = {tuple(apply(Imbalance(level=50, order="random"), images, s).counts) for s in range(8)}
    assert all(sorted(order) == sorted(by_index.tolist()) for order in orders)
    assert len(orders) == 8
    levels = [apply(Imbalance(level=r, order="random"), images, 5).counts for r in (10, 50)]
    assert np.array_equal(levels[0].argsort(), levels[1].argsort())


def test_imbalance_starts_from_the_smallest_class() -> None:
    images = examples_of([30, 20, 40])
    assert apply(Imbalance(level=1), images, 0).counts.tolist() == [20, 20, 20]
    with pytest.raises(RequestError, match=r"at most 20: 'class 1' has 20 examples"):
        apply(Imbalance(level=21), images, 0)
    assert apply(Imbalance(level=20), images, 0).counts.min() == 1
    with pytest.raises(RequestError, match="has no examples"):
        apply(Imbalance(level=1), examples_of([5, 0, 5]), 0)
    with pytest.raises(RequestError, match="single class"):
        apply(Imbalance(level=1), examples_of([5]), 0)


@given(
    n=st.integers(1, 80),
    classes=st.integers(2, 12),
    data=st.data(),
    kind=st.sampled_from(["exponential", "step"]),
)
def test_every_possible_ratio_passes_its_check(n: int, classes: int, data: st.DataObject, kind: Any) -> None:
    level = data.draw(st.floats(1, n))
    images = examples_of([n] * classes)
    factor = Imbalance(level=level, kind=kind)
    assert factor.check(images, apply(factor, images, 0)).passed


# Label noise


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=8),
    level=st.floats(0, 1, exclude_max=True),
    kind=st.sampled_from(["symmetric", "pair"]),
    seed=SEEDS,
)
def test_noise_changes_the_requested_share_of_every_class(
    counts: list[int], level: float, kind: Any, seed: int
) -> None:
    images = examples_of(counts)
    factor = LabelNoise(level=level, kind=kind)
    after = apply(factor, images, seed)
    assert after.input_digest == images.input_digest
    changed = after.labels != images.labels
    by_class = np.bincount(images.labels[changed], minlength=len(counts))
    assert (np.abs(by_class - level * np.array(counts)) <= 0.5 + 1e-9).all()
    if kind == "pair":
        assert np.array_equal(after.labels[changed], (images.labels[changed] + 1) % len(counts))
    assert factor.check(images, after).passed


def test_symmetric_noise_goes_to_every_other_class_equally() -> None:
    images = examples_of([4000] * 4)
    after = apply(LabelNoise(level=0.75), images, 1)
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (images.labels, after.labels), 1)
    assert np.array_equal(confusion.diagonal(), [1000] * 4)
    # 1000 +- 5 standard deviations of a binomial with 3000 draws at 1/3.
    assert np.abs(confusion[~np.eye(4, dtype=bool)] - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)


@given(
    seed=SEEDS,
    level=st.floats(0.05, 0.95),
    keep=st.integers(5, 39),
    kind=st.sampled_from(["symmetric", "pair"]),
)
@settings(max_examples=40)
def test_noise_of_an_example_does_not_depend_on_the_others(
    seed: int, level: float, keep: int, kind: Any
) -> None:
    images = examples_of([40] * 4)
    subset = apply(Size(level=keep), images, seed + 1)
    factor = LabelNoise(level=level, kind=kind)
    large, small = (labels_by_id(apply(factor, s, seed)) for s in (images, subset))
    was = labels_by_id(subset)
    for c in range(4):
        of_class = [i for i, label in was.items() if label == c]
        in_large = {i for i in of_class if large[i] != c}
        in_small = {i for i in of_class if small[i] != c}
        assert in_large <= in_small or in_small <= in_large
        assert all(large[i] == small[i] for i in in_large & in_small)


def test_noise_needs_two_classes_and_matches_examples_by_id() -> None:
    with pytest.raises(RequestError, match="single class"):
        apply(LabelNoise(level=0.1), examples_of([9]), 0)
    images = examples_of([20, 20, 20])
    factor = LabelNoise(level=0.4)
    after = apply(factor, images, 0)
    backwards = after.select(np.arange(len(after))[::-1])
    assert factor.check(images, backwards).measured == factor.check(images, after).measured == 0.4
    with pytest.raises(ValueError, match="was not in the set"):
        factor.check(images, examples_of([20, 20, 20], first_id=3))
