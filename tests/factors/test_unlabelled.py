"""Unlabelled images: which ones, how many, and that none of them is held out for testing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from distillab.data.dataset import Dataset
from distillab.data.derived import StackedItems
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import (
    FactorContext,
    LabelNoise,
    Redundancy,
    Size,
    Unlabelled,
    apply_chain,
    apply_factor,
    parse_factors,
)
from distillab.factors.targets.unlabelled import UNLABELLED_KINDS
from support.datasets import context_around, examples_of

SEEDS = st.integers(0, 10**9)


def added(
    images: Examples, factor: Unlabelled, seed: int = 0, context: FactorContext | None = None
) -> Examples:
    after, check = apply_factor(images, factor, seed, context or context_around(images))
    assert check.passed, check
    assert after.select(after.labelled).input_digest == after.select(np.arange(len(images))).input_digest
    return after.select(~after.labelled)


@pytest.mark.parametrize("kind", UNLABELLED_KINDS)
@given(ratio=st.floats(0, 0.5), seed=SEEDS, counts=st.lists(st.integers(20, 40), min_size=3, max_size=5))
@settings(max_examples=10)
def test_requested_number_is_added_and_none_is_held_out_for_testing(
    kind: str, ratio: float, seed: int, counts: list[int]
) -> None:
    images = examples_of(counts)
    context = context_around(images)
    extra = added(images, Unlabelled(level=ratio, kind=kind), seed, context)
    assert len(extra) == int(np.floor(ratio * len(images) + 0.5))
    data = context.dataset
    outside = [
        data.val,
        *data.eval.values(),
        *(s for o in data.others.values() for s in (o.val, *o.eval.values())),
    ]
    ids = set(extra.ids.tolist())
    assert not any(ids & set(split.ids.tolist()) for split in outside)
    assert not ids & set(images.ids.tolist())
    tested = {image.tobytes() for split in outside for image in split.images}
    assert not any(image.tobytes() in tested for image in extra.images)


def test_held_out_images_are_those_that_size_left_out() -> None:
    everything = examples_of([40, 40, 40])
    context = context_around(everything)
    read = context.dataset.train
    chain = [Size(level=10), Unlabelled(level=2.0)]
    few = read.of_classes([0, 1, 2])
    after, checks = apply_chain(few, chain, "transfer", 0, context=context)
    assert [check.passed for check in checks] == [True, True] and after.counts.tolist() == [10] * 3
    true = dict(zip(read.ids.tolist(), read.labels.tolist(), strict=True))
    extra = after.select(~after.labelled)
    assert len(extra) == 60 and {true[i] for i in extra.ids.tolist()} == {0, 1, 2}
    near = added(after.select(after.labelled), Unlabelled(level=1.0, kind="other_classes"), 0, context)
    assert {true[i] for i in near.ids.tolist()} == {3, 4}


def test_all_held_out_images_are_available_and_no_more() -> None:
    images = examples_of([40, 40, 40])
    context = context_around(images)
    extra = added(images, Unlabelled(level=1.0), context=context)
    left = set(context.dataset.train.ids[: 2 * 120].tolist())
    assert len(extra) == 120 and len(left) == 240
    with pytest.raises(
        RequestError,
        match="121 unlabelled examples of the same domain were requested "
        r"\(allowed: at most 120, 1 per labelled one: training examples that factors written before",
    ):
        added(images, Unlabelled(level=121 / 120), context=context)


def test_pools_are_shared_across_levels() -> None:
    images = examples_of([40, 40, 40])
    context = context_around(images)
    of_one_pool = context.dataset.train.of_classes([0, 1, 2]).select(np.arange(120))
    after, _ = apply_factor(of_one_pool, Unlabelled(level=0.5), 0, context)
    assert after.pool is of_one_pool.pool
    for kind in ("synthetic", "noise", "one_photo", "other_dataset"):
        few, many = (
            apply_factor(images, Unlabelled(level=level, kind=kind), 0, context)[0] for level in (0.2, 0.4)
        )
        assert few.pool.digest == many.pool.digest != images.pool.digest
        assert isinstance(few.pool.items, StackedItems) and few.pool.items.parts[0] is images.pool.items
        np.testing.assert_array_equal(few.rows, many.rows[: len(few)])


@given(seed=SEEDS)
@settings(max_examples=10)
def test_kind_as_level_equals_kind_as_key(seed: int) -> None:
    images = examples_of([20, 20, 20])
    for kind in UNLABELLED_KINDS:
        key = added(images, Unlabelled(level=0.3, kind=kind), seed)
        level = added(images, Unlabelled(level=kind, ratio=0.3), seed)
        assert key.digest == level.digest
    assert len(added(images, Unlabelled(level="none"), seed)) == 0
    assert len(added(images, Unlabelled(level="noise"), seed)) == 60


def test_photo_is_a_training_image_or_a_file(tmp_path: Path) -> None:
    images = examples_of([20, 20, 20])
    red = tmp_path / "red.png"
    Image.fromarray(np.full((50, 70, 3), (255, 0, 0), np.uint8)).save(red)
    crops = added(images, Unlabelled(level=0.5, kind="one_photo", photo=red)).images
    assert all(np.ptp(channel) == 0 for image in crops for channel in image)
    gray = tmp_path / "gray.png"
    Image.fromarray(np.arange(2500, dtype=np.uint8).reshape(50, 50)).save(gray)
    other = added(images, Unlabelled(level=0.5, kind="one_photo", photo=gray))
    assert other.shape == (3, 8, 8)
    assert other.pool.digest != added(images, Unlabelled(level=0.5, kind="one_photo", photo=red)).pool.digest


def test_factors_that_need_labels_are_refused_afterwards() -> None:
    images = examples_of([40, 40, 40])
    context = context_around(images)
    more = Unlabelled(level=0.5, kind="noise")
    with pytest.raises(RequestError, match="label_noise cannot change examples without labels"):
        apply_chain(images, [more, LabelNoise(level=0.2)], "transfer", 0, context=context)
    after, checks = apply_chain(images, [LabelNoise(level=0.2), more], "transfer", 0, context=context)
    assert all(check.passed for check in checks) and after.labelled.sum() == 120
    after, checks = apply_chain(
        images, [Redundancy(level=0.5), Unlabelled(level=1.0)], "transfer", 0, context=context
    )
    assert all(check.passed for check in checks) and len(after) == 240


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "other_dataset", "dataset": "usps"}, "unlabelled.dataset: unknown dataset 'usps'"),
        ({"kind": "one_photo", "photo": "/no/such/photo.jpg"}, "'/no/such/photo.jpg' cannot be read"),
        ({"kind": "other_classes", "level": 9.0}, "1080 unlabelled examples of other classes were requested"),
        ({"kind": "noise", "level": 1e5}, "at most 262144"),
    ],
)
def test_infeasible_levels_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        added(examples_of([40, 40, 40]), Unlabelled(**{"level": 1.0, **keys}))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_other_dataset_must_be_named_unless_there_is_one() -> None:
    images = examples_of([40, 40, 40])
    context = context_around(images)
    factor = Unlabelled(level=0.5, kind="other_dataset")
    other = context.dataset.others["other"]
    assert set(added(images, factor, context=context).ids.tolist()) <= set(other.train.ids.tolist())

    def with_others(others: dict[str, Dataset]) -> FactorContext:
        return replace(context, dataset=replace(context.dataset, others=others))

    with pytest.raises(RequestError, match="no other dataset"):
        added(images, factor, context=with_others({}))
    with pytest.raises(RequestError, match=r"several other datasets .*allowed: a, b"):
        added(images, factor, context=with_others({"a": other, "b": other}))
    gray = replace(
        other, train=Examples.of(np.zeros((60, 1, 8, 8), np.uint8), [0] * 60, ("a",), first_id=10**9)
    )
    with pytest.raises(RequestError, match=r"have shape 1x8x8, the labelled ones 3x8x8"):
        added(images, factor, context=with_others({"a": gray}))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"levels": ["noise"], "kind": "noise"}, "key 'kind' goes with levels that are numbers"),
        ({"levels": [1.0], "ratio": 1.0}, "key 'ratio' goes with levels that are kinds"),
        ({"levels": [1.0], "dataset": "usps"}, "key 'dataset' goes with kind: other_dataset"),
        ({"levels": [1.0], "kind": "noise", "photo": "x.png"}, "key 'photo' goes with kind: one_photo"),
        ({"levels": [1.0], "roles": ["val"]}, "roles transfer and teacher alone"),
        ({"levels": ["noize"]}, "'noize' is not accepted"),
    ],
)
def test_inconsistent_keys_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_factors({"unlabelled": keys}, "study.yaml: factors")
    with pytest.raises(ValidationError):
        Unlabelled.model_validate(
            {"level": keys["levels"][0], **{k: v for k, v in keys.items() if k != "levels"}}
        )


def test_levels_have_a_readable_description() -> None:
    assert Unlabelled(level=4.0, kind="noise").description == "4 unlabelled images of noise per labelled one"
    assert Unlabelled(level="one_photo").description == "unlabelled examples: one_photo"
