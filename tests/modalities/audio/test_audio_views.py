"""View operations of audio: closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distillab.modalities.audio.views import FeatureNoise, SpecAugment, TimeShift

BANDS, FRAMES = 40, 100


def spectrograms(n: int = 50) -> torch.Tensor:
    """Every value differs from the others of its item; float16 holds them exactly."""
    values = np.random.default_rng(0).permuted(
        np.tile(np.arange(BANDS * FRAMES) / 4, (n, 1)).astype(np.float16), axis=1
    )
    return torch.from_numpy(values.reshape(n, 1, BANDS, FRAMES))


@given(epoch=st.integers(0, 50), seed=st.integers(0, 2**40))
def test_masks_are_whole_bands_and_frames_of_bounded_width(epoch: int, seed: int) -> None:
    items, ids = spectrograms(8), np.arange(8)
    masked = SpecAugment().render(items, ids, epoch, seed)
    for before, after in zip(items, masked, strict=True):
        at_mean = (after == before.float().mean().half())[0].numpy()
        bands = np.flatnonzero(at_mean.all(axis=1))
        frames = np.flatnonzero(at_mean.all(axis=0))
        assert len(bands) <= 2 * 6 and len(frames) <= 2 * 10
        changed = (before != after)[0].numpy()
        changed[bands] = changed[:, frames] = False
        assert not changed.any()


def test_masks_of_every_width_and_place_occur() -> None:
    ids = np.arange(4000)
    masked = SpecAugment(band_masks=1, frame_masks=0)._mask("band0", BANDS, 0.15, ids, 0, 0)
    widths = masked.sum(axis=1)
    assert stats.chisquare(np.bincount(widths, minlength=7)).pvalue > 1e-4
    assert masked.any(axis=0).all()


def test_no_mask_changes_nothing() -> None:
    items = spectrograms(4)
    assert torch.equal(SpecAugment(band_masks=0, frame_masks=0).render(items, np.arange(4), 0, 0), items)


@given(epoch=st.integers(0, 50), share=st.sampled_from([0.1, 0.25, 1.0]))
def test_shift_moves_frames_and_fills_with_the_floor(epoch: int, share: float) -> None:
    items, ids = spectrograms(6), np.arange(6)
    shifted = TimeShift(share=share).render(items, ids, epoch, 3)
    most = int(share * FRAMES)
    for before, after in zip(items[:, 0].numpy(), shifted[:, 0].numpy(), strict=True):
        floor = before.min(axis=1, keepdims=True)
        padded = np.pad(before, ((0, 0), (most, most)), constant_values=np.nan)
        padded = np.where(np.isnan(padded), floor, padded)
        windows = [padded[:, start : start + FRAMES] for start in range(2 * most + 1)]
        assert any((after == window).all() for window in windows)


def test_shifts_go_either_way_and_are_uniform() -> None:
    ramp = torch.arange(FRAMES, dtype=torch.float16).expand(4000, 1, 1, FRAMES)
    shifted = TimeShift(share=0.1).render(ramp, np.arange(4000), 0, 0)
    shifts = (50 - shifted[:, 0, 0, 50]).numpy().astype(int)
    assert stats.chisquare(np.bincount(shifts + 10, minlength=21)).pvalue > 1e-4


def test_noise_has_the_drawn_deviation_and_no_mean() -> None:
    items = torch.zeros(200, 1, BANDS, FRAMES)
    noise = FeatureNoise(strength=2.0)
    values = noise.render(items, np.arange(200), 4, 5).numpy()
    drawn = 2.0 * noise.uniform("strength", np.arange(200), 4, 5)
    np.testing.assert_allclose(values.std(axis=(1, 2, 3)), drawn, rtol=0.04)
    assert abs(values / drawn[:, None, None, None]).max() <= np.sqrt(12)  # four uniform numbers are bounded
    assert abs((values / drawn[:, None, None, None]).mean()) < 0.005
    neighbors = np.corrcoef(values[:, 0, 0, :-1].ravel(), values[:, 0, 0, 1:].ravel())[0, 1]
    assert abs(neighbors) < 0.04


@pytest.mark.parametrize("operation", [FeatureNoise(), SpecAugment(), TimeShift()], ids=str)
def test_dtype_of_the_pool_stays(operation: FeatureNoise | SpecAugment | TimeShift) -> None:
    for dtype in (torch.float16, torch.float32):
        assert operation.render(spectrograms(2).to(dtype), np.arange(2), 0, 0).dtype == dtype
