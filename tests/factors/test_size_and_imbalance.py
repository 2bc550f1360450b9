"""Size and imbalance: closed forms of the counts, and infeasible levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import Factor, Imbalance, Size
from support.datasets import examples_of, label_sets_of

SEEDS = st.integers(0, 2**63 - 1)


def apply(factor: Factor, images: Examples, seed: int) -> Examples:
    return factor.apply(images, np.random.default_rng(seed))


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


def test_general_word_for_the_unit_is_stored_as_the_same() -> None:
    assert Size.model_validate({"level": 5, "unit": "examples_per_class"}) == Size(level=5)


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


# Label sets


@given(seed=SEEDS, totals=st.tuples(st.integers(30, 160), st.integers(30, 160)))
def test_totals_of_label_sets_are_nested_and_miss_no_label(seed: int, totals: tuple[int, int]) -> None:
    images = label_sets_of(examples_of([40] * 4))
    few, many = (apply(Size(level=total, unit="total"), images, seed) for total in sorted(totals))
    assert [len(few), len(many)] == sorted(totals)
    assert set(few.ids.tolist()) <= set(many.ids.tolist())
    assert (few.counts > 0).all()


def test_total_that_loses_a_label_is_refused() -> None:
    images = label_sets_of(examples_of([100, 100]))
    values = images.targets.values.copy()
    values[1:, 1] = 0
    values[0, 1] = 1
    with pytest.raises(RequestError, match=r"leaves 'class 1' without any .allowed: at least \d+ examples"):
        apply(Size(level=1, unit="total"), images.relabel(values), 0)


@pytest.mark.parametrize("kind", ["exponential", "step"])
def test_labels_of_label_sets_are_thinned_by_the_ratio(kind: Any) -> None:
    images = label_sets_of(examples_of([300] * 4))
    kept = [apply(Imbalance(level=level, kind=kind), images, 0) for level in (1, 4, 20)]
    assert kept[0].digest == images.digest
    for level, after in zip((4, 20), kept[1:], strict=True):
        shares = after.counts / images.counts
        assert shares.argmin() in ((3,) if kind == "exponential" else (2, 3))
        assert shares.min() == pytest.approx(1 / level, rel=0.05)
        assert shares[0] > shares[3]
    with pytest.raises(RequestError, match="leaves too few examples with 'class"):
        apply(Imbalance(level=1000, kind=kind), images, 0)
