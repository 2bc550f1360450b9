"""The tracker: it gives the objects that are found in the frames of a sequence their identities.

A copy of this file, ``tracks.py``, is in the folder of every exported network for tracking, where it needs
NumPy alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEAST_OVERLAP = 0.2
"""IoU of a track and a detection from which on they may be one object, whatever they look like."""
LEAST_OVERLAP_OF_UNSURE = 0.5
"""IoU from which on a detection of low confidence may belong to a track."""
LEAST_SIMILARITY = 0.7
"""Cosine of two embeddings from which on a detection may be a track that it does not overlap."""
_MOST_DISTANT = 9.21  # squared distance of centers, the 99th percentile of chi-squared with 2 degrees
_MEMORY = 0.9  # of the embedding of a track
_PLACE_NOISE = 1 / 20  # standard deviations in heights of the box (Wojke et al., DeepSORT, 2017)
_SPEED_NOISE = 1 / 160
_FIRST_SPEED_NOISE = 10 * _SPEED_NOISE  # of a box that was seen once
Places = npt.NDArray[np.int64]
Pairs = tuple[Places, Places]
_Values = npt.NDArray[np.float64]


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
    boxes: _Values
    confidences: _Values
    embeddings: _Values

    @classmethod
    def of_rows(cls, time: int, rows: npt.NDArray[Any], embeddings: npt.NDArray[Any]) -> FoundObjects:
        """Return the detections of one frame.

        Args:
            time: The number of the frame.
            rows: float ``[D, 6]``: left, top, right, bottom, confidence and class. Rows of a class below 0
                hold no detection.
            embeddings: float ``[D, E]``.
        """
        kept = rows[:, 5] >= 0
        found = rows[kept].astype(np.float64)
        return cls(time, found[:, :4], found[:, 4], embeddings[kept].astype(np.float64))


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

    identities: Places
    boxes: _Values


@dataclass(eq=False)
class _Track:
    identity: int
    filter: BoxFilter
    embedding: _Values
    seen: int

    def add(self, frame: FoundObjects, position: int, *, sure: bool) -> None:
        self.filter.update(frame.boxes[position])
        self.seen = frame.time
        if sure:
            mixed = _MEMORY * self.embedding + (1 - _MEMORY) * frame.embeddings[position]
            self.embedding = mixed / max(float(np.linalg.norm(mixed)), 1e-9)


class ObjectTracker:
    """Gives the detections of one frame after another their identities.

    Tracks are predicted by a Kalman filter. Sure detections are assigned to tracks, also to lost ones, by
    the mean of overlap and cosine of embeddings, then unsure ones to the rest of the tracks of the last frame
    by overlap; both times by the Hungarian algorithm. What is left of the sure ones begins tracks. The
    association in two stages is that of Zhang et al., ByteTrack, ECCV 2022; embeddings as in FairMOT.

    Args:
        settings: The thresholds.

    Example:
        >>> tracker = ObjectTracker()
        >>> rows, looks = np.array([[0.0, 0, 4, 8, 0.9, 0]]), np.ones((1, 1))
        >>> [float(tracker.next_frame(rows + shift, looks)[0, 5]) for shift in (0.0, 0.0)]
        [1.0, 1.0]
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._tracks: list[_Track] = []
        self._known = 0
        self._before: int | None = None

    def next_frame(
        self, rows: npt.NDArray[Any], embeddings: npt.NDArray[Any], *, passed: int = 1
    ) -> npt.NDArray[np.float64]:
        """Return the objects of the next frame that have an identity.

        Args:
            rows: float ``[D, 6]``: left, top, right, bottom, confidence and class; below 0 for no detection.
            embeddings: float ``[D, E]``, of unit length.
            passed: Frames since the previous one: 1 if none is missing.

        Returns:
            float64 ``[m, 6]``: left, top, right, bottom, confidence and identity. Identities are numbers from
            1, in order of appearance.
        """
        time = 0 if self._before is None else self._before + passed
        frame = FoundObjects.of_rows(time, rows, embeddings)
        identities = self.identities(frame)
        found = np.column_stack([frame.boxes, frame.confidences, identities + 1.0])
        return found[identities >= 0]

    def identities(self, frame: FoundObjects) -> Places:
        """Return the identity of each detection of the next frame, int64 ``[D]``.

        Args:
            frame: The detections.

        Returns:
            Numbers from 0 in order of appearance, -1 for a detection that is not taken for an object.
        """
        for track in self._tracks:
            track.filter.predict(0 if self._before is None else frame.time - self._before)
        identities = np.full(len(frame.boxes), -1, dtype=np.int64)
        _assign(self._tracks, frame, identities, self.settings, self._before)
        for position in np.flatnonzero((identities < 0) & (frame.confidences >= self.settings.new)):
            identities[position] = self._known
            start = BoxFilter(frame.boxes[position])
            self._tracks.append(_Track(self._known, start, frame.embeddings[position], frame.time))
            self._known += 1
        self._tracks = [track for track in self._tracks if frame.time - track.seen <= self.settings.patience]
        self._before = frame.time
        return identities


def follow_objects(
    frames: Iterable[FoundObjects], settings: TrackerSettings | None = None
) -> list[TrackedObjects]:
    """Return the objects of each frame of a sequence, with identities, by an :class:`ObjectTracker`.

    Args:
        frames: The frames in order.
        settings: The thresholds.

    Example:
        >>> box, look = np.array([[0.0, 0, 4, 8]]), np.ones((1, 1))
        >>> frames = [FoundObjects(time, box + time, np.ones(1), look) for time in range(3)]
        >>> [found.identities.tolist() for found in follow_objects(frames)]
        [[0], [0], [0]]
    """
    tracker, found = ObjectTracker(settings), []
    for frame in frames:
        identities = tracker.identities(frame)
        kept = identities >= 0
        found.append(TrackedObjects(identities[kept], frame.boxes[kept]))
    return found


def _assign(
    tracks: Sequence[_Track],
    frame: FoundObjects,
    identities: Places,
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


def assigned_pairs(scores: _Values, allowed: npt.NDArray[np.bool_]) -> Pairs:
    """Return the rows and columns of the pairs with the largest sum of scores, of those that are allowed.

    Args:
        scores: float64 ``[T, D]``, not negative.
        allowed: bool ``[T, D]``.

    Example:
        >>> assigned_pairs(np.array([[0.9, 0.8], [0.8, 0.1]]), np.array([[True, True], [True, False]]))
        (array([0, 1]), array([1, 0]))
    """
    rows, columns = np.flatnonzero(allowed.any(axis=1)), np.flatnonzero(allowed.any(axis=0))
    known = allowed[np.ix_(rows, columns)]
    worth = np.where(known, scores[np.ix_(rows, columns)], 0.0)
    if len(rows) <= len(columns):
        own, others = np.arange(len(rows)), _columns_of_rows(-worth)
    else:
        others, own = np.arange(len(columns)), _columns_of_rows(-worth.T)
        order = np.argsort(own)
        own, others = own[order], others[order]
    kept = known[own, others]
    return rows[own[kept]], columns[others[kept]]


def _columns_of_rows(costs: _Values) -> Places:
    """Return the column of each row in the assignment of least cost, int64 ``[R]``.

    Rows are assigned one after the other, each by the shortest augmenting path. Source: Crouse, "On
    implementing 2D rectangular assignment algorithms", IEEE Transactions on Aerospace and Electronic Systems
    52(4), 2016.

    Args:
        costs: float64 ``[R, C]`` with no more rows than columns.
    """
    count, width = costs.shape
    of_rows, of_columns = np.zeros(count), np.zeros(width)  # the dual variables
    row_of = np.full(width, -1)
    for row in range(count):
        lengths, before = np.full(width, np.inf), np.full(width, -1)
        reached = np.zeros(width, dtype=np.bool_)
        here, column, length = row, -1, 0.0
        while here >= 0:
            through = length + costs[here] - of_rows[here] - of_columns
            shorter = ~reached & (through < lengths)
            lengths[shorter], before[shorter] = through[shorter], column
            column = int(np.where(reached, np.inf, lengths).argmin())
            length, here = lengths[column], row_of[column]
            reached[column] = True
        of_rows[row] += length
        reached[column] = False
        of_rows[row_of[reached]] += length - lengths[reached]
        of_columns[reached] -= length - lengths[reached]
        while column >= 0:
            previous = before[column]
            row_of[column] = row if previous < 0 else row_of[previous]
            column = previous
    taken = np.flatnonzero(row_of >= 0)
    return taken[np.argsort(row_of[taken])]


def box_overlaps(boxes: _Values, others: _Values) -> _Values:
    """Return the IoU of boxes ``[T, 4]`` with others ``[D, 4]``, float64 ``[T, D]``.

    Example:
        >>> box_overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 0, 2, 1], [5.0, 5, 6, 6]])).tolist()
        [[0.5, 0.0]]
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas, sizes = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others))
    found: _Values = shared / np.maximum(areas[:, None] + sizes[None] - shared, 1e-9)
    return found


class BoxFilter:
    """The estimate of a box: center, width and height, each a place and a speed of its own.

    Source: Kalman, "A new approach to linear filtering and prediction problems", 1960, with the model of
    constant velocity. The four numbers do not depend on each other.

    Args:
        box: Left, top, right and bottom, float ``[4]``.

    Example:
        >>> estimate = BoxFilter(np.array([0.0, 0.0, 10.0, 20.0]))
        >>> for step in range(1, 30):
        ...     estimate.predict(1)
        ...     estimate.update(np.array([2.0 * step, 0.0, 2.0 * step + 10, 20.0]))
        >>> estimate.predict(5)
        >>> estimate.box.round().tolist()
        [68.0, 0.0, 78.0, 20.0]
    """

    def __init__(self, box: _Values) -> None:
        self.mean: _Values = np.stack([_coded(box), np.zeros(4)], axis=1)  # [4, 2], place and speed
        height = self.mean[3, 0]
        spread = np.diag([2 * _PLACE_NOISE * height, _FIRST_SPEED_NOISE * height]) ** 2
        self.covariance: _Values = np.tile(spread, (4, 1, 1))

    def predict(self, frames: float) -> None:
        """Move the estimate forward by some frames."""
        step = np.array([[1.0, frames], [0.0, 1.0]])
        height = self.mean[3, 0]
        noise = np.diag([_PLACE_NOISE * height, _SPEED_NOISE * height]) ** 2 * frames
        self.mean = self.mean @ step.T
        self.covariance = step @ self.covariance @ step.T + noise
        self.mean[2:, 0] = self.mean[2:, 0].clip(min=1.0)

    def update(self, box: _Values) -> None:
        """Correct the estimate by a box that was found."""
        gain = self.covariance[:, :, 0] / self._innovation[:, None]
        self.mean = self.mean + gain * (_coded(box) - self.mean[:, 0])[:, None]
        self.covariance = self.covariance - gain[:, :, None] * self.covariance[:, None, 0, :]

    @property
    def box(self) -> _Values:
        """Left, top, right and bottom, float64 ``[4]``."""
        center, half = self.mean[:2, 0], self.mean[2:, 0] / 2
        return np.concatenate([center - half, center + half])

    def distances(self, boxes: _Values) -> _Values:
        """Return the squared Mahalanobis distances of the centers of boxes ``[D, 4]``, ``[D]``."""
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        found: _Values = ((centers - self.mean[:2, 0]) ** 2 / self._innovation[:2]).sum(axis=1)
        return found

    @property
    def _innovation(self) -> _Values:
        """The variance of what is found around the estimate, ``[4]``."""
        variance: _Values = self.covariance[:, 0, 0] + (_PLACE_NOISE * self.mean[3, 0]) ** 2
        return variance


def _coded(box: _Values) -> _Values:
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
