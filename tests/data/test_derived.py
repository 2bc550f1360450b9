"""Derived and stacked pools, unlabelled images, chosen classes, and the student transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillab.data.derived import Unchanged, derived, stacked
from distillab.data.examples import Examples, Indices, Pixels
from distillab.data.student_transform import StudentTransform
from distillab.data.targets import UNLABELLED


@dataclass(frozen=True)
class Brighter:
    """Adds a number and the image's row to every pixel, and records the size of each batch."""

    by: int
    computed: list[int] = field(default_factory=list, compare=False)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"operation": "brighter", "by": self.by}

    def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
        return before

    def __call__(self, pixels: Pixels, rows: Indices, /) -> Pixels:
        self.computed.append(len(rows))
        return (pixels + np.uint8(self.by) + rows[:, None, None, None].astype(np.uint8)).astype(np.uint8)


def some(n: int = 7, first_id: int = 100, seed: int = 0) -> Examples:
    pixels = np.random.default_rng(seed).integers(0, 50, (n, 3, 4, 4), dtype=np.uint8)
    return Examples.of(pixels, np.arange(n) % 2, ("a", "b"), first_id=first_id)


@given(variants=st.lists(st.integers(0, 2), min_size=7, max_size=7), picked=st.permutations(range(7)))
def test_every_image_is_rendered_by_its_own_operation(variants: list[int], picked: list[int]) -> None:
    images = some()
    operations = (Unchanged(), Brighter(10), Brighter(20))
    changed = derived(images, operations, np.array(variants))
    added = np.array([0, 10, 20])[variants] + np.where(np.array(variants) > 0, np.arange(7), 0)
    expected = images.images + added.astype(np.uint8)[:, None, None, None]
    np.testing.assert_array_equal(changed.images, expected)
    np.testing.assert_array_equal(changed.select(picked).images, expected[picked])
    np.testing.assert_array_equal(changed.ids, images.ids)
    np.testing.assert_array_equal(changed.pool.items[2:5], changed.pool.items[np.arange(2, 5)])


def test_items_are_computed_on_demand_and_kept_ones_only_once() -> None:
    for keep, calls in ((False, 3), (True, 1)):
        slow = Brighter(1)
        changed = derived(some(), [slow], keep=keep)
        assert slow.computed == []
        for _ in range(3):
            changed.pixels(np.array([1, 4]))
        assert slow.computed == [2] * calls


def test_content_address_depends_on_pixels_and_operations() -> None:
    one = derived(some(), [Unchanged(), Brighter(1)], 1)
    assert one.pool.digest == derived(some(), [Unchanged(), Brighter(1)], 0).pool.digest
    assert one.digest != derived(some(), [Unchanged(), Brighter(1)], 0).digest
    assert one.digest != derived(some(), [Unchanged(), Brighter(2)], 1).digest
    assert one.digest != derived(some(seed=1), [Unchanged(), Brighter(1)], 1).digest


def test_variants_of_different_sizes_are_refused() -> None:
    class Smaller(Brighter):
        def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
            return (1, 1, 1)

    with pytest.raises(ValueError, match="equally large"):
        derived(some(), [Unchanged(), Smaller(1)])


@given(first=st.integers(1, 6), second=st.integers(1, 6))
def test_stacked_sets_keep_their_images(first: int, second: int) -> None:
    one, two = some(first), some(second, first_id=900, seed=1)
    both = stacked(one, two)
    np.testing.assert_array_equal(both.images, np.concatenate([one.images, two.images]))
    assert both.ids.tolist() == [*one.ids.tolist(), *two.ids.tolist()]
    assert both.labels.tolist() == [*one.labels.tolist(), *two.labels.tolist()]
    np.testing.assert_array_equal(both.pool.items[: len(both)], both.images)


def test_stacked_sets_share_a_common_pool() -> None:
    images = some()
    both = stacked(images.select([0, 1]), images.select([4, 5]))
    assert both.pool is images.pool
    assert both.rows.tolist() == [0, 1, 4, 5]


def test_incompatible_sets_are_not_stacked() -> None:
    with pytest.raises(ValueError, match="contain the same id"):
        stacked(some(), some(seed=1))
    small = Examples.of(np.zeros((2, 1, 4, 4), np.uint8), [0, 1], ("a", "b"))
    with pytest.raises(ValueError, match="cannot stand in one set"):
        stacked(some(), small)


def test_unlabelled_images_are_not_counted() -> None:
    images = some().relabel([0, 1, UNLABELLED, 0, UNLABELLED, 1, 1])
    assert images.counts.tolist() == [2, 3]
    assert images.labelled.tolist() == [True, True, False, True, False, True, True]
    with pytest.raises(ValueError, match="no class"):
        some().relabel([0, 1, -2, 0, 0, 1, 1])


def test_chosen_classes_are_renumbered_and_unlabelled_images_stay() -> None:
    images = replace(
        Examples.of(np.zeros((5, 1, 4, 4), np.uint8), [0, 1, 2, 0, 2], ("a", "b", "c")),
        parents=("x", "y", "x"),
    ).relabel([0, 1, 2, UNLABELLED, 2])
    chosen = images.of_classes([2, 0])
    assert chosen.classes == ("c", "a") and chosen.parents == ("x", "x")
    assert chosen.labels.tolist() == [1, 0, UNLABELLED, 0]
    assert chosen.ids.tolist() == [0, 2, 3, 4]
    coarse = images.with_parents_as_classes()
    assert coarse.classes == ("x", "y") and coarse.parents == ()
    assert coarse.labels.tolist() == [0, 1, 0, UNLABELLED, 0]


@pytest.mark.parametrize("side", [2, 4, 8])
def test_student_transform_downsamples_images(side: int) -> None:
    inputs = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    small, same = StudentTransform(side)(inputs), StudentTransform(side, back=True)(inputs)
    assert small.shape[-2:] == (side, side) and same.shape == inputs.shape
    assert StudentTransform(side).output_shape((1, 8, 8)) == (1, side, side) and StudentTransform(
        side, back=True
    ).output_shape((1, 8, 8)) == (
        1,
        8,
        8,
    )
    flat = torch.full((1, 1, 8, 8), 0.3)
    torch.testing.assert_close(
        StudentTransform(side, back=True)(flat), flat
    )  # a constant image has no detail to lose
    if side == 8:
        torch.testing.assert_close(same, inputs)
    else:
        assert (same - inputs).abs().max() > 0.01
        assert same.var() < inputs.var()


def test_student_transform_enters_the_digest_but_not_that_of_the_inputs() -> None:
    images = some()
    seen = replace(images, student_transform=StudentTransform(2))
    assert seen.input_digest == images.input_digest
    assert seen.digest != images.digest != replace(images, student_transform=StudentTransform(3)).digest
    assert seen.student_shape == (3, 2, 2) and seen.shape == (3, 4, 4)
