"""Which track covers which object: pairs that go on, identity switches, and what is missed."""

from __future__ import annotations

import numpy as np
import pytest

from distillab.data.boxes import ignored
from distillab.data.tracks import Tracks
from distillab.sources.drawn_tracks import DrawnTracks
from distillab.tasks.track_matches import MatchedFrame, matched_frames
from distillab.tasks.tracker import TrackedObjects
from distillab.tasks.tracking_metrics import tracking_metrics
from support.tracker_worlds import disturbed

BOX = (0.0, 0.0, 4.0, 8.0)


def at(*numbers: int, shift: float = 0.0) -> TrackedObjects:
    """Return tracks of these numbers, all at one place."""
    return TrackedObjects(
        np.array(numbers, dtype=np.int64), np.array([BOX] * len(numbers)).reshape(-1, 4) + shift
    )


def matched(found: list[TrackedObjects], targets: Tracks) -> list[MatchedFrame]:
    [(_, frames)] = matched_frames(found, targets)
    return frames


@pytest.mark.parametrize("number", [1, 2])
def test_switches_are_those_of_trackeval(number: int) -> None:
    sequence = DrawnTracks(frames=60, walkers=5, resolution=96).drawn("test", number)
    targets = Tracks.of(
        [[(0, *each.box, each.identity) for each in objects] for objects in sequence.objects], 1
    )
    found = disturbed(sequence)
    frames = matched(found, targets)
    objects = sum(map(len, sequence.objects))
    measured = tracking_metrics(found, targets)
    switches = sum(frame.switches for frame in frames)
    assert switches > 0 and measured["id_switches"] * objects == pytest.approx(switches)
    missed = sum(len(frame.missed) for frame in frames)
    false = sum(int((frame.objects < 0).sum()) for frame in frames)
    assert measured["mota"] == pytest.approx(1 - (switches + missed + false) / objects)


def test_a_switch_names_the_track_that_covered_the_object_last() -> None:
    targets = Tracks.of([[(0, *BOX, 7)]] * 5, 1)
    frames = matched([at(3), at(), at(4), at(4), at(3)], targets)
    assert [frame.before.tolist() for frame in frames] == [[-1], [], [3], [-1], [4]]
    assert [frame.missed.tolist() for frame in frames] == [[], [7], [], [], []]


def test_a_pair_goes_on_though_another_track_overlaps_more() -> None:
    targets = Tracks.of([[(0, *BOX, 7)]] * 2, 1)
    both = TrackedObjects(np.array([1, 2]), np.array([[0.0, 0, 4, 7], [0.0, 0, 4, 8]]))
    frames = matched([TrackedObjects(np.array([1]), np.array([BOX])), both], targets)
    assert frames[1].objects.tolist() == [7, -1] and frames[1].switches == 0


def test_tracks_of_what_is_not_counted_are_left_out() -> None:
    targets = Tracks.of([[(ignored(0), *BOX, 2)]], 1)
    [frame] = matched([at(1)], targets)
    assert len(frame.tracks) == len(frame.missed) == 0


def test_sequences_are_matched_apart() -> None:
    targets = Tracks.of([[(0, *BOX, 0)], [(0, *BOX, 1)]] * 2, 1, np.array([[0, 0], [1, 0], [0, 1], [1, 1]]))
    found = [at(0), at(1), at(0), at(1)]
    assert [
        (known.tolist(), [f.switches for f in frames]) for known, frames in matched_frames(found, targets)
    ] == [
        ([0, 2], [0, 0]),
        ([1, 3], [0, 0]),
    ]
