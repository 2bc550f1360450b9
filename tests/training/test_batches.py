"""The stream of training batches, which all networks of a cohort share."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.examples import Examples
from distillab.training.batches import TrainingBatch, epoch_order, training_batches
from distillab.training.recipe import ResolvedRecipe
from support.training import CPU, examples_of, normalization, recipe


def batches(
    images: Examples, chosen: ResolvedRecipe, *, order: int = 1, views: int = 2
) -> list[TrainingBatch]:
    channels = images.shape[0]
    return list(
        training_batches(
            images, chosen, normalization(channels), order_seed=order, view_seed=views, device=CPU
        )
    )


@settings(max_examples=25)
@given(n=st.integers(4, 60), batch=st.integers(2, 20), count=st.integers(1, 30))
def test_an_epoch_contains_no_image_twice(n: int, batch: int, count: int) -> None:
    images = examples_of(n)
    chosen = recipe(images, steps=count, batch_size=batch)
    found = batches(images, chosen)
    assert [step.index for step in found] == list(range(count))
    for epoch in range(chosen.epochs):
        here = [step for step in found if step.epoch == epoch]
        positions = np.concatenate([step.positions for step in here])
        assert len(set(positions.tolist())) == len(positions)
        assert all(len(step.positions) == chosen.batch_size for step in here)
        assert [step.last_of_epoch for step in here] == [False] * (len(here) - 1) + [True]
        if epoch + 1 < chosen.epochs:
            assert len(here) == chosen.steps_per_epoch
            assert n - len(positions) < chosen.batch_size  # only the remainder is left out


def test_a_batch_contains_the_images_and_ids_of_its_positions() -> None:
    images = examples_of(20, 3, first_id=300)
    for step in batches(images, recipe(images, steps=5, views="none")):
        assert (step.ids.numpy() == images.ids[step.positions]).all()
        pixels = images.pixels(step.positions).astype(np.float64) / 255
        np.testing.assert_allclose(step.inputs.numpy(), (pixels - 0.45) / 0.25, atol=1e-5)
        assert step.inputs.dtype == torch.float32
        assert step.inputs.is_contiguous(memory_format=torch.channels_last)


def test_the_order_depends_on_epoch_and_seed() -> None:
    ids = np.arange(100)
    orders = [epoch_order(ids, epoch, seed).tolist() for epoch in range(3) for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 9
    assert all(sorted(order) == ids.tolist() for order in orders)


def test_the_order_is_that_of_earlier_versions() -> None:
    assert epoch_order(np.arange(8), 2, 99).tolist() == [2, 5, 6, 0, 3, 7, 1, 4]


def test_images_keep_their_order_in_every_subset() -> None:
    """Conditions of different size are trained in orders that agree."""
    ids = np.arange(60)
    some = np.sort(np.random.default_rng(0).choice(60, 20, replace=False))
    whole = [i for i in epoch_order(ids, 4, 5).tolist() if i in set(some.tolist())]
    assert some[epoch_order(some, 4, 5)].tolist() == whole
