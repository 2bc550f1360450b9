"""Batches with unlabelled examples: the labelled ones are those of the plain student, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.derived import labelled_alone, stacked
from distillab.data.examples import Examples
from distillab.training.batches import TrainingBatch, training_batches
from distillab.training.recipe import ResolvedRecipe
from support.training import CPU, examples_of, normalization, recipe

MIXING: dict[str, Any] = {"no mixing": "flip", "mixup": ["flip", "mixup"], "cutmix": ["flip", "cutmix"]}


def partly_labelled(labelled: int, unlabelled: int) -> Examples:
    images = examples_of(labelled + unlabelled)
    values = images.labels.copy()
    values[np.random.default_rng(labelled).permutation(len(images))[:unlabelled]] = -1
    return images.relabel(values)


def batches(images: Examples, chosen: ResolvedRecipe) -> list[TrainingBatch]:
    norm = normalization(images.shape[0])
    return list(training_batches(images, chosen, norm, order_seed=1, view_seed=2, device=CPU))


@settings(max_examples=25)
@given(labelled=st.integers(4, 40), unlabelled=st.integers(1, 80), batch=st.integers(2, 12))
def test_a_step_holds_the_batch_of_labelled_and_its_share_of_unlabelled(
    labelled: int, unlabelled: int, batch: int
) -> None:
    images = partly_labelled(labelled, unlabelled)
    chosen = recipe(images, steps=7, batch_size=batch)
    size = min(batch, labelled)
    assert chosen.unlabelled == max(1, round(size * unlabelled / labelled))
    assert chosen.steps_per_epoch == labelled // size
    for step in batches(images, chosen):
        known = images.labelled[step.positions]
        assert known[:size].all() and not known[size:].any()
        assert len(known) == size + chosen.unlabelled


@pytest.mark.parametrize("views", MIXING.values(), ids=list(MIXING))
def test_labelled_part_of_a_batch_is_the_batch_of_the_plain_student(views: Any) -> None:
    images = partly_labelled(21, 34)
    plain = labelled_alone(images)
    with_more, without = (recipe(each, steps=9, batch_size=8, views=views) for each in (images, plain))
    assert (without.unlabelled, without.steps_per_epoch, without.lr) == (
        0,
        with_more.steps_per_epoch,
        with_more.lr,
    )
    for whole, alone in zip(batches(images, with_more), batches(plain, without), strict=True):
        assert (whole.index, whole.epoch, whole.last_of_epoch) == (
            alone.index,
            alone.epoch,
            alone.last_of_epoch,
        )
        assert torch.equal(whole.ids[:8], alone.ids)
        assert torch.equal(whole.inputs[:8], alone.inputs)
        if alone.mixture and whole.mixture:
            partners = images.ids[whole.mixture.partners]
            assert (partners[:8] == plain.ids[alone.mixture.partners]).all()
            assert not images.labelled[whole.mixture.partners[8:]].any()
            assert torch.equal(whole.mixture.share[:8], alone.mixture.share)


def test_an_epoch_goes_through_the_unlabelled_examples() -> None:
    images = partly_labelled(16, 32)
    found = batches(images, recipe(images, steps=4, batch_size=4))
    places = np.concatenate([step.positions[4:] for step in found])
    assert sorted(places.tolist()) == np.flatnonzero(~images.labelled).tolist()


def test_few_unlabelled_examples_are_repeated_within_an_epoch() -> None:
    images = partly_labelled(32, 2)
    found = batches(images, recipe(images, steps=8, batch_size=4))
    places = np.concatenate([step.positions[4:] for step in found])
    assert np.unique(places, return_counts=True)[1].tolist() == [4, 4]


def test_recipes_of_earlier_versions_keep_their_stream() -> None:
    """Without a count of unlabelled examples, all examples are drawn as one set, as they were."""
    images = partly_labelled(12, 12)
    chosen = recipe(images, steps=2, batch_size=8)
    earlier = {**chosen.as_dict(), "steps_per_epoch": 3}
    del earlier["unlabelled"]
    found = batches(images, ResolvedRecipe.from_dict(earlier))
    assert [len(step.positions) for step in found] == [8, 8]
    assert not all(images.labelled[step.positions].all() for step in found)


def test_a_recipe_without_unlabelled_examples_is_written_as_before() -> None:
    assert "unlabelled" not in recipe(examples_of(20), steps=2).as_dict()


def test_a_set_without_labels_has_batches_of_the_batch_size() -> None:
    images = partly_labelled(0, 20)
    chosen = recipe(images, steps=2, batch_size=8)
    assert (chosen.batch_size, chosen.unlabelled, chosen.images_seen) == (8, 0, 16)


@pytest.mark.parametrize("times", [1, 2])
def test_labelled_examples_alone_are_the_set_that_others_were_added_to(times: int) -> None:
    images, both = examples_of(6), examples_of(6)
    for number in range(1, times + 1):
        more = Examples.of(
            np.full((4, *images.shape), number, np.uint8), [0] * 4, images.classes, first_id=10**6 * number
        )
        both = stacked(both, more.unlabelled_like(images))
    assert labelled_alone(both).digest == images.digest
    assert labelled_alone(images) is images
