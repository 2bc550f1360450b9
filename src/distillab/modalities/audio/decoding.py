"""Decoding: recordings become one float16 array of equally large spectrograms."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from distillab.data import storage
from distillab.data.collector import ItemCollector
from distillab.data.raw import Progress
from distillab.errors import RequestError
from distillab.modalities.audio.features import FeatureExtractor
from distillab.modalities.audio.settings import AudioSettings
from distillab.modalities.audio.waveforms import (
    RawAudio,
    ReadRecording,
    RecordingPart,
    Waveform,
    read_waveform,
    soundfile_module,
)
from distillab.modalities.decoded import Decoded
from distillab.modalities.ordered_map import ordered_map

DECODED_AT_ONCE = 32  # recordings per task of a thread
LOUDEST = 32767  # of a 16-bit sample
SAMPLE_RATE = "sample_rate"
"""Key of the facts of originals: the sample rate of the waveforms in Hz."""


def decode_recordings(
    recordings: Sequence[RawAudio],
    names: Sequence[str],
    settings: AudioSettings,
    progress: Progress | None = None,
) -> Decoded:
    """Decode all recordings in threads, and compute their features.

    Waveforms are kept beside the features, as 16-bit samples, unless they would take more than
    :data:`~distillab.data.storage.LARGE` bytes: a report plays them.

    Args:
        recordings: N recordings, or parts of recordings.
        names: Their N names, for messages and for random crops.
        settings: How they are decoded, cut and turned into features.
        progress: Called with ``("decoding", done, N)``.

    Raises:
        RequestError: Recordings of different lengths without ``seconds``, or of different sample rates
            without ``sample_rate``, none that can be decoded, settings that do not suit the sample rate, or
            no room on the disk for what does not fit into memory.

    Example:
        >>> from distillab.modalities.audio.preview import wav_of
        >>> recording = wav_of((10000 * np.sin(np.arange(8000))).astype(np.int16), 8000)
        >>> decode_recordings([recording], ["tone"], AudioSettings(n_mels=16)).items.shape
        (1, 1, 16, 101)
    """
    # Both are imported here, by one thread: threads that import at once wait for each other.
    soundfile_module()
    decoding = _Decoding(settings, len(recordings))
    broken: dict[int, str] = {}
    starts = range(0, len(recordings), DECODED_AT_ONCE)

    def decode_chunk(start: int) -> _Chunk:
        rows = range(start, min(start + DECODED_AT_ONCE, len(recordings)))
        return decoding.decoded([recordings[row] for row in rows], [names[row] for row in rows])

    with closing(ordered_map(decode_chunk, starts)) as chunks:
        for start, chunk in zip(starts, chunks, strict=True):
            broken |= {start + place: reason for place, reason in chunk.broken.items()}
            decoding.keep(chunk)
            if progress:
                progress("decoding", min(start + DECODED_AT_ONCE, len(recordings)), len(recordings))
    intact = np.ones(len(recordings), dtype=bool)
    intact[list(broken)] = False
    reasons = tuple((names[row], reason) for row, reason in broken.items())
    if decoding.items is None:
        raise RequestError(
            f"none of {len(recordings)} recordings can be decoded: {reasons[0][0]}: {reasons[0][1]}"
        )
    waveforms = decoding.waveforms
    return Decoded(
        decoding.items.finished(),
        intact,
        reasons,
        originals=None if waveforms is None else waveforms.finished(),
        facts={} if waveforms is None else {SAMPLE_RATE: decoding.extractor.sample_rate},
        notes=decoding.notes,
    )


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Some recordings, decoded.

    Attributes:
        features: float16 ``[M, C, F, T]`` of those that are intact.
        samples: int16 ``[M, S]``.
        broken: Reasons of the others, by position.
    """

    features: npt.NDArray[np.float16]
    samples: npt.NDArray[np.int16]
    broken: dict[int, str] = field(default_factory=dict)


class _Decoding:
    """What is decoded so far; the first intact recording decides rate and length of all.

    Attributes:
        items: The features of intact recordings, or None before the first.
        waveforms: Their waveforms, or None if they are not kept.
        extractor: Computes the features, once the sample rate is known.
    """

    extractor: FeatureExtractor

    def __init__(self, settings: AudioSettings, most: int) -> None:
        self._settings, self._most = settings, most
        self._first: tuple[str, int, int] | None = None  # name, sample rate and length
        self._lock = threading.Lock()
        self._cut = self._padded = 0
        self.items: ItemCollector | None = None
        self.waveforms: ItemCollector | None = None

    def decoded(self, recordings: Sequence[RawAudio], names: Sequence[str]) -> _Chunk:
        """Return the features of some recordings."""
        broken: dict[int, str] = {}
        waveforms: list[Waveform] = []
        soundfile_module()  # an error here is no damage
        for place, (recording, name) in enumerate(zip(recordings, names, strict=True)):
            try:
                read = read_waveform(recording, name, self._settings)
            except Exception as error:  # noqa: BLE001 - libsndfile and its binding raise errors of many types
                # The message of libsndfile without the name of the object that was opened.
                broken[place] = getattr(error, "error_string", f"{error}") or type(error).__name__
                continue
            self._check_equal(name, read.sample_rate, len(read.samples))
            self._count(recording, read)
            waveforms.append(read.samples)
        if not waveforms:
            return _Chunk(np.empty((0, 0, 0, 0), np.float16), np.empty((0, 0), np.int16), broken)
        stacked = np.stack(waveforms)
        samples = np.clip(np.rint(stacked * LOUDEST), -LOUDEST, LOUDEST).astype(np.int16)
        return _Chunk(self.extractor(stacked).astype(np.float16), samples, broken)

    def keep(self, chunk: _Chunk) -> None:
        """Append the features and waveforms of a chunk."""
        if not len(chunk.features):
            return
        if self.items is None:
            self.items = ItemCollector(self._most, chunk.features.shape[1:], np.float16)
            if self._most * chunk.samples[0].nbytes <= storage.LARGE:
                self.waveforms = ItemCollector(self._most, chunk.samples.shape[1:], np.int16)
        self.items.append(chunk.features)
        if self.waveforms is not None:
            self.waveforms.append(chunk.samples)

    def _count(self, recording: RawAudio, read: ReadRecording) -> None:
        """Count recordings that do not have the length that is read; a part is meant to leave the rest."""
        with self._lock:
            if read.surplus * read.sample_rate >= 1 and not isinstance(recording, RecordingPart):
                self._cut += 1
            self._padded += read.surplus * read.sample_rate <= -1

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on recordings of other lengths."""
        counts = {"Recordings longer than {} s, cut": self._cut}
        counts["Recordings or parts shorter than {} s, filled up with silence"] = self._padded
        seconds = self._settings.seconds
        return tuple(f"{what.format(seconds)}: {count:,}." for what, count in counts.items() if count)

    def _check_equal(self, name: str, rate: int, length: int) -> None:
        with self._lock:
            if self._first is None:
                self.extractor = FeatureExtractor.of(self._settings, rate)
                self._first = name, rate, length
        first, first_rate, first_length = self._first
        if rate != first_rate:
            raise RequestError(
                f"recordings have different sample rates: {first} {first_rate} Hz and {name} {rate} Hz",
                allowed="recordings of one rate, or `sample_rate`, the one that all are resampled to",
            )
        if length != first_length:
            raise RequestError(
                f"recordings have different lengths: {first} {first_length / rate:.3g} s and {name}"
                f" {length / rate:.3g} s",
                allowed="equally long recordings, or `seconds`, the length that all are cut or padded to",
            )
