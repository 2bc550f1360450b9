"""Shifts and mirrors have numbers, by which cached teacher outputs are found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.modalities import modalities
from distillab.modalities.views import ViewParameters, Views
from distillab.modalities.views.shifts import windows_by_index

KINDS = ("none", "flip", "crop", "crop_flip")


def views(kind: str, pad: int = 2) -> Views:
    return Views(kind, pad if "crop" in kind else 0)  # type: ignore[arg-type]


def same(first: ViewParameters, second: ViewParameters) -> bool:
    return all(torch.equal(getattr(first, part), getattr(second, part)) for part in ("top", "left", "flip"))


@pytest.mark.parametrize(
    ("kind", "pad", "count"),
    [("none", 0, 1), ("flip", 0, 2), ("crop", 4, 81), ("crop_flip", 4, 162), ("crop_flip", 1, 18)],
)
def test_number_of_views_is_known(kind: str, pad: int, count: int) -> None:
    assert views(kind, pad).count == count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pad", [1, 3])
def test_every_number_is_a_view_and_every_view_a_number(kind: str, pad: int) -> None:
    counted = views(kind, pad)
    assert counted.count is not None
    numbers = np.arange(counted.count)
    every = counted.at(numbers)
    assert counted.index(every).tolist() == numbers.tolist()
    assert counted.index(every).dtype == np.int64
    triples = set(zip(every.top.tolist(), every.left.tolist(), every.flip.tolist(), strict=True))
    assert len(triples) == counted.count


@settings(max_examples=50)
@given(
    kind=st.sampled_from(KINDS),
    pad=st.integers(1, 28),
    first=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    seed=st.integers(0, 2**63 - 1),
)
def test_number_of_a_drawn_view_gives_it_back(kind: str, pad: int, first: int, epoch: int, seed: int) -> None:
    counted = views(kind, pad)
    drawn = counted.draw(np.arange(first, first + 20), epoch, seed)
    assert same(counted.at(counted.index(drawn)), drawn)


def test_different_numbers_render_different_images() -> None:
    counted = views("crop_flip", 2)
    assert counted.count is not None
    image = torch.randint(1, 256, (1, 3, 7, 6), generator=torch.Generator().manual_seed(0)).byte()
    rendered = counted.render(image.expand(counted.count, -1, -1, -1), counted.at(np.arange(counted.count)))
    assert len({each.contiguous().numpy().tobytes() for each in rendered}) == counted.count


@pytest.mark.parametrize("number", [-1, 162])
def test_number_beyond_the_last_view_is_refused(number: int) -> None:
    with pytest.raises(IndexError, match="0 to 161"):
        views("crop_flip", 4).at(np.array([0, number]))


def test_empty_batch_has_no_numbers() -> None:
    counted, nothing = views("crop_flip", 4), np.zeros(0, np.int64)
    assert counted.index(counted.at(nothing)).tolist() == []
    assert counted.render(torch.zeros(0, 3, 8, 8).byte(), counted.at(nothing)).shape == (0, 3, 8, 8)


def test_chain_has_no_numbers() -> None:
    chain = modalities["image"].views(["crop", "colour_jitter"], (3, 32, 32))
    assert chain.count is None
    with pytest.raises(ValueError, match="no numbers"):
        chain.at(np.array([0]))


@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS[1:]),
    n=st.integers(1, 9),
    channels=st.integers(1, 4),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    pad=st.integers(1, 4),
)
def test_both_implementations_of_windows_agree(
    kind: str, n: int, channels: int, height: int, width: int, pad: int
) -> None:
    """Copied rows on the CPU and one gather elsewhere give the same pixels in the same memory layout."""
    counted = views(kind, pad)
    pixels = torch.randint(0, 256, (n, channels, height, width), generator=torch.Generator().manual_seed(n))
    drawn = counted.draw(np.arange(n), 0, pad)
    copied = counted.render(pixels.byte(), drawn)
    assert torch.equal(copied, windows_by_index(pixels.byte(), drawn, counted.pad))
    assert copied.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", KINDS)
def test_rendering_does_not_change_its_input(kind: str) -> None:
    pixels = torch.arange(4 * 3 * 6 * 6).byte().view(4, 3, 6, 6)
    before = pixels.clone()
    counted = views(kind)
    counted.render(pixels, counted.draw(np.arange(4), 1, 1))
    assert torch.equal(pixels, before)
