"""Tracks: cut, joined and moved with their identities and their places in time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distillab.data import Boxes, Tracks, moved_boxes
from distillab.data.boxes import NO_BOX

TWO = Tracks.of([[(0, 1, 1, 5, 4, 3), (0, 2, 2, 6, 6, 1)], []], 1, np.array([[0, 4], [0, 6]]))
ONE = Tracks.of([[(0, 0, 0, 4, 4, 3)]], 1, np.array([[2, 1]]))


def test_frames_go_with_their_images() -> None:
    joined = TWO.joined(ONE)
    assert joined.frames.tolist() == [[0, 4], [0, 6], [2, 1]] and joined.labelled.all()
    assert joined.take(np.array([2, 0])).frames.tolist() == [[2, 1], [0, 4]]
    assert [each.tolist() for each in joined.sequences()] == [[0, 1], [2]]
    assert joined.identities == 4 and joined.counts.tolist() == [2]
    assert Tracks.from_arrays(joined.arrays(), 1).digest == joined.digest != TWO.digest


def test_the_digest_knows_identities_and_time() -> None:
    other = TWO.values.copy()
    other[0, 0, 5] = 9
    later = Tracks(TWO.values, 1, TWO.frames + 1)
    assert len({TWO.digest, TWO.with_values(other).digest, later.digest}) == 3


def test_plain_boxes_are_those_of_detection() -> None:
    assert type(TWO.plain) is Boxes and TWO.plain.values.shape == (2, 2, 5)
    assert TWO.plain.plain is not TWO and TWO.unknown(2).labelled.tolist() == [False, False]


def test_views_move_boxes_and_keep_identities() -> None:
    mirror = torch.tensor([[[-1.0, 0.0, 10.0], [0.0, 1.0, 0.0]]]).expand(2, -1, -1)
    moved = moved_boxes(torch.from_numpy(TWO.values), mirror, height=8, width=10)
    assert moved[0].tolist() == [[0, 5, 1, 9, 4, 3], [0, 4, 2, 8, 6, 1]]
    assert (moved[1, :, 0] == NO_BOX).all()


@pytest.mark.parametrize(
    ("rows", "frames", "message"),
    [
        ([[(0, 0, 0, 4, 4, 3), (0, 5, 5, 9, 9, 3)]], None, "an identity occurs twice in a frame"),
        ([[(0, 0, 0, 0, 4, 3)]], None, "a box has no area"),
        ([[(1, 0, 0, 4, 4, 3)]], None, "a box has no class among 1"),
        ([[(0, 0, 0, 4, 4, 3)]], np.zeros((2, 2), dtype=np.int64), r"the frames of 1 images are \[1, 2\]"),
    ],
)
def test_tracks_that_are_none_are_refused(
    rows: list[list[tuple[float, ...]]], frames: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Tracks.of(rows, 1, frames)
