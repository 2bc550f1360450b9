"""Synthetic images: functions of their number alone, with the intended statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.canonical import array_digest
from distillab.data.examples import Pixels
from distillab.data.generated import MOST, Maker, generated
from distillab.modalities.image.synthetic import Crops, DeadLeaves, Noise

PHOTO = np.random.default_rng(0).integers(0, 256, (3, 40, 60), dtype=np.uint8)
MAKERS: list[Maker] = [Noise(5), DeadLeaves(5), Crops(PHOTO, 5)]
SHAPES = [(3, 16, 16), (1, 9, 9), (3, 12, 20)]


def make(maker: Maker, numbers: list[int], shape: tuple[int, int, int]) -> Pixels:
    if isinstance(maker, Crops):
        maker = Crops(PHOTO[: shape[0]], maker.key)
    return maker(np.array(numbers, dtype=np.int64), shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: type(maker).__name__)
@given(numbers=st.lists(st.integers(0, MOST - 1), min_size=1, max_size=6))
@settings(max_examples=10)
def test_image_depends_on_its_number_alone(
    maker: Maker, shape: tuple[int, int, int], numbers: list[int]
) -> None:
    together = make(maker, numbers, shape)
    assert together.shape == (len(numbers), *shape) and together.dtype == np.uint8
    for number, image in zip(numbers, together, strict=True):
        np.testing.assert_array_equal(make(maker, [number], shape)[0], image)
    assert len({image.tobytes() for image in together}) == len(set(numbers))


@pytest.mark.parametrize(
    ("maker", "digest"),
    [(Noise(5), "a2439263632fbce5e53232ef"), (DeadLeaves(5), "4050e45e14903b526bb4edc0")],
    ids=lambda value: type(value).__name__,
)
def test_images_are_the_same_on_every_machine(maker: Maker, digest: str) -> None:
    assert array_digest(make(maker, [0, 1, 2, MOST - 1], (3, 16, 16))) == digest


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: type(maker).__name__)
def test_another_key_gives_other_images(maker: Maker) -> None:
    other: Maker = Crops(PHOTO, 6) if isinstance(maker, Crops) else type(maker)(6)  # type: ignore[call-arg]
    assert maker.facts != other.facts
    assert (make(maker, [3], (3, 16, 16)) != make(other, [3], (3, 16, 16))).mean() > 0.5


def test_noise_is_uniform_and_its_pixels_are_independent() -> None:
    pixels = make(Noise(1), list(range(64)), (3, 16, 16))
    expected = pixels.size / 256
    chi2 = ((np.bincount(pixels.ravel(), minlength=256) - expected) ** 2 / expected).sum()
    assert 255 - 5 * np.sqrt(510) < chi2 < 255 + 5 * np.sqrt(510)
    neighbours = np.corrcoef(pixels[..., 1:].ravel(), pixels[..., :-1].ravel())[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(pixels.size)


def test_dead_leaves_have_edges_at_many_scales() -> None:
    """As in natural images, neighboring pixels are correlated, distant ones are not, and power falls with
    frequency."""
    gray = make(DeadLeaves(1), list(range(64)), (1, 32, 32))[:, 0].astype(float)

    def likeness(apart: int) -> float:
        return float(np.corrcoef(gray[..., apart:].ravel(), gray[..., :-apart].ravel())[0, 1])

    assert likeness(1) > 0.55 > likeness(4) > likeness(16)
    power = (np.abs(np.fft.rfft(gray, axis=2)) ** 2).mean(axis=(0, 1))
    assert power[1] > 4 * power[4] > 10 * power[15]


@given(number=st.integers(0, MOST - 1))
@settings(max_examples=20)
def test_crops_of_a_uniform_photo_are_uniform(number: int) -> None:
    """A crop changes brightness only and adds no structure."""
    plain = Crops(np.full((3, 30, 50), 90, np.uint8), 3)
    image = plain(np.array([number]), (3, 16, 16))[0]
    assert all(np.ptp(channel) == 0 for channel in image)


def test_crops_cover_the_photo_at_many_scales() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 200).astype(np.uint8), (1, 200, 200))
    crops = Crops(np.ascontiguousarray(ramp), 4)(np.arange(400), (1, 16, 16))[:, 0].astype(int)
    across, down = np.ptp(crops, axis=2).max(axis=1), np.ptp(crops, axis=1).max(axis=1)
    turned = down > across
    assert 0.4 < turned.mean() < 0.6  # a quarter turn makes the ramp horizontal
    rising = np.where(turned, crops[:, -1, 8] - crops[:, 0, 8], crops[:, 8, -1] - crops[:, 8, 0]) > 0
    assert 0.4 < rising.mean() < 0.6
    extent = np.maximum(across, down)
    assert extent.min() < 40 and extent.max() > 150


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: type(maker).__name__)
def test_generated_sets_share_a_lazy_pool_and_have_unique_ids(
    maker: Maker,
) -> None:
    few, many = (generated(maker, n, (3, 16, 16), ("a", "b"), 9) for n in (3, MOST))
    assert few.pool.digest == many.pool.digest and not few.labelled.any()
    assert set(few.ids.tolist()) < set(many.ids.tolist()) and len(set(many.ids.tolist())) == MOST
    assert few.ids.min() >= 2**62
    np.testing.assert_array_equal(few.images, many.pixels(np.arange(3)))
    np.testing.assert_array_equal(few.images, make(maker, [0, 1, 2], (3, 16, 16)))
    assert not set(few.ids.tolist()) & set(generated(maker, 9, (3, 16, 16), ("a", "b"), 10).ids.tolist())
    with pytest.raises(ValueError, match="more than"):
        generated(maker, MOST + 1, (3, 16, 16), ("a", "b"), 9)
