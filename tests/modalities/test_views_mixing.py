"""Mixup and CutMix: partners depend on the image alone, and labels are weighted like pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distillab.data.examples import Examples
from distillab.modalities import modalities
from distillab.modalities.views import CutMix, MixUp, Views

CPU = torch.device("cpu")
KINDS = {"mixup": MixUp, "cutmix": CutMix}
N = 60


def examples_of(n: int = N, *, side: int = 16, first_id: int = 0) -> Examples:
    """Constant images whose gray level is their number, so that the mixture can be read from the pixels."""
    pixels = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None] * 4, (n, 3, side, side)).copy()
    return Examples.of(pixels, np.arange(n) % 5, tuple("abcde"), first_id=first_id)


def resolve(written: object) -> Views:
    return modalities["image"].views(written, (3, 16, 16))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_and_labels_are_mixed_by_one_share(kind: str) -> None:
    images, positions = examples_of(), np.arange(N)
    batch = resolve([{kind: {"alpha": 1.0}}]).batch(images, positions, 3, 4, CPU)
    assert batch.mixture is not None
    partners, share = batch.mixture.partners, batch.mixture.share
    assert partners.dtype == np.int64
    assert share.dtype == torch.float32
    assert share.shape == (N,)
    assert batch.items.dtype == torch.uint8
    levels = torch.from_numpy(4.0 * positions), torch.from_numpy(4.0 * partners)
    mean = share * levels[0] + (1 - share) * levels[1]
    tolerance = 0.5 if kind == "mixup" else 1e-4  # a mixed gray level is rounded, a pasted one is not
    assert float((batch.items.double().mean(dim=(1, 2, 3)) - mean).abs().max()) <= tolerance + 1e-4
    assert (partners != positions).mean() > 0.9
    assert 0 <= share.min() < 0.5
    assert 0.8 < share.max() <= 1


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    epoch=st.integers(0, 100),
    seed=st.integers(0, 2**63 - 1),
    data=st.data(),
)
def test_partner_depends_on_the_image_and_not_on_the_batch(
    kind: str, epoch: int, seed: int, data: st.DataObject
) -> None:
    images, views = examples_of(), resolve(["flip", kind])
    whole = views.batch(images, np.arange(N), epoch, seed, CPU)
    some = np.array(data.draw(st.lists(st.integers(0, N - 1), min_size=1, max_size=9)))
    part = views.batch(images, some, epoch, seed, CPU)
    assert whole.mixture is not None
    assert part.mixture is not None
    assert (part.mixture.partners == whole.mixture.partners[some]).all()
    assert torch.equal(part.mixture.share, whole.mixture.share[some])
    assert torch.equal(part.items, whole.items[some])


@pytest.mark.parametrize("kind", KINDS)
def test_partners_are_drawn_uniformly(kind: str) -> None:
    partners = KINDS[kind]().partners(np.arange(30_000), 2, 3, 30)
    assert stats.chisquare(np.bincount(partners, minlength=30)).pvalue > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_the_beta_distribution(kind: str, alpha: float) -> None:
    shares = KINDS[kind](alpha=alpha).shares(np.arange(20_000), 0, 1)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-4


def test_both_images_are_augmented_before_they_are_mixed() -> None:
    """The partner is augmented by its own view of the same epoch."""
    rng = np.random.default_rng(0)
    images = Examples.of(rng.integers(0, 256, (N, 3, 16, 16), np.uint8), np.zeros(N, np.int64), ("a",))
    positions = np.arange(N)
    alone = resolve(["crop", "flip"]).batch(images, positions, 7, 8, CPU).items
    batch = resolve(["crop", "flip", "mixup"]).batch(images, positions, 7, 8, CPU)
    assert batch.mixture is not None
    share = batch.mixture.share.double()[:, None, None, None]
    expected = share * alone.double() + (1 - share) * alone[batch.mixture.partners].double()
    assert float((batch.items.double() - expected).abs().max()) <= 0.501


def test_pasted_rectangle_has_the_proportions_of_the_image() -> None:
    """Before clipping at the border, its sides are the square root of the area replaced."""
    images = examples_of(side=64)
    batch = resolve("cutmix").batch(images, np.arange(N), 1, 1, CPU)
    assert batch.mixture is not None
    shares = CutMix().shares(images.ids, 1, 1)
    inside = 0
    for place in range(N):
        pasted = (batch.items[place, 0] != 4 * place).numpy()
        rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
        if not len(rows):
            continue
        assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        side = int(np.sqrt(1 - shares[place]) * 64) // 2 * 2
        assert len(rows) <= side
        assert len(columns) <= side
        if rows[0] > 0 and columns[0] > 0 and rows[-1] < 63 and columns[-1] < 63:
            assert (len(rows), len(columns)) == (side, side)
            inside += 1
    assert inside >= 5


def test_image_mixed_with_itself_is_unchanged() -> None:
    images = examples_of(1)
    for kind in KINDS:
        batch = resolve(kind).batch(images, np.zeros(4, np.int64), 0, 0, CPU)
        assert torch.equal(batch.items, torch.from_numpy(images.pixels(np.zeros(4, np.int64))))


def test_views_that_mix_are_marked() -> None:
    assert resolve(["flip", "cutmix"]).mixes
    assert not resolve(["flip", "rand_augment"]).mixes
    assert not resolve("crop_flip").mixes
