"""Features of audio: reference values of librosa, and closed forms."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.errors import RequestError
from distillab.modalities.audio.features import DYNAMIC_RANGE, FeatureExtractor
from distillab.modalities.audio.settings import AudioSettings

RATE = 8000


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> npt.NDArray[np.float32]:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def noise(n: int = 3, seconds: float = 1.0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, (n, round(seconds * RATE))).astype(np.float32)


def extractor(rate: int = RATE, **keys: Any) -> FeatureExtractor:
    return FeatureExtractor.of(AudioSettings(**keys), rate)


def reference(waveform: npt.NDArray[np.float32], made: FeatureExtractor) -> dict[str, Any]:
    return {
        "y": waveform,
        "sr": made.sample_rate,
        "n_fft": made.n_fft,
        "hop_length": round(made.settings.hop * made.sample_rate),
        "win_length": round(made.settings.window * made.sample_rate),
        "center": True,
        "pad_mode": "constant",
        "n_mels": made.settings.n_mels,
        "fmin": made.settings.fmin,
        "fmax": made.settings.fmax,
    }


@pytest.mark.parametrize("keys", [{}, {"n_mels": 40, "fmin": 50.0, "fmax": 3000.0}, {"window": 0.05}])
def test_log_mel_is_that_of_librosa(keys: dict[str, Any]) -> None:
    made, waveforms = extractor(**keys), noise()
    features = made(waveforms)
    for waveform, mine in zip(waveforms, features, strict=True):
        power = librosa.feature.melspectrogram(**reference(waveform, made))
        expected = librosa.power_to_db(power, ref=1.0, top_db=DYNAMIC_RANGE)
        np.testing.assert_allclose(mine[0], expected, atol=1e-3)


def test_mfcc_is_that_of_librosa() -> None:
    made, waveforms = extractor(features="mfcc", n_mfcc=13, n_mels=40), noise()
    for waveform, mine in zip(waveforms, made(waveforms), strict=True):
        expected = librosa.feature.mfcc(n_mfcc=13, **reference(waveform, made))
        np.testing.assert_allclose(mine[0], expected, atol=2e-3)


def test_derivatives_are_those_of_librosa() -> None:
    made, waveforms = extractor(deltas=2, n_mels=20), noise(1)
    features = made(waveforms)
    assert features.shape == (1, 3, 20, 101)
    for order in (1, 2):
        expected = librosa.feature.delta(features[0, 0], width=9, order=order)
        np.testing.assert_allclose(features[0, order], expected, atol=1e-4)


@given(frequency=st.floats(150, 3700))
def test_sine_is_strongest_in_its_mel_band(frequency: float) -> None:
    made = extractor(n_mels=40)
    features = made(tone(frequency)[None])[0, 0, :, 10:-10]
    centers = librosa.mel_frequencies(42, fmin=0, fmax=RATE / 2)[1:-1]
    nearest = np.abs(librosa.hz_to_mel(centers) - librosa.hz_to_mel(frequency)).argmin()
    assert abs(int(features.mean(axis=1).argmax()) - int(nearest)) <= 1


def test_power_of_a_sine_has_its_closed_form() -> None:
    """At a frequency of the transform, a Hann window of N samples gives |X| = A N / 4."""
    made = extractor(n_mels=40, window=0.032)
    assert made.n_fft == 256
    number = 32
    amplitude = 0.5
    power = made.filters[:, number] * (amplitude * 256 / 4) ** 2
    neighbors = (made.filters[:, number - 1] + made.filters[:, number + 1]) * (amplitude * 256 / 8) ** 2
    features = made.log_mel(amplitude * tone(number * RATE / 256)[None])[0, :, 50]
    band = int(power.argmax())
    assert features[band] == pytest.approx(10 * np.log10(power[band] + neighbors[band]), abs=0.02)


def test_twice_the_amplitude_is_six_decibels_more() -> None:
    made, waveforms = extractor(), noise()
    difference = made(2 * waveforms) - made(waveforms)
    np.testing.assert_allclose(difference, 20 * np.log10(2), atol=1e-3)


def test_first_coefficient_is_the_mean_level() -> None:
    """The orthonormal DCT-II of a vector begins with its mean times the root of its length."""
    waveforms = noise()
    level = extractor(n_mels=40)(waveforms).mean(axis=2)
    first = extractor(n_mels=40, features="mfcc")(waveforms)[:, :, 0]
    np.testing.assert_allclose(first, np.sqrt(40) * level, atol=1e-3)


def test_silence_is_not_far_below_sound() -> None:
    waveform = tone(440.0)
    waveform[RATE // 2 :] = 0
    features = extractor()(waveform[None])
    assert features.max() - features.min() == pytest.approx(DYNAMIC_RANGE, abs=1e-3)
    silent = extractor()(np.zeros((1, RATE), np.float32))
    np.testing.assert_allclose(silent, -100, atol=1e-3)


def test_windows_are_padded_until_no_band_is_empty() -> None:
    made = extractor(rate=1000, n_mels=64)
    assert made.n_fft > 32  # a window has 25 samples
    assert (made.filters > 0).any(axis=1).all()
    with pytest.raises(RequestError, match="512 mel bands are too narrow"):
        extractor(rate=200, n_mels=512, window=0.01)


@pytest.mark.parametrize(("seconds", "hop"), [(1.0, 0.01), (0.5, 0.016), (2.51, 0.02)])
def test_number_of_frames_is_as_stated(seconds: float, hop: float) -> None:
    settings = AudioSettings(hop=hop, n_mels=20)
    waveform = tone(440.0, seconds)
    features = FeatureExtractor.of(settings, RATE)(waveform[None])
    assert features.shape == (1, 1, 20, settings.frames(len(waveform), RATE))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fmax": 5000.0}, "fmax: mel bands from 0 to 5000 Hz at a sample rate of 8000 Hz"),
        ({"fmin": 4000.0}, "fmin: mel bands from 4000 to 4000 Hz"),
        ({"features": "mfcc", "n_mels": 16}, "n_mfcc: 20 coefficients of 16 mel bands"),
    ],
)
def test_unsuitable_settings_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        extractor(**keys)


def test_derivatives_need_frames() -> None:
    with pytest.raises(RequestError, match="derivatives need 9 frames, and the recordings have 6"):
        extractor(deltas=1)(noise(1, seconds=0.05))
