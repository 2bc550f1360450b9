"""The ``audio`` and ``audio_csv`` sources: recordings in folders, or listed in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field, model_validator

from distillab.data.examples import Indices
from distillab.data.raw import Progress, RawRecording
from distillab.errors import RequestError
from distillab.modalities import Decoded
from distillab.modalities.audio import (
    EXTENSIONS,
    AudioSettings,
    RawAudio,
    RecordingPart,
    decode_recordings,
    recording_seconds,
)
from distillab.sources.csv import FileTable
from distillab.sources.folder import ClassFolders
from distillab.sources.source import RawSplit, RawSplits, Source, source


class AudioSource(Source, AudioSettings):
    """Base class of sources of recordings, with the keys that all of them accept.

    The keys that decide how recordings become spectrograms are those of
    :class:`~distillab.modalities.audio.settings.AudioSettings`.

    Attributes:
        segments: How many consecutive parts of ``seconds`` each recording gives, as far as it is long
            enough; each is an example. Without other groups, the parts of a recording are a group. No split
            is carved between them.
        vote: Whether a recording of val or test is one example, with the mean log-odds of its parts. Training
            examples are parts in any case.
        class_names: What classes are called instead, by the name that the source has for them.
    """

    modality: ClassVar[str] = "audio"

    segments: int = Field(default=1, ge=1)
    vote: bool = False
    class_names: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _segments_have_a_length(self) -> AudioSource:
        if self.segments > 1 and self.seconds is None:
            raise RequestError("segments have no length", where="segments", allowed="`seconds`, their length")
        if self.vote and self.segments == 1:
            raise RequestError(
                "a single part has nothing to vote with", where="vote", allowed="segments: 2 or more"
            )
        return self

    @property
    def joins_parts(self) -> bool:
        """Whether an example of val and test is a whole recording."""
        return self.vote

    def decode(
        self, items: Sequence[RawAudio], names: Sequence[str], progress: Progress | None = None
    ) -> Decoded:
        return decode_recordings(items, names, self, progress)

    def prepared(self, raw: RawSplits) -> RawSplits:
        """Return the splits cut into segments, with classes renamed."""
        if unknown := set(self.class_names) - set(raw.classes):
            raise RequestError(
                f"there is no class {min(unknown)!r} to rename",
                where="class_names",
                allowed=", ".join(raw.classes),
            )
        raw = replace(raw, classes=tuple(self.class_names.get(name, name) for name in raw.classes))
        if self.segments == 1 or self.seconds is None:
            return raw
        recordings = [name for split in raw.given().values() for name in split.names]
        if all(split.groups is None for split in raw.given().values()):
            raw = replace(raw, group_names=tuple(recordings))
        first, splits = 0, {}
        for name, split in raw.given().items():
            own = np.arange(first, first + len(split.items), dtype=np.int64)
            splits[name] = _segmented(split, self.segments, self.seconds, own)
            first += len(split.items)
        notes = (_VOTE,) if self.vote else ()
        return replace(
            raw,
            train=splits["train"],
            val=splits.get("val"),
            test=splits.get("test"),
            notes=raw.notes + notes,
        )


@source("audio")
class AudioFolder(ClassFolders, AudioSource):
    """Recordings (WAV, FLAC, ...) in class folders, as spectrograms (needs distillab[audio]).

    The keys of folders are those of :class:`~distillab.sources.folder.ClassFolders`; with ``class_pattern``
    the names of files state their classes. The keys of audio are those of
    :class:`~distillab.sources.audio.AudioSource`.

    Example:
        >>> spoken = AudioFolder(path="digits", class_pattern=r"(\\d)_", group_pattern=r"_([a-z]+)_")
        >>> spoken.modality, spoken.features
        ('audio', 'logmel')
    """

    noun: ClassVar[str] = "recording"

    @classmethod
    def extensions(cls) -> frozenset[str]:
        return EXTENSIONS

    def read(self) -> RawSplits:
        return self.prepared(super().read())


@source("audio_csv")
class AudioCsv(FileTable, AudioSource):
    """A CSV or TSV file that lists recordings and their labels, as spectrograms (needs distillab[audio]).

    The keys of tables are those of :class:`~distillab.sources.csv.FileTable`, the keys of audio those of
    :class:`~distillab.sources.audio.AudioSource`.

    Example:
        >>> heart = AudioCsv(path="REFERENCE.csv", file="training-{database}/{record}.flac", label="label")
        >>> heart.modality, heart.segments
        ('audio', 1)
    """

    @classmethod
    def extensions(cls) -> frozenset[str]:
        return EXTENSIONS

    def read(self) -> RawSplits:
        return self.prepared(super().read())


_VOTE = "An example of val or test is a whole recording: the outputs of its parts are averaged."


def _segmented(split: RawSplit, most: int, seconds: float, recordings: Indices) -> RawSplit:
    """Return consecutive parts of the recordings of a split.

    Args:
        split: The recordings.
        most: Number of parts of a recording.
        seconds: Length of a part.
        recordings: int64 ``[N]``, the numbers of the recordings, which are also the groups if the split has
            none.
    """
    parts = [
        (row, number)
        for row, recording in enumerate(split.items)
        for number in range(_parts(recording, most, seconds))
    ]
    origin = np.array([row for row, _ in parts], dtype=np.int64)
    groups = recordings if split.groups is None else split.groups
    return RawSplit(
        [RecordingPart(split.items[row], number * seconds) for row, number in parts],
        split.targets.take(origin),
        [f"{split.names[row]}#{number + 1}" for row, number in parts],
        groups[origin],
        recordings[origin],
    )


def _parts(recording: RawRecording, most: int, seconds: float) -> int:
    """Return how many full parts a recording has: at least 1 and at most ``most``."""
    try:
        length = recording_seconds(recording)
    except (OSError, RuntimeError):  # it is damaged, which decoding will report
        return 1
    return max(1, min(most, int(length / seconds + 1e-6)))
