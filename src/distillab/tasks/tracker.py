"""The tracker: it gives the objects that are found in the frames of a sequence their identities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.tasks.arrays import Flags, Values
from distillab.tasks.kalman import BoxFilter

LEAST_OVERLAP = 0.2
"""IoU of a track and a detection from which on they may be one object, whatever they look like."""
LEAST_OVERLAP_OF_UNSURE = 0.5
"""IoU from which on a detection of low confidence may belong to a track."""
LEAST_SIMILARITY = 0.7
"""Cosine of two embeddings from which on a detection may be a track that it does not overlap."""
_MOST_DISTANT = 9.21  # squared distance of centers, the 99th percentile of chi-squared with 2 degrees
_MEMORY = 0.9  # of the embedding of a track
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class TrackerSettings:
    """When the tracker believes in a detection.

    Attributes:
        confident: Confidence from which on a detection takes part in the first association.
        unsure: Confidence from which on it takes part in the second one.
        new: Confidence from which on it begins a track.
        patience: Frames after which a track that is not found again ends.

    Example:
        >>> TrackerSettings().patience
        30
    """

    confident: float = 0.4
    unsure: float = 0.1
    new: float = 0.4
    patience: int = 30


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """The detections of one frame.

    Attributes:
        time: The number of the frame.
        boxes: Left, top, right and bottom, float64 ``[D, 4]``.
        confidences: float64 ``[D]``.
        embeddings: float64 ``[D, E]``, of unit length.

    Example:
        >>> FoundObjects(1, np.array([[0.0, 0, 4, 8]]), np.ones(1), np.ones((1, 1))).time
        1
    """

    time: int
    boxes: Values
    confidences: Values
    embeddings: Values


@dataclass(frozen=True, eq=False)
class TrackedObjects:
    """The objects of one frame that have an identity.

    Attributes:
        identities: int64 ``[m]``, numbers from 0 in order of appearance.
        boxes: float64 ``[m, 4]``.

    Example:
        >>> TrackedObjects(np.array([3]), np.array([[0.0, 0, 4, 8]])).identities.tolist()
        [3]
    """

    identities: npt.NDArray[np.int64]
    boxes: Values


@dataclass(eq=False)
class _Track:
    identity: int
    filter: BoxFilter
    embedding: Values
    seen: int

    def add(self, frame: FoundObjects, position: int, *, sure: bool) -> None:
        self.filter.update(frame.boxes[position])
        self.seen = frame.time
        if sure:
            mixed = _MEMORY * self.embedding + (1 - _MEMORY) * frame.embeddings[position]
            self.embedding = mixed / max(float(np.linalg.norm(mixed)), 1e-9)


def follow_objects(
    frames: Iterable[FoundObjects], settings: TrackerSettings | None = None
) -> list[TrackedObjects]:
    """Return the objects of each frame of a sequence, with identities.

    Tracks are predicted by a Kalman filter. Sure detections are assigned to tracks, also to lost ones, by
    the mean of overlap and cosine of embeddings, then unsure ones to the rest of the tracks of the last frame
    by overlap; both times by the Hungarian algorithm. What is left of the sure ones begins tracks. The
    association in two stages is that of Zhang et al., ByteTrack, ECCV 2022; embeddings as in FairMOT.

    Args:
        frames: The frames in order.
        settings: The thresholds.

    Example:
        >>> box, look = np.array([[0.0, 0, 4, 8]]), np.ones((1, 1))
        >>> frames = [FoundObjects(time, box + time, np.ones(1), look) for time in range(3)]
        >>> [found.identities.tolist() for found in follow_objects(frames)]
        [[0], [0], [0]]
    """
    chosen = settings or TrackerSettings()
    tracks: list[_Track] = []
    known, before, found = 0, None, []
    for frame in frames:
        for track in tracks:
            track.filter.predict(0 if before is None else frame.time - before)
        identities = np.full(len(frame.boxes), -1, dtype=np.int64)
        _assign(tracks, frame, identities, chosen, before)
        for position in np.flatnonzero((identities < 0) & (frame.confidences >= chosen.new)):
            identities[position] = known
            start = BoxFilter(frame.boxes[position])
            tracks.append(_Track(known, start, frame.embeddings[position], frame.time))
            known += 1
        tracks = [track for track in tracks if frame.time - track.seen <= chosen.patience]
        kept = identities >= 0
        found.append(TrackedObjects(identities[kept], frame.boxes[kept]))
        before = frame.time
    return found


def _assign(
    tracks: Sequence[_Track],
    frame: FoundObjects,
    identities: npt.NDArray[np.int64],
    settings: TrackerSettings,
    before: int | None,
) -> None:
    """Enter the identities of the detections that belong to tracks, and update these."""
    if not tracks or not len(frame.boxes):
        return
    overlaps = box_overlaps(np.stack([track.filter.box for track in tracks]), frame.boxes)
    looks = np.stack([track.embedding for track in tracks]) @ frame.embeddings.T
    near = np.stack([track.filter.distances(frame.boxes) for track in tracks]) <= _MOST_DISTANT
    sure = frame.confidences >= settings.confident
    allowed = (overlaps >= LEAST_OVERLAP) | (near & (looks >= LEAST_SIMILARITY))
    pairs = assigned_pairs((overlaps + looks.clip(min=0)) / 2, allowed & sure)
    left = np.ones(len(tracks), dtype=np.bool_)
    left[pairs[0]] = False
    unsure = (frame.confidences >= settings.unsure) & ~sure
    seen_last = np.array([track.seen == before for track in tracks]) & left
    fits = (overlaps >= LEAST_OVERLAP_OF_UNSURE) & unsure & seen_last[:, None]
    for found, is_sure in ((pairs, True), (assigned_pairs(overlaps, fits), False)):
        for track, position in zip(*found, strict=True):
            tracks[track].add(frame, int(position), sure=is_sure)
            identities[position] = tracks[track].identity


def assigned_pairs(scores: Values, allowed: Flags) -> Pairs:
    """Return the rows and columns of the pairs with the largest sum of scores, of those that are allowed.

    Args:
        scores: float64 ``[T, D]``, not negative.
        allowed: bool ``[T, D]``.

    Example:
        >>> assigned_pairs(np.array([[0.9, 0.8], [0.8, 0.1]]), np.array([[True, True], [True, False]]))
        (array([0, 1]), array([1, 0]))
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    rows, columns = linear_sum_assignment(np.where(allowed, scores, 0.0), maximize=True)
    kept = allowed[rows, columns]
    return rows[kept].astype(np.int64), columns[kept].astype(np.int64)


def box_overlaps(boxes: Values, others: Values) -> Values:
    """Return the IoU of boxes ``[T, 4]`` with others ``[D, 4]``, float64 ``[T, D]``.

    Example:
        >>> box_overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 0, 2, 1], [5.0, 5, 6, 6]])).tolist()
        [[0.5, 0.0]]
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas, sizes = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others))
    found: Values = shared / np.maximum(areas[:, None] + sizes[None] - shared, 1e-9)
    return found
