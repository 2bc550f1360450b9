"""Waveforms: recordings read from files, resampled, and cut or padded to one length."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from distillab.canonical import seed_from
from distillab.data.raw import RawRecording, StoredBytes, regular_file
from distillab.errors import RequestError
from distillab.extras import install_command
from distillab.modalities.audio.settings import AudioSettings

Waveform = npt.NDArray[np.float32]
"""float32 ``[S]``, mono."""

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"})
"""File extensions of recordings, in lower case."""


_UNKNOWN_LENGTHS = (2**32 - 1, 2**31 - 1)  # of a WAV file that was written to a pipe


@dataclass(frozen=True)
class RecordingPart:
    """A part of a recording, from a start on.

    Attributes:
        recording: The recording.
        start: Start of the part, in seconds.

    Example:
        >>> RecordingPart(Path("a0001.wav"), 2.5).start
        2.5
    """

    recording: RawRecording
    start: float


RawAudio = RawRecording | RecordingPart


class ReadRecording(NamedTuple):
    """A recording as the settings have it.

    Attributes:
        samples: float32 ``[S]``.
        sample_rate: In Hz.
        surplus: Seconds from the start on that the settings' ``seconds`` leave out; negative if silence fills
            up what is missing, 0 without ``seconds``.

    Example:
        >>> ReadRecording(np.zeros(4, np.float32), 8, 0.5).surplus
        0.5
    """

    samples: Waveform
    sample_rate: int
    surplus: float


def soundfile_module() -> Any:
    """Return the package ``soundfile``.

    Raises:
        RequestError: It is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the C library is missing
        raise RequestError(
            "recordings are decoded by a package that is not installed",
            allowed=install_command("audio"),
        ) from error
    return soundfile


def recording_seconds(recording: RawRecording) -> float:
    """Return the length of a recording in seconds, from its header.

    Example:
        >>> from distillab.modalities.audio.preview import wav_of
        >>> recording_seconds(wav_of(np.zeros(4000, np.int16), 8000))
        0.5
    """
    with soundfile_module().SoundFile(_opened(recording)) as file:
        return float(file.frames / file.samplerate)


def read_waveform(audio: RawAudio, name: str, settings: AudioSettings) -> ReadRecording:
    """Return a recording as the settings have it.

    Args:
        audio: A recording, or a part of one.
        name: Its name, which decides the place of a ``random`` crop.
        settings: Sample rate, length and scale.

    Raises:
        ValueError: The recording has no sample, fewer than its header states, or values that are not finite.
        FileNotFoundError: There is no such file.
        soundfile.LibsndfileError, OSError: The recording is damaged.

    Example:
        >>> from distillab.modalities.audio.preview import wav_of
        >>> tone = (10000 * np.sin(np.arange(8000))).astype(np.int16)
        >>> found = read_waveform(wav_of(tone, 8000), "tone", AudioSettings(seconds=0.25))
        >>> found.samples.shape, found.sample_rate, found.surplus
        ((2000,), 8000, 0.75)
    """
    part = audio if isinstance(audio, RecordingPart) else RecordingPart(audio, 0.0)
    place = _place(settings.crop, name)
    opened = _opened(part.recording)
    _must_be_whole(opened)
    with soundfile_module().SoundFile(opened) as file:
        rate = int(file.samplerate)
        start = min(round(part.start * rate), file.frames)
        available = file.frames - start
        wanted = available if settings.seconds is None else min(available, _samples(settings.seconds, rate))
        file.seek(start + int(place * (available - wanted)))
        samples = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
    surplus = 0.0 if settings.seconds is None else available / rate - settings.seconds
    if not len(samples):
        raise ValueError("holds no sample")
    if not np.isfinite(samples).all():
        raise ValueError("holds values that are not finite")
    if settings.sample_rate is not None and settings.sample_rate != rate:
        samples, rate = _resampled(samples, rate, settings.sample_rate), settings.sample_rate
    if settings.seconds is not None:
        samples = _fitted(samples, _samples(settings.seconds, rate), place)
    peak = float(np.abs(samples).max())
    if settings.scale_to_peak and peak > 0:
        samples = samples / peak
    return ReadRecording(np.ascontiguousarray(samples, dtype=np.float32), rate, surplus)


def _opened(recording: RawRecording) -> Path | BytesIO:
    if isinstance(recording, StoredBytes):
        recording = recording.read()
    if isinstance(recording, bytes):
        return BytesIO(recording)
    path = regular_file(recording)
    if not path.exists():
        raise FileNotFoundError("there is no such file")
    return path


def _must_be_whole(opened: Path | BytesIO) -> None:
    """Raise ValueError for a WAV file that was cut short, which libsndfile reads as a shorter recording."""
    with opened.open("rb") if isinstance(opened, Path) else BytesIO(opened.getbuffer()) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if file.read(4) != b"RIFF" or len(file.read(8)) < 8:
            return
        while len(header := file.read(8)) == 8:
            kind, length = struct.unpack("<4sI", header)
            if kind == b"data":
                there = size - file.tell()
                if there < length and length not in _UNKNOWN_LENGTHS:
                    raise ValueError(
                        f"is cut short: its header states {length} bytes of samples, and {there} are there"
                    )
                return
            file.seek(length + length % 2, os.SEEK_CUR)


def _place(crop: str, name: str) -> float:
    """Return where the crop lies among all possible ones, from 0 (the first) to 1 (the last)."""
    if crop == "random":
        return seed_from("crop", name) / 2**63
    return 0.5 if crop == "center" else 0.0


def _samples(seconds: float, rate: int) -> int:
    return max(1, round(seconds * rate))


def _resampled(samples: Waveform, rate: int, wanted: int) -> Waveform:
    import librosa

    resampled: Waveform = librosa.resample(samples, orig_sr=rate, target_sr=wanted)
    return resampled


def _fitted(samples: Waveform, length: int, place: float) -> Waveform:
    """Return exactly ``length`` samples: resampling may give one more or less, and silence fills up."""
    samples = samples[:length]
    before = int(place * (length - len(samples)))
    return np.pad(samples, (before, length - len(samples) - before))
