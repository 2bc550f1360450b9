"""Strong views: drawn apart from the usual ones, the same wherever they are drawn, and cached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.modalities import modalities
from distillab.modalities.views import Views
from distillab.models import Outputs, OutputShapes
from distillab.training.batches import TrainingBatch, training_batches
from distillab.training.recipe import ResolvedRecipe
from distillab.training.strong_views import strong_recipe, strong_view_seed
from distillab.training.teachers.cache import CacheFormat, CacheMissError, TeacherCache
from distillab.training.teachers.feed import CachedTeacher
from support.training import CPU, examples_of, normalization, recipe

LABELS: dict[Any, str] = {
    "none": "rand_augment",
    "crop": "crop(pad=1), rand_augment",
    "flip": "flip, rand_augment",
    "crop_flip": "crop(pad=1), flip, rand_augment",
    ("flip", "colour_jitter"): "flip, color_jitter, rand_augment",
    ("random_resized_crop", "rand_augment"): "random_resized_crop, rand_augment",
}


def batches(images: Examples, chosen: ResolvedRecipe, *, views: int = 2) -> list[TrainingBatch]:
    norm = normalization(images.shape[0])
    return list(
        training_batches(images, chosen, norm, order_seed=1, view_seed=views, device=CPU, strong=True)
    )


def strong(batch: TrainingBatch) -> TrainingBatch:
    assert batch.strong is not None and batch.strong.is_strong
    return batch.strong


@pytest.mark.parametrize("written", LABELS, ids=str)
def test_strong_views_are_the_views_of_the_recipe_and_then_rand_augment(written: Any) -> None:
    images = examples_of(16, 3)
    chosen = recipe(images, views=written if isinstance(written, str) else list(written))
    assert strong_recipe(images, chosen).view_spec.label == LABELS[written]


def test_strong_views_of_sounds_have_more_masks() -> None:
    audio = modalities["audio"]
    views = audio.views("auto", (1, 40, 101)).strengthened(audio.strong_operation())
    assert views.label == "time_shift, spec_augment(band_masks=4, frame_masks=4)"


@pytest.mark.parametrize("written", ["mixup", "cutmix"])
def test_views_that_mix_have_no_strong_version(written: str) -> None:
    with pytest.raises(RequestError, match="no strong version"):
        Views.resolve([written], (3, 16, 16)).strengthened(modalities["image"].strong_operation())


def test_a_batch_has_the_same_examples_under_two_views() -> None:
    images = examples_of(24, 3)
    chosen = recipe(images, steps=4, batch_size=8)
    plain = list(training_batches(images, chosen, normalization(3), order_seed=1, view_seed=2, device=CPU))
    for batch, without in zip(batches(images, chosen), plain, strict=True):
        assert without.strong is None
        assert torch.equal(batch.inputs, without.inputs), "the first view is that of the plain student"
        assert torch.equal(strong(batch).ids, batch.ids)
        assert not torch.equal(strong(batch).inputs, batch.inputs)
        assert strong(batch).inputs.shape == batch.inputs.shape


def test_strong_views_depend_on_the_seed_of_the_views_alone() -> None:
    images = examples_of(24, 3)
    chosen = recipe(images, steps=2, batch_size=8)
    first, again, other = (batches(images, chosen, views=seed) for seed in (2, 2, 3))
    for one, same, different in zip(first, again, other, strict=True):
        assert torch.equal(strong(one).inputs, strong(same).inputs)
        assert not torch.equal(strong(one).inputs, strong(different).inputs)


def test_strong_views_of_an_epoch_are_those_that_the_cache_is_filled_with(tmp_path: Path) -> None:
    """A teacher that gives the mean of an image: what students read is that of their strong views."""
    images = examples_of(24, 3)
    chosen = recipe(images, steps=6, batch_size=8)
    norm, stored = normalization(3), CacheFormat.of({"logits"}, OutputShapes(2))

    def compute(items: torch.Tensor) -> Outputs:
        return Outputs(norm(items).mean(dim=(1, 2, 3))[:, None] * torch.tensor([1.0, 2.0]))

    caches = []
    for made, seed in ((chosen, 2), (strong_recipe(images, chosen), strong_view_seed(2))):
        views = made.view_spec
        cache = TeacherCache(tmp_path / str(seed), {"seed": seed}, stored, rows=len(images))
        filled = cache.fill(images, views, seed, made.epochs, compute, batch=8, device=CPU)
        assert filled.queries == filled.forwards
        caches.append(cache.read(images, views, seed))
    teacher = CachedTeacher(caches[0], CPU, caches[1])
    for batch in batches(images, chosen):
        for view in (batch, strong(batch)):
            torch.testing.assert_close(
                teacher(view).logits[:, 0], view.inputs.mean(dim=(1, 2, 3)), atol=2e-3, rtol=2e-3
            )
    with pytest.raises(CacheMissError, match="strong views"):
        CachedTeacher(caches[0], CPU)(strong(batches(images, chosen)[0]))
