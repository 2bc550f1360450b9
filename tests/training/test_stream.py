"""The stream of batches: what every twin sees, and what a teacher said about it."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CPU, MODEL, image_set, normalisation, recipe
from torch import nn

from distillab.data.imageset import ImageSet
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stream import Step, epoch_order, stream
from distillab.training.teacher import LiveTeacher, StoredTeacher, stream_bytes, write_stream
from distillab.training.trainer import new_model


def steps(images: ImageSet, chosen: ResolvedRecipe, *, order: int = 1, views: int = 2) -> list[Step]:
    channels = images.shape[0]
    return list(
        stream(images, chosen, normalisation(channels), order_seed=order, view_seed=views, device=CPU)
    )


@settings(max_examples=25)
@given(n=st.integers(4, 60), batch=st.integers(2, 20), count=st.integers(1, 30))
def test_a_stream_is_as_long_as_asked_and_each_epoch_shows_an_image_once(
    n: int, batch: int, count: int
) -> None:
    images = image_set(n)
    chosen = recipe(images, steps=count, batch_size=batch)
    given_out = steps(images, chosen)
    assert [step.index for step in given_out] == list(range(count))
    for epoch in range(chosen.epochs):
        here = [step for step in given_out if step.epoch == epoch]
        positions = np.concatenate([step.positions for step in here])
        assert len(set(positions.tolist())) == len(positions)
        assert all(len(step.positions) == chosen.batch_size for step in here)
        assert [step.last_of_epoch for step in here] == [False] * (len(here) - 1) + [True]
        if epoch + 1 < chosen.epochs:
            assert len(here) == chosen.steps_per_epoch
            assert n - len(positions) < chosen.batch_size  # only the remainder is left out


def test_a_step_holds_the_images_labels_and_ids_of_its_positions() -> None:
    images = image_set(20, 3, first_id=300)
    for step in steps(images, recipe(images, steps=5, views="none")):
        assert (step.labels.numpy() == images.labels[step.positions]).all()
        assert (step.ids.numpy() == images.ids[step.positions]).all()
        pixels = images.pixels(step.positions).astype(np.float64) / 255
        np.testing.assert_allclose(step.inputs.numpy(), (pixels - 0.45) / 0.25, atol=1e-5)
        assert step.inputs.dtype == torch.float32
        assert step.inputs.is_contiguous(memory_format=torch.channels_last)


def test_the_order_changes_from_epoch_to_epoch_and_with_the_seed() -> None:
    ids = np.arange(100)
    orders = [epoch_order(ids, epoch, seed).tolist() for epoch in range(3) for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 9
    assert all(sorted(order) == ids.tolist() for order in orders)


def test_the_order_is_that_of_every_earlier_version() -> None:
    assert epoch_order(np.arange(8), 2, 99).tolist() == [2, 5, 6, 0, 3, 7, 1, 4]


def test_two_images_keep_their_order_in_every_subset() -> None:
    """So conditions of different size are trained in orders that agree."""
    ids = np.arange(60)
    some = np.sort(np.random.default_rng(0).choice(60, 20, replace=False))
    whole = [i for i in epoch_order(ids, 4, 5).tolist() if i in set(some.tolist())]
    assert some[epoch_order(some, 4, 5)].tolist() == whole


# -- a teacher's stored words --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def spoken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ImageSet, ResolvedRecipe, nn.Module, Path, int]:
    """Images, recipe, teacher, its stored stream, and the number of images that it was asked about."""
    images = image_set(45, request.param)
    chosen = recipe(images, steps=9, batch_size=10)
    teacher = new_model(MODEL, images, 7, CPU).train()
    with torch.no_grad():
        teacher(torch.randn(16, request.param, 8, 8))
    path = tmp_path_factory.mktemp("stream") / "stream.npy"
    asked = write_stream(path, teacher, images, chosen, normalisation(request.param), view_seed=2, device=CPU)
    return images, chosen, teacher, path, asked


Spoken = tuple[ImageSet, ResolvedRecipe, nn.Module, Path, int]


def test_a_stored_stream_is_what_the_teacher_would_say_at_every_step(spoken: Spoken) -> None:
    images, chosen, teacher, path, _ = spoken
    stored = StoredTeacher(np.load(path, mmap_mode="r"), CPU)
    asked = LiveTeacher(teacher, frozenset(), CPU, "fp32")
    given_out = steps(images, chosen, order=77)
    assert len(given_out) == 9
    for step in given_out:
        heard, said = stored(step).logits, asked(step).logits
        assert heard.dtype == torch.float32
        # float16 rounds to 11 bits; a batch of another size moves float32 sums by much less.
        torch.testing.assert_close(heard, said, rtol=2**-10, atol=1e-3 * float(said.abs().max()))
        other = stored.logits[(step.epoch + 1) % chosen.epochs][step.positions]
        assert not np.array_equal(other, heard.numpy())  # another epoch is another view


def test_a_stored_stream_is_a_plain_array_of_the_planned_size(spoken: Spoken) -> None:
    images, chosen, _, path, asked = spoken
    stored = np.load(path)
    assert stored.shape == (chosen.epochs, len(images), 3)
    assert stored.dtype == np.float16
    assert stored.nbytes == stream_bytes(len(images), chosen, 3)
    assert asked == chosen.epochs * len(images)
    rewritten = path.with_name("again.npy")
    np.save(rewritten, stored)
    assert rewritten.read_bytes() == path.read_bytes()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no full disk to write to")
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(spoken: Spoken, tmp_path: Path) -> None:
    images, chosen, teacher, _, _ = spoken
    full = tmp_path / "stream.npy"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        write_stream(full, teacher, images, chosen, normalisation(images.shape[0]), view_seed=2, device=CPU)
    assert caught.value.errno == errno.ENOSPC
