"""Audio as a modality: normalization, embedding and preview."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from distillab.data.examples import Examples
from distillab.data.originals import Original
from distillab.errors import RequestError
from distillab.modalities import modalities, modality_of
from distillab.modalities.audio.preview import COLORS
from distillab.modalities.embedding import embed, embeddings, fit_embedding

AUDIO = modalities["audio"]


def recordings(n: int = 60, channels: int = 1, bands: int = 20, frames: int = 50) -> Examples:
    """Spectrograms of three classes, each with its own loud bands."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    items = rng.normal(-40, 5, (n, channels, bands, frames))
    for place, label in enumerate(labels):
        items[place, :, 6 * label : 6 * label + 4] += 30
    return Examples.of(items.astype(np.float16), labels, ("low", "middle", "high"), modality="audio")


def test_modality_follows_from_the_pool() -> None:
    examples = recordings()
    assert modality_of(examples) is AUDIO and modality_of(examples.select([1, 2])) is AUDIO
    with pytest.raises(TypeError, match="no images: their modality is audio"):
        examples.pixels(np.array([0]))


def test_digests_of_images_and_audio_differ() -> None:
    examples = recordings(6)
    other = Examples.of(examples.items(np.arange(6)), examples.labels, examples.classes, modality="other")
    assert other.pool.digest == examples.pool.digest and other.digest != examples.digest


def test_every_band_is_normalized_by_itself() -> None:
    examples = recordings(channels=2)
    mean, std = AUDIO.statistics(examples)
    assert mean.shape == std.shape == (2, 20)
    normalized = AUDIO.normalization((mean, std))(torch.from_numpy(examples.items(np.arange(60))))
    assert normalized.dtype == torch.float32 and normalized.shape == (60, 2, 20, 50)
    assert normalized.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(normalized.mean(dim=(0, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(normalized.std(dim=(0, 3), unbiased=False), 1, atol=1e-3)


def test_constant_bands_stay_finite() -> None:
    silent = Examples.of(np.full((4, 1, 3, 5), -80, np.float16), [0, 1, 0, 1], ("a", "b"), modality="audio")
    normalized = AUDIO.normalization(AUDIO.statistics(silent))(torch.from_numpy(silent.items(np.arange(4))))
    assert (normalized == 0).all()


def test_embedding_separates_spectra() -> None:
    examples = recordings()
    vectors = embed(examples, dimensions=8)
    assert vectors.shape == (60, 8)
    assert float((vectors**2).sum(axis=1).mean()) == pytest.approx(1, abs=0.01)
    centers = np.stack([vectors[examples.labels == label].mean(axis=0) for label in range(3)])
    nearest = ((vectors[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == examples.labels).all()


def test_embedding_does_not_depend_on_the_order() -> None:
    examples = recordings()
    order = np.random.default_rng(1).permutation(60)
    shuffled = fit_embedding(examples.select(order)).vectors(examples)
    np.testing.assert_allclose(shuffled, fit_embedding(examples).vectors(examples), atol=1e-5)


def test_embeddings_of_another_modality_are_refused() -> None:
    for kind in embeddings:
        other = embeddings[kind].modality
        if other != "audio":
            with pytest.raises(RequestError, match=f"'{kind}' is for {other} examples.*allowed: spectra"):
                embed(recordings(), kind=kind)


def test_picture_has_low_bands_at_the_bottom_and_time_to_the_right() -> None:
    item = np.zeros((1, 24, 30), np.float16)
    item[0, 0, 29] = 1  # the lowest band, in the last frame
    picture = AUDIO.preview(item).picture
    assert picture.shape == (3, 48, 60) and picture.dtype == np.uint8
    assert (picture[:, -1, -1] == COLORS[-1]).all()
    assert (picture[:, 0, 0] == COLORS[0]).all()


@pytest.mark.parametrize("rate", [1000, 8000, 16000])
def test_sound_is_the_waveform_at_a_rate_that_browsers_play(rate: int) -> None:
    tone: npt.NDArray[np.int16] = np.rint(20000 * np.sin(np.arange(rate) / rate * 2 * np.pi * 100)).astype(
        np.int16
    )
    sound = AUDIO.preview(np.zeros((1, 8, 9), np.float16), Original(tone, {"sample_rate": rate})).sound
    assert sound is not None
    samples, played = soundfile.read(io.BytesIO(sound), dtype="int16")
    assert played >= 8000 and len(samples) == played
    np.testing.assert_allclose(samples[:: played // rate][50:-50], tone[50:-50], atol=60)


def test_recordings_without_a_waveform_have_a_picture_alone() -> None:
    assert AUDIO.preview(np.zeros((2, 8, 9), np.float16)).sound is None
