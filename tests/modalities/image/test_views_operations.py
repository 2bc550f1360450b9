"""View operations of images agree with torchvision and have their closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as T

from distillab.data.examples import Examples
from distillab.modalities import modalities
from distillab.modalities.image.views import (
    ColorJitter,
    RandAugment,
    RandomResizedCrop,
    color,
    geometry,
    tones,
)
from distillab.modalities.image.views.rand_augment import AUGMENTATIONS
from distillab.modalities.image.views.resized_crop import CropWindows, resized
from distillab.modalities.views import Views, operations
from distillab.modalities.views.operation import to_bytes

CPU = torch.device("cpu")


def photographs(n: int = 24, channels: int = 3, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    """Smooth shapes with noise and saturated areas, as in photographs."""
    noise = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, channels, 4, 4, generator=noise)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    grain = torch.randn(n, channels, height, width, generator=noise)
    return (128 + 90 * smooth + 6 * grain).clamp(0, 255).byte()


def examples_of(n: int = 24, channels: int = 3, height: int = 32, width: int = 32) -> Examples:
    pixels = photographs(n, channels, height, width).numpy()
    return Examples.of(pixels, np.arange(n) % 2, ("a", "b"), first_id=1000)


def resolve(written: object, channels: int = 3) -> Views:
    return modalities["image"].views(written, (channels, 32, 32))  # type: ignore[arg-type]


def assert_close(first: Tensor, second: Tensor, levels: int) -> None:
    assert first.dtype == second.dtype == torch.uint8
    assert int((first.int() - second.int()).abs().max()) <= levels


def test_operations_draw_independently() -> None:
    """The result of an operation does not depend on the other operations of its chain."""
    ids, pixels = np.arange(24), photographs()
    crop, jitter = RandomResizedCrop(), ColorJitter()
    images = Examples.of(pixels.numpy(), np.zeros(24, np.int64), ("a",))
    chained = resolve(["random_resized_crop", "colour_jitter"]).batch(images, ids, 2, 3, CPU).items
    assert torch.equal(chained, jitter.render(crop.render(pixels, ids, 2, 3), ids, 2, 3))
    shares = [each.uniform("x", np.arange(4000), 0, 0) for each in (crop, jitter)]
    assert abs(np.corrcoef(shares)[0, 1]) < 0.06  # 4 standard errors


@pytest.mark.parametrize("order", [["crop", "flip"], ["flip", "crop"]])
def test_crop_and_flip_in_a_list_equal_crop_flip(order: list[str]) -> None:
    images, positions = examples_of(), np.arange(24)
    alone = resolve("crop_flip").batch(images, positions, 7, 8, CPU).items
    views = resolve(order)
    assert (views.kind, views.pad, views.count) == ("crop_flip", 4, 162)
    chain = Views("chain", 0, tuple(operations[name]().fitted((3, 32, 32)) for name in ("crop", "flip")))
    assert torch.equal(chain.batch(images, positions, 7, 8, CPU).items, alone)


# -- random resized crops ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "box", [(3, 4, 20, 15), (0, 0, 32, 32), (10, 0, 9, 9), (0, 20, 32, 12), (5, 5, 1, 1)]
)
def test_resized_box_is_that_of_torchvision(box: tuple[int, int, int, int]) -> None:
    pixels = photographs()
    boxes = CropWindows(*(np.full(len(pixels), value) for value in box))
    assert_close(resized(pixels, boxes), T.resized_crop(pixels, *box, size=[32, 32]), 1)


@settings(max_examples=60)
@given(
    scale=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted),
    ratio=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_boxes_lie_in_the_image(scale: list[float], ratio: list[float], height: int, width: int) -> None:
    crop = RandomResizedCrop(scale=tuple(scale), ratio=tuple(ratio))
    boxes = crop.boxes(np.arange(200), 1, 2, height, width)
    assert (boxes.height >= 1).all()
    assert (boxes.width >= 1).all()
    assert (boxes.top >= 0).all()
    assert (boxes.left >= 0).all()
    assert (boxes.top + boxes.height <= height).all()
    assert (boxes.left + boxes.width <= width).all()


def test_boxes_have_the_requested_areas_and_proportions() -> None:
    boxes = RandomResizedCrop(scale=(0.2, 0.5), ratio=(0.5, 2.0)).boxes(np.arange(4000), 0, 0, 200, 200)
    area, ratio = boxes.height * boxes.width / 200**2, boxes.width / boxes.height
    # A side rounded to a pixel of about 100 moves an area or a ratio by at most 2 %.
    assert stats.kstest((area - 0.2) / 0.3, "uniform").pvalue > 1e-4
    assert stats.kstest((np.log2(ratio) + 1) / 2, "uniform").pvalue > 1e-4
    assert area.min() > 0.19
    assert area.max() < 0.51
    assert stats.kstest((boxes.top + 0.5) / (200 - boxes.height + 1), "uniform").pvalue > 1e-4


def test_largest_centered_box_replaces_boxes_that_do_not_fit() -> None:
    boxes = RandomResizedCrop(scale=(1.0, 1.0), ratio=(4.0, 4.0)).boxes(np.arange(3), 0, 0, 32, 32)
    assert boxes.height.tolist() == [8] * 3
    assert boxes.width.tolist() == [32] * 3
    assert boxes.top.tolist() == [12] * 3
    assert boxes.left.tolist() == [0] * 3


# -- colors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.1, 0.6, 1.0, 1.4, 1.9])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
def test_color_changes_are_those_of_torchvision(name: str, channels: int, factor: float) -> None:
    pixels = photographs(channels=channels)
    change: Callable[[Tensor, Tensor], Tensor] = getattr(color, name)
    reference = getattr(T, f"adjust_{name}")(pixels, factor)
    assert_close(to_bytes(change(pixels.float(), torch.full((24, 1, 1, 1), factor))), reference, 2)


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.03, 0.3])
@pytest.mark.parametrize("channels", [1, 3])
def test_hue_rotation_is_that_of_torchvision(channels: int, turn: float) -> None:
    pixels = photographs(channels=channels)
    turned = to_bytes(color.hue(pixels.float(), torch.full((24, 1, 1, 1), turn)))
    assert_close(turned, T.adjust_hue(pixels, turn), 1)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), turn=st.floats(-0.5, 0.5))
def test_hue_rotation_can_be_inverted(seed: int, turn: float) -> None:
    levels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 255
    there = color.hue(levels, torch.full((2, 1, 1, 1), turn))
    torch.testing.assert_close(color.hue(there, torch.full((2, 1, 1, 1), -turn)), levels, rtol=0, atol=1e-2)
    for extreme in (torch.amax, torch.amin):
        torch.testing.assert_close(extreme(there, dim=1), extreme(levels, dim=1), rtol=0, atol=1e-3)


def test_color_jitter_applies_its_four_changes_in_order() -> None:
    pixels, ids = photographs(), np.arange(24)
    jitter = ColorJitter(brightness=0.3, contrast=0.5, saturation=0.8, hue=0.2)
    rendered = jitter.render(pixels, ids, 1, 2)
    for number, image in enumerate(
        pixels.float() / 255
    ):  # on floats, because torchvision truncates bytes at every step
        one = np.array([number])
        for name, strength in (("brightness", 0.3), ("contrast", 0.5), ("saturation", 0.8)):
            share = float(jitter.uniform(name, one, 1, 2)[0])
            image = getattr(T, f"adjust_{name}")(image, 1 - strength + 2 * strength * share)
        image = T.adjust_hue(image, 0.2 * (2 * float(jitter.uniform("hue", one, 1, 2)[0]) - 1))
        assert_close(rendered[number], to_bytes(image * 255), 1)


def test_color_jitter_of_strength_zero_changes_nothing() -> None:
    pixels = photographs()
    still = ColorJitter(brightness=0, contrast=0, saturation=0, hue=0)
    assert torch.equal(still.render(pixels, np.arange(24), 0, 0), pixels)


# -- RandAugment ---------------------------------------------------------------------------------------------

TORCHVISION = {
    "identity": "Identity",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "saturation": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
}


def test_the_fourteen_operations_are_those_of_torchvision() -> None:
    assert len(AUGMENTATIONS) == 14
    assert list(AUGMENTATIONS) == list(TORCHVISION)
    assert set(TORCHVISION.values()) == set(v2.RandAugment._AUGMENTATION_SPACE)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("magnitude", [0, 10, 19, 30])
@pytest.mark.parametrize("name", list(TORCHVISION))
def test_augmentations_are_those_of_torchvision(name: str, magnitude: int, sign: float) -> None:
    pixels = photographs()
    reference = v2.RandAugment()
    ranges, signed = reference._AUGMENTATION_SPACE[TORCHVISION[name]]
    bins = ranges(31, 32, 32)
    strength = 0.0 if bins is None else float(bins[magnitude]) * (sign if signed else 1.0)
    expected = reference._apply_image_or_video_transform(
        pixels, TORCHVISION[name], strength, interpolation=reference.interpolation, fill=reference._fill
    )
    made = AUGMENTATIONS[name](pixels, magnitude / 30, np.full(24, sign))
    if name in ("shear_x", "shear_y", "rotate"):
        # A position half way between two pixels may be rounded to either.
        assert float((made != expected).float().mean()) < 0.005
    else:
        assert_close(made, expected, 2)


@pytest.mark.parametrize("degrees", [-30.0, 7.0, 90.0])
def test_rotation_of_wide_images_is_that_of_torchvision(degrees: float) -> None:
    pixels = photographs(height=20, width=32)
    turned = geometry.affine(pixels, geometry.rotation(np.full(24, degrees)))
    assert float((turned != T.rotate(pixels, degrees)).float().mean()) < 0.005


def test_shear_of_wide_images_is_that_of_torchvision() -> None:
    pixels, degrees = photographs(height=20, width=32), math.degrees(math.atan(0.17))
    for made, shear in (
        (geometry.shear_x(np.full(24, 0.17), 20), [degrees, 0.0]),
        (geometry.shear_y(np.full(24, 0.17), 32), [0.0, degrees]),
    ):
        reference = T.affine(pixels, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0])
        assert float((geometry.affine(pixels, made) != reference).float().mean()) < 0.005


@pytest.mark.parametrize("make", [tones.autocontrast, tones.equalize])
@pytest.mark.parametrize("levels", [[7], [0], [255], [3, 200], list(range(256))])
def test_images_of_few_levels_agree_with_torchvision(
    make: Callable[[Tensor], Tensor], levels: list[int]
) -> None:
    """A flat channel stays as it is, and nothing is divided by zero."""
    chosen = torch.randint(0, len(levels), (2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    pixels = torch.tensor(levels)[chosen].byte()
    assert_close(make(pixels), getattr(T, make.__name__)(pixels), 1)


def test_augmentations_are_drawn_uniformly() -> None:
    """One augmentation is applied per image, and identified by its result."""
    pixel = photographs(1, seed=3)
    outcomes = {
        (name, sign): AUGMENTATIONS[name](pixel, 1.0, np.array([sign])).numpy().tobytes()
        for name in AUGMENTATIONS
        for sign in (-1.0, 1.0)
    }
    by_outcome = {outcome: name for (name, _), outcome in outcomes.items()}
    assert len(set(by_outcome.values())) == 14
    once = RandAugment(n=1, magnitude=30)
    augmented = once.render(pixel.expand(2800, -1, -1, -1), np.arange(2800), 0, 0)
    counts = dict.fromkeys(AUGMENTATIONS, 0)
    for image in augmented:
        counts[by_outcome[image.contiguous().numpy().tobytes()]] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_augmentations_are_applied_in_sequence() -> None:
    """Every result is that of one of the 784 pairs, and most need two operations."""
    image = photographs(1, height=12, width=12, seed=3)
    kinds = [(augment, np.array([sign])) for augment in AUGMENTATIONS.values() for sign in (-1.0, 1.0)]
    once = [augment(image, 1 / 3, sign) for augment, sign in kinds]
    twice = [augment(first, 1 / 3, sign) for first in once for augment, sign in kinds]
    first, second = ({each.numpy().tobytes() for each in outcomes} for outcomes in (once, twice))
    rendered = RandAugment(n=2, magnitude=10).render(image.expand(200, -1, -1, -1), np.arange(200), 0, 0)
    seen = [each.contiguous().numpy().tobytes() for each in rendered]
    assert set(seen) <= second
    assert np.mean([each in first for each in seen]) < 0.5
