"""Views: which augmentation an image gets is a function of its id, the epoch and the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from distillab.modalities import modalities
from distillab.modalities.views import ViewParameters, Views

KINDS = ("none", "flip", "crop", "crop_flip")
CROPS = ("crop", "crop_flip")
FLIPS = ("flip", "crop_flip")
GOLDEN = {"top": [1, 0, 2, 3, 2], "left": [8, 1, 7, 1, 7], "flip": [False, True, False, True, True]}


def views(kind: str, pad: int = 2) -> Views:
    return Views(kind, pad if "crop" in kind else 0)  # type: ignore[arg-type]


def images(n: int, channels: int, height: int, width: int) -> Tensor:
    """Images whose pixels differ as far as bytes allow, none of them black like the padding."""
    count = n * channels * height * width
    return (torch.arange(count) % 255 + 1).to(torch.uint8).view(n, channels, height, width)


def one_by_one(drawn: Views, pixels: Tensor, parameters: ViewParameters) -> Tensor:
    """Reference implementation: pad an image with black, cut the window out, mirror it."""
    rendered = []
    for image, top, left, flip in zip(
        pixels.numpy(), parameters.top, parameters.left, parameters.flip, strict=True
    ):
        _, height, width = image.shape
        padded = np.pad(image, ((0, 0), (drawn.pad, drawn.pad), (drawn.pad, drawn.pad)))
        window = padded[:, top : top + height, left : left + width]
        rendered.append(window[:, :, ::-1] if flip else window)
    return torch.from_numpy(np.stack(rendered))


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 6),
    channels=st.sampled_from([1, 3]),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    pad=st.integers(1, 4),
    first=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    seed=st.integers(0, 2**63 - 1),
)
def test_batch_is_rendered_like_single_images(
    kind: str, n: int, channels: int, height: int, width: int, pad: int, first: int, epoch: int, seed: int
) -> None:
    drawn = views(kind, pad)
    parameters = drawn.draw(np.arange(first, first + n), epoch, seed)
    pixels = images(n, channels, height, width)
    rendered = drawn.render(pixels, parameters)
    assert rendered.dtype == torch.uint8
    assert rendered.shape == pixels.shape
    assert torch.equal(rendered, one_by_one(drawn, pixels, parameters))


@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    ids=st.lists(st.integers(0, 2**62), min_size=1, max_size=8, unique=True),
    data=st.data(),
    epoch=st.integers(0, 500),
    seed=st.integers(0, 2**63 - 1),
)
def test_view_does_not_depend_on_the_batch(
    kind: str, ids: list[int], data: st.DataObject, epoch: int, seed: int
) -> None:
    drawn, every = views(kind), np.array(ids, dtype=np.int64)
    some = np.array(data.draw(st.lists(st.integers(0, len(ids) - 1), min_size=1, max_size=12)))
    pixels = images(len(ids), 3, 6, 5)
    whole = drawn.render(pixels, drawn.draw(every, epoch, seed))
    part = drawn.render(pixels[some], drawn.draw(every[some], epoch, seed))
    assert torch.equal(part, whole[some])


def test_drawing_does_not_touch_global_random_states() -> None:
    ids = np.arange(50)
    torch.manual_seed(0)
    np.random.seed(0)
    first = views("crop_flip").draw(ids, 3, 4)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    second = views("crop_flip").draw(ids, 3, 4)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert all(torch.equal(getattr(first, part), getattr(second, part)) for part in ("top", "left", "flip"))


@pytest.mark.parametrize("kind", KINDS)
def test_window_stays_within_the_padded_image(kind: str) -> None:
    drawn = views(kind, 3)
    parameters = drawn.draw(np.arange(20_000), 1, 2)
    for offsets in (parameters.top, parameters.left):
        assert offsets.min() == 0
        assert offsets.max() == 2 * drawn.pad  # both ends occur


@pytest.mark.parametrize("kind", KINDS)
def test_views_are_drawn_uniformly(kind: str) -> None:
    """Chi-square test of (top, left, flip) over the whole grid; a fair draw fails for 1 seed in 10,000."""
    drawn = views(kind, 1)
    parameters = drawn.draw(np.arange(36_000), 5, 6)
    sides = 2 * drawn.pad + 1
    cell = (parameters.top * sides + parameters.left) * 2 + parameters.flip.long()
    if kind not in FLIPS:
        assert not parameters.flip.any()
        cell = cell // 2
    counts = torch.bincount(cell, minlength=sides**2 * (2 if kind in FLIPS else 1))
    assert len(counts) == 1 or stats.chisquare(counts.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("change", ["epoch", "seed", "id"])
def test_another_epoch_seed_or_image_gives_another_view(change: str) -> None:
    ids = np.arange(2000)
    base = views("crop_flip", 4).draw(ids, 0, 0)
    epoch, seed, moved = {"epoch": (1, 0, 0), "seed": (0, 1, 0), "id": (0, 0, 5000)}[change]
    other = views("crop_flip", 4).draw(ids + moved, epoch, seed)
    same = (base.top == other.top) & (base.left == other.left) & (base.flip == other.flip)
    assert same.float().mean() < 0.02  # 1 in 162 agrees by chance


def test_drawn_numbers_never_change() -> None:
    """Stored teacher outputs and finished runs depend on these numbers; changing them needs a new schema."""
    drawn = Views("crop_flip", 4).draw(np.array([0, 1, 2, 3, 10**12]), 3, 12345)
    assert drawn.top.tolist() == GOLDEN["top"]
    assert drawn.left.tolist() == GOLDEN["left"]
    assert drawn.flip.tolist() == GOLDEN["flip"]


def test_kind_none_changes_nothing() -> None:
    drawn = views("none")
    pixels = images(4, 3, 8, 8)
    assert torch.equal(drawn.render(pixels, drawn.draw(np.arange(4), 7, 8)), pixels)


def test_mirroring_twice_changes_nothing() -> None:
    drawn, pixels = views("flip"), images(5, 3, 4, 7)
    zero = torch.zeros(5, dtype=torch.int64)
    mirror = ViewParameters(zero, zero, torch.ones(5, dtype=torch.bool))
    once = drawn.render(pixels, mirror)
    assert torch.equal(once, pixels.flip(3))
    assert torch.equal(drawn.render(once, mirror), pixels)


@pytest.mark.parametrize("kind", CROPS)
def test_centered_window_is_the_image(kind: str) -> None:
    drawn, pixels = views(kind, 3), images(2, 1, 8, 8)
    middle = torch.full((2,), 3)
    assert torch.equal(drawn.render(pixels, ViewParameters(middle, middle, torch.zeros(2).bool())), pixels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    drawn, pixels = views("crop_flip"), images(3, 3, 6, 6)
    parameters = drawn.draw(np.arange(3), 0, 0)
    rendered = drawn.render(pixels.to(dtype), parameters)
    assert rendered.dtype == dtype
    assert torch.equal(rendered, drawn.render(pixels, parameters).to(dtype))


@pytest.mark.parametrize(
    ("kind", "channels", "resolution", "expected"),
    [
        ("auto", 1, 8, Views("crop", 1)),  # digits have no mirror
        ("auto", 3, 32, Views("crop_flip", 4)),
        ("auto", 3, 224, Views("crop_flip", 28)),
        ("crop", 3, 4, Views("crop", 1)),
        ("crop_flip", 1, 28, Views("crop_flip", 3)),
        ("flip", 3, 32, Views("flip", 0)),
        ("none", 3, 32, Views("none", 0)),
    ],
)
def test_usual_views_fit_the_images(kind: str, channels: int, resolution: int, expected: Views) -> None:
    assert modalities["image"].views(kind, (channels, resolution, resolution)) == expected  # type: ignore[arg-type]
