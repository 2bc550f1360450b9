"""Fewer pixels, more pixels, or the same number with less detail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from distillab.data.examples import Examples
from distillab.data.student_transform import StudentTransform
from distillab.data.targets import UNLABELLED
from distillab.errors import RequestError
from distillab.factors import Resolution
from distillab.factors.inputs.resolution import effective_side
from support.datasets import examples_of


def apply(factor: Resolution, images: Examples) -> Examples:
    return factor.apply(images, np.random.default_rng(0))


def noise(side: int, *, n: int = 40, channels: int = 1, width: int | None = None) -> Examples:
    pixels = np.random.default_rng(side).integers(0, 256, (n, channels, side, width or side), dtype=np.uint8)
    return Examples.of(pixels, np.arange(n) % 4, tuple("abcd"))


def test_default_roles_follow_who_sees_fewer_pixels() -> None:
    assert Resolution(level=4).roles == ("transfer", "val", "eval")
    assert Resolution(level=4, sees="both").roles == ("teacher", "transfer", "val", "eval")
    assert Resolution(level=4, sees="both", hold="compute", roles=("eval",)).roles == ("eval",)


@pytest.mark.parametrize("hold", ["architecture", "compute"])
def test_teacher_sees_full_images_when_only_the_student_is_resized(hold: Any) -> None:
    images = examples_of([20] * 3)
    after = apply(Resolution(level=4, hold=hold), images)
    assert after.pool is images.pool and after.rows is images.rows
    assert after.shape == (3, 8, 8)
    assert after.student_shape == ((3, 4, 4) if hold == "architecture" else (3, 8, 8))
    assert after.input_digest == images.input_digest and after.digest != images.digest


@pytest.mark.parametrize("hold", ["architecture", "compute"])
def test_resampled_images_equal_the_student_transform(hold: Any) -> None:
    images = noise(16, channels=3)
    shown = StudentTransform(6, back=hold == "compute")(torch.from_numpy(images.images).float()).numpy()
    after = apply(Resolution(level=6, sees="both", hold=hold), images)
    assert after.images.dtype == np.uint8 and after.student_transform is None
    assert np.abs(after.images - shown).max() <= 0.5 + 1e-3
    assert np.array_equal(after.ids, images.ids) and np.array_equal(after.labels, images.labels)


def test_constant_images_stay_constant_at_every_size() -> None:
    pixels = np.repeat([0, 1, 77, 254, 255], 10).astype(np.uint8)[:, None, None, None]
    images = Examples.of(np.tile(pixels, (1, 1, 12, 12)), np.arange(50) % 2, ("a", "b"))
    for side in (1, 5, 8, 11, 13, 24):
        after = apply(Resolution(level=side, sees="both"), images).images
        assert after.shape == (50, 1, side, side) and (after == pixels).all()


def test_native_size_leaves_images_unchanged() -> None:
    images = noise(8)
    for sees in ("student", "both"):
        for hold in ("compute", "architecture"):
            assert apply(Resolution(level=8, sees=sees, hold=hold), images) is images


@given(side=st.integers(2, 23), channels=st.sampled_from([1, 3]), sees=st.sampled_from(["student", "both"]))
@settings(max_examples=25)
def test_effective_side_counts_the_remaining_detail(side: int, channels: int, sees: Any) -> None:
    images = noise(24, channels=channels)
    factor = Resolution(level=side, sees=sees, hold="compute")
    after = apply(factor, images)
    assert after.student_shape == images.shape
    assert effective_side(images) == 24 and effective_side(after) == side
    assert factor.check(images, after).passed
    assert side == 23 or not factor.check(images, images).passed


def test_coarse_images_cannot_become_finer() -> None:
    coarse = apply(Resolution(level=6, sees="both", hold="compute"), noise(24))
    factor = Resolution(level=12, hold="compute")
    check = factor.check(coarse, apply(factor, coarse))
    assert (check.requested, check.measured) == (6, 6)


def test_upsampling_is_refused_at_fixed_compute() -> None:
    images = noise(8)
    assert apply(Resolution(level=20, sees="both"), images).shape == (1, 20, 20)
    assert apply(Resolution(level=20), images).student_shape == (1, 20, 20)
    with pytest.raises(RequestError, match=r"detail of 9 \(allowed: levels of at most 8"):
        apply(Resolution(level=9, hold="compute"), images)


def test_images_must_be_square() -> None:
    with pytest.raises(RequestError, match="8x12 pixels are not square"):
        apply(Resolution(level=4), noise(8, width=12))


@pytest.mark.parametrize("level", [0, 7.5, -4])
def test_level_is_a_number_of_pixels(level: float) -> None:
    with pytest.raises(ValidationError):
        Resolution(level=level)


def test_unlabelled_images_are_resampled_too() -> None:
    images = noise(8)
    mixed = images.relabel(np.where(np.arange(40) < 10, UNLABELLED, images.labels))
    factor = Resolution(level=4, sees="both")
    assert factor.check(mixed, apply(factor, mixed)).passed
