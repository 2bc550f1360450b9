"""Which track covers which object, frame by frame, and where objects change tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.data.boxes import NO_BOX
from distillab.data.tracks import NO_IDENTITY, Tracks
from distillab.tasks.arrays import Flags, Values
from distillab.tasks.tracker import TrackedObjects, assigned_pairs, box_overlaps

SAME_OBJECT = 0.5 - np.finfo(np.float64).eps
"""IoU from which on a track is the object, as in TrackEval."""
_GOES_ON = 1000.0  # what it is worth that a pair of the frame before goes on, as in TrackEval
_Identities = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MatchedFrame:
    """The tracks in a frame, matched with its objects.

    Attributes:
        tracks: Identities of the tracks, int64 ``[m]``.
        boxes: Their boxes, float64 ``[m, 4]``.
        objects: The object that each track covers, int64 ``[m]``; -1 for none.
        before: Where an object is covered by another track than the last time, that earlier track: an
            identity switch. int64 ``[m]``; -1 elsewhere.
        missed: The objects that no track covers, int64 ``[k]``.

    Example:
        >>> none = np.empty(0, np.int64)
        >>> MatchedFrame(none, np.empty((0, 4)), none, none, np.array([3])).switches
        0
    """

    tracks: _Identities
    boxes: Values
    objects: _Identities
    before: _Identities
    missed: _Identities

    @property
    def switches(self) -> int:
        """Number of identity switches."""
        return int((self.before >= 0).sum())


def matched_frames(
    found: Sequence[TrackedObjects], tracks: Tracks
) -> Iterator[tuple[_Identities, list[MatchedFrame]]]:
    """Yield the positions of the labelled images of each sequence, and what is matched in these.

    Pairs overlap by at least a half. A pair of the frame before goes on if it still does; else pairs have the
    largest sum of overlaps. Identity switches are those of MOTA (Bernardin and Stiefelhagen, 2008).

    Args:
        found: The objects that were found in each of N images, with identities.
        tracks: Their targets.

    Example:
        >>> box = np.array([[0.0, 0, 4, 8]])
        >>> found = [TrackedObjects(np.array([number]), box) for number in (0, 1)]
        >>> [(_, frames)] = matched_frames(found, Tracks.of([[(0, 0, 0, 4, 8, 7)]] * 2, 1))
        >>> [(frame.objects.tolist(), frame.before.tolist()) for frame in frames]
        [([7], [-1]), ([7], [0])]
    """
    for positions in tracks.sequences():
        known = positions[tracks.labelled[positions]]
        last: dict[int, int] = {}  # the track that covered each object the last time
        now: dict[int, int] = {}  # and in the frame before
        frames = []
        for position in known:
            frame = _matched(found[position], tracks.values[position], last, now)
            now = {
                int(obj): int(track)
                for obj, track in zip(frame.objects, frame.tracks, strict=True)
                if obj != NO_IDENTITY
            }
            last |= now
            frames.append(frame)
        yield known, frames


def _matched(
    found: TrackedObjects, values: npt.NDArray[np.float32], last: dict[int, int], now: dict[int, int]
) -> MatchedFrame:
    objects, overlaps, kept = counted_overlaps(found, values)
    tracks, boxes = found.identities[kept], found.boxes[kept]
    goes_on = np.array([[now.get(int(obj)) == track for track in tracks] for obj in objects])
    worth = overlaps + _GOES_ON * goes_on.reshape(overlaps.shape)
    rows, columns = assigned_pairs(worth, overlaps >= SAME_OBJECT)
    covered = np.full(len(tracks), NO_IDENTITY, dtype=np.int64)
    covered[columns] = objects[rows]
    before = np.full(len(tracks), -1, dtype=np.int64)
    for column in columns:
        earlier = last.get(int(covered[column]), int(tracks[column]))
        if earlier != tracks[column]:
            before[column] = earlier
    return MatchedFrame(tracks, boxes, covered, before, np.delete(objects, rows))


def counted_overlaps(
    found: TrackedObjects, values: npt.NDArray[np.float32]
) -> tuple[_Identities, Values, Flags]:
    """Return the objects of an image that count, and how far tracks overlap them.

    Tracks are left out where they match a box that is not counted, as in MOTChallenge.

    Args:
        found: The m objects that were found, with identities.
        values: The targets of the image, float32 ``[M, 6]``.

    Returns:
        The identities of the objects, int64 ``[k]``; IoU, float64 ``[k, n]``; and which tracks are kept, bool
        ``[m]``, n of them.
    """
    rows = values[values[:, 0] != NO_BOX].astype(np.float64)
    counted = (rows[:, 0] > NO_BOX) & (rows[:, 5] != NO_IDENTITY)
    overlap = box_overlaps(rows[:, 1:5], found.boxes)
    pairs = assigned_pairs(overlap, overlap >= SAME_OBJECT)
    kept = np.ones(len(found.boxes), dtype=np.bool_)
    kept[pairs[1][~counted[pairs[0]]]] = False
    return rows[counted, 5].astype(np.int64), overlap[counted][:, kept], kept
