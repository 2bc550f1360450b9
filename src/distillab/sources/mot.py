"""The ``mot`` source: sequences of MOTChallenge, with the boxes and identities of pedestrians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from distillab.data.examples import Indices
from distillab.data.tracks import Tracks
from distillab.errors import RequestError, unknown_name
from distillab.sources.box_source import AnnotatedImage, AnnotatedObject, Annotations, BoxSource
from distillab.sources.mot_files import MotSequence, read_sequence, sequence_folders
from distillab.sources.source import RawSplit, RawSplits, source

_NAMES_ARE_UNIQUE = "names of sequences, each in one list"


@dataclass(frozen=True, eq=False)
class _Frame(AnnotatedImage):
    """A frame: an image that knows its sequence and its place in time."""

    sequence: int = 0
    number: int = 1


@source("mot")
class Mot(BoxSource):
    """Sequences in the folders of MOTChallenge (MOT15, 16, 17, 20), with boxes and identities.

    ``path`` is the folder of a sequence (``img1``, ``gt/gt.txt``, ``seqinfo.ini``), or one with a folder per
    sequence, also in ``train``. Targets are tracks, for ``task: tracking``; the only class is ``pedestrian``.

    Sequences are split by time: the last frames are test, those before them are left out (``gap``), and the
    last ones of what remains are val. With ``test_sequences`` these are test, and the others are for
    training; val is ``val_sequences``, or the last frames of the others. Nothing is drawn at random.

    Attributes:
        gap: Frames between train or val and test that are left out, where a sequence is split by time.
        test_sequences: Names of the sequences of test.
        val_sequences: Names of the sequences of val.
        detector: Of the sequences of MOT17, which lie there three times, the ending of those that are read.

    Example:
        >>> Mot(path="PETS09-S2L1", test=0.44, gap=45).entry()["gap"]
        45
    """

    gap: Annotated[int, Field(ge=0)] = 25
    test_sequences: tuple[str, ...] = ()
    val_sequences: tuple[str, ...] = ()
    detector: Literal["DPM", "FRCNN", "SDP"] = "FRCNN"

    @model_validator(mode="after")
    def _sequences_are_of_one_split(self) -> Mot:
        named = [*self.test_sequences, *self.val_sequences]
        if len(set(named)) < len(named):
            twice = next(name for name in named if named.count(name) > 1)
            raise RequestError(
                f"sequence {twice!r} is named twice", where="test_sequences", allowed=_NAMES_ARE_UNIQUE
            )
        return self

    def annotations(self) -> Annotations:
        splits = _split(self, self._sequences)
        identities = _numbered(self._sequences, splits)
        left_out = sum(each.left_out for each in self._sequences)
        notes = (f"Rows that are not considered, or no pedestrians, left out: {left_out:,}.",)
        images = {
            name: [_frame(self._sequences, sequence, frame, identities) for sequence, frame in frames]
            for name, frames in splits.items()
        }
        return Annotations(("pedestrian",), images, notes if left_out else ())

    def targets_of(
        self, images: Sequence[AnnotatedImage], rows: Sequence[Sequence[tuple[float, ...]]], classes: int
    ) -> Tracks:
        frames = [(each.sequence, each.number) for each in images if isinstance(each, _Frame)]
        return Tracks.of(rows, classes, np.array(frames, dtype=np.int64).reshape(len(rows), 2))

    def read(self) -> RawSplits:
        found = super().read()
        if len(self._sequences) == 1:
            return found
        tested = set() if found.test is None else set(_sequences_of(found.test).tolist())
        several = len(tested) > 1

        def grouped(split: RawSplit) -> RawSplit:
            # Frames of one sequence are no independent test examples.
            own = _sequences_of(split)
            return replace(split, groups=own, wholes=own if several else None)

        return replace(
            found,
            train=grouped(found.train),
            val=found.val and grouped(found.val),
            test=found.test and grouped(found.test),
            group_names=tuple(each.name for each in self._sequences),
        )

    @cached_property
    def _sequences(self) -> list[MotSequence]:
        return [read_sequence(folder) for folder in sequence_folders(self.path, self.detector)]


def _sequences_of(split: RawSplit) -> Indices:
    """Return the sequence of each frame, int64 ``[N]``."""
    assert isinstance(split.targets, Tracks)  # made here
    return split.targets.frames[:, 0]


# A sequence, by its position, and a frame of it, from 1.
_Place = tuple[int, int]


def _split(chosen: Mot, sequences: Sequence[MotSequence]) -> dict[str, list[_Place]]:
    """Return the frames of each split."""
    names = [each.name for each in sequences]
    for key in ("test_sequences", "val_sequences"):
        for name in getattr(chosen, key):
            if name not in names:
                raise unknown_name("sequence", name, names, where=f"{chosen.kind}: {key}")
    splits: dict[str, list[_Place]] = {"train": [], "val": [], "test": []}
    for position, sequence in enumerate(sequences):
        frames = [(position, frame) for frame in range(1, len(sequence.images) + 1)]
        if sequence.name in chosen.test_sequences:
            splits["test"] += frames
        elif sequence.name in chosen.val_sequences:
            splits["val"] += frames
        else:
            _split_by_time(chosen, sequence, frames, splits)
    if not splits["train"]:
        raise RequestError(
            "no sequence is left for training",
            where=f"{chosen.kind}: test_sequences",
            allowed=f"fewer of {', '.join(names)}",
        )
    return splits


def _split_by_time(
    chosen: Mot, sequence: MotSequence, frames: Sequence[_Place], splits: Mapping[str, list[_Place]]
) -> None:
    """Append the frames of a sequence to the splits: the last ones to test, those before them to val."""
    by_time = not chosen.test_sequences
    tested = round(chosen.test * len(frames)) if by_time else 0
    kept = len(frames) - tested - chosen.gap * by_time
    validated = 0 if chosen.val_sequences else max(1, round(chosen.val * kept))
    if kept - validated < 1 or (by_time and not tested):
        raise RequestError(
            f"sequence {sequence.name} has {len(frames)} frames to be split by time",
            where=chosen.kind,
            allowed=f"more frames, or another `test` ({chosen.test}), `gap` ({chosen.gap}) or `val`",
        )
    splits["train"].extend(frames[: kept - validated])
    splits["val"].extend(frames[kept - validated : kept])
    splits["test"].extend(frames[len(frames) - tested :])


def _numbered(
    sequences: Sequence[MotSequence], splits: Mapping[str, Sequence[_Place]]
) -> dict[tuple[int, int], int]:
    """Return a number for the identities of all sequences, those of train first."""
    known: dict[tuple[int, int], int] = {}
    for places in splits.values():
        for sequence, frame in places:
            for row in sequences[sequence].rows.get(frame, ()):
                known.setdefault((sequence, row.identity), len(known))
    return known


def _frame(
    sequences: Sequence[MotSequence], sequence: int, frame: int, identities: Mapping[tuple[int, int], int]
) -> _Frame:
    whole = sequences[sequence]
    objects = [
        AnnotatedObject(
            0,
            row.left,
            row.top,
            row.left + row.width,
            row.top + row.height,
            row.counted,
            (float(identities[sequence, row.identity]),),
        )
        for row in whole.rows.get(frame, ())
    ]
    name = f"{whole.name}/{frame:06d}"
    return _Frame(whole.images[frame - 1], name, whole.size, objects, sequence=sequence, number=frame)
