"""Decoding of recordings: files to waveforms, cut and resampled, and to one array of features."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from distillab.data import storage
from distillab.data.storage import FileItems
from distillab.errors import RequestError
from distillab.modalities import Decoded
from distillab.modalities.audio import (
    AudioSettings,
    RecordingPart,
    decode_recordings,
    read_waveform,
    recording_seconds,
)

RATE = 8000


def encoded(samples: npt.NDArray[Any], rate: int = RATE, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype="PCM_16")
    return buffer.getvalue()


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> npt.NDArray[np.float64]:
    return 0.8 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def ramp(samples: int = 8000) -> npt.NDArray[np.float64]:
    """Every sample differs from the others, so that a crop can be recognized."""
    return np.arange(samples) / samples


def read(recording: bytes, name: str = "a", **keys: Any) -> npt.NDArray[np.float32]:
    return read_waveform(recording, name, AudioSettings(scale_to_peak=False, **keys)).samples


def decode(recordings: list[Any], **keys: Any) -> Decoded:
    names = [f"recording {place}" for place in range(len(recordings))]
    return decode_recordings(recordings, names, AudioSettings(n_mels=20, **keys))


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_samples_are_those_of_the_file(tmp_path: Path, kind: str) -> None:
    samples = tone(440)
    np.testing.assert_allclose(read(encoded(samples, kind=kind)), samples, atol=4e-5)
    (tmp_path / "a").write_bytes(encoded(samples, kind=kind))
    settings = AudioSettings(scale_to_peak=False)
    waveform, rate, _ = read_waveform(tmp_path / "a", "a", settings)
    assert rate == RATE and waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform, read(encoded(samples, kind=kind)))
    assert recording_seconds(tmp_path / "a") == 1.0


def test_channels_are_averaged() -> None:
    stereo = np.stack([tone(440), np.zeros(RATE)], axis=1)
    np.testing.assert_allclose(read(encoded(stereo)), tone(440) / 2, atol=3e-5)


def test_peak_is_one_unless_the_level_matters() -> None:
    quiet = encoded(0.1 * tone(440))
    assert np.abs(read_waveform(quiet, "a", AudioSettings())[0]).max() == 1
    assert np.abs(read(quiet)).max() == pytest.approx(0.08, abs=1e-4)
    silent = read_waveform(encoded(np.zeros(100)), "a", AudioSettings())[0]
    assert (silent == 0).all()


@pytest.mark.parametrize("rate", [6000, 8000, 16000])
def test_resampled_sine_keeps_its_frequency(rate: int) -> None:
    waveform = read(encoded(tone(440)), sample_rate=rate, seconds=1.0)
    assert len(waveform) == rate
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(waveform[inner], tone(440, rate=rate)[inner], atol=2e-3)


@pytest.mark.parametrize(("crop", "first"), [("start", 0), ("center", 3000)])
def test_crops_are_at_the_place_that_is_named(crop: str, first: int) -> None:
    waveform = read(encoded(ramp()), seconds=0.25, crop=crop)
    np.testing.assert_allclose(waveform, ramp()[first : first + 2000], atol=1e-4)


@pytest.mark.parametrize(("crop", "before"), [("start", 0), ("center", 4000)])
def test_short_recordings_are_padded_with_silence(crop: str, before: int) -> None:
    waveform = read(encoded(0.1 + ramp() / 2), seconds=2.0, crop=crop)
    assert len(waveform) == 16000
    assert (waveform[:before] == 0).all() and (waveform[before + 8000 :] == 0).all()
    np.testing.assert_allclose(waveform[before : before + 8000], 0.1 + ramp() / 2, atol=1e-4)


def test_random_crops_depend_on_the_name_alone() -> None:
    recording = encoded(ramp())
    starts = {name: read(recording, name, seconds=0.25, crop="random")[0] for name in map(str, range(200))}
    assert starts["7"] == read(recording, "7", seconds=0.25, crop="random")[0]
    values = np.array(list(starts.values()))
    assert values.min() < 0.05 and values.max() > 0.70 and abs(values.mean() - 0.375) < 0.06


def test_parts_begin_where_they_should() -> None:
    part = RecordingPart(encoded(ramp()), 0.5)
    waveform, *_ = read_waveform(part, "a", AudioSettings(seconds=0.25, scale_to_peak=False))
    np.testing.assert_allclose(waveform, ramp()[4000:6000], atol=1e-4)


def test_recordings_become_equally_large_spectrograms() -> None:
    decoded = decode([encoded(tone(200 + 10 * place, 0.5 + place / 100)) for place in range(40)], seconds=1.0)
    assert decoded.items.shape == (40, 1, 20, 101) and decoded.items.dtype == np.float16
    assert decoded.intact.all() and decoded.broken == ()
    assert decoded.originals is not None and decoded.originals.shape == (40, RATE)
    assert decoded.facts == {"sample_rate": RATE}


def test_waveforms_are_kept_as_they_were_analyzed() -> None:
    decoded = decode([encoded(tone(300))])
    assert decoded.originals is not None
    expected = read_waveform(encoded(tone(300)), "a", AudioSettings()).samples
    np.testing.assert_allclose(decoded.originals[np.array([0])][0] / 32767, expected, atol=2e-5)


def test_damaged_recordings_are_reported() -> None:
    good = encoded(tone(300))
    decoded = decode([b"damaged", good, encoded(np.zeros(0)), good[:20], good])
    assert decoded.intact.tolist() == [False, True, False, False, True]
    assert [name for name, _ in decoded.broken] == ["recording 0", "recording 2", "recording 3"]
    assert decoded.broken[1][1] == "holds no sample"
    assert len(decoded.items) == 2
    with pytest.raises(RequestError, match="none of 2 recordings can be decoded: recording 0: "):
        decode([b"damaged", b"damaged too"])


@pytest.mark.parametrize("in_file", [False, True])
def test_recordings_that_are_cut_short_or_missing_are_damaged(tmp_path: Path, in_file: bool) -> None:
    """libsndfile reads a WAV file that was cut short as a shorter recording."""
    good = encoded(tone(300))
    given: list[Any] = [good, good[: len(good) // 2]]
    if in_file:
        for place, content in enumerate(given):
            (tmp_path / f"{place}.wav").write_bytes(content)
        given = [tmp_path / "0.wav", tmp_path / "1.wav", tmp_path / "2.wav"]
    decoded = decode(given)
    stated = len(good) - 44
    assert decoded.broken[0] == (
        "recording 1",
        f"is cut short: its header states {stated} bytes of samples, and {len(good) // 2 - 44} are there",
    )
    assert [reason for _, reason in decoded.broken[1:]] == ["there is no such file"] * in_file


def test_recordings_of_other_lengths_are_counted() -> None:
    lengths = [0.5, 0.8, 1.0, 1.0, 1.3]
    decoded = decode([encoded(tone(300, length)) for length in lengths], seconds=1.0)
    assert decoded.notes == (
        "Recordings longer than 1.0 s, cut: 1.",
        "Recordings or parts shorter than 1.0 s, filled up with silence: 2.",
    )
    parts = [RecordingPart(encoded(tone(300, 1.5)), start) for start in (0.0, 1.0)]
    assert decode(parts, seconds=1.0).notes == (
        "Recordings or parts shorter than 1.0 s, filled up with silence: 1.",
    )
    assert decode([encoded(tone(300))]).notes == ()


def test_unequal_recordings_are_refused_with_a_remedy() -> None:
    with pytest.raises(RequestError, match=r"different lengths: .*allowed: equally long .*`seconds`"):
        decode([encoded(tone(300)), encoded(tone(300, 0.5))])
    with pytest.raises(RequestError, match=r"different sample rates: .*`sample_rate`"):
        decode([encoded(tone(300)), encoded(tone(300, rate=4000), rate=4000)])
    assert decode(
        [encoded(tone(300)), encoded(tone(300, 0.5, rate=4000), rate=4000)], seconds=1.0, sample_rate=4000
    ).items.shape == (2, 1, 20, 101)


def test_large_sets_are_the_same_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recordings: list[Any] = [encoded(tone(200 + 5 * place)) for place in range(70)]
    recordings[3] = b"damaged"
    usual = decode(recordings)
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(storage, "LARGE", 0)
    large = decode(recordings)
    assert isinstance(large.items, FileItems) and large.originals is None
    np.testing.assert_array_equal(large.items[:], usual.items[:])
    assert large.broken == usual.broken
