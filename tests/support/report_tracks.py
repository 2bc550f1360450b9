"""A section on tracks, built by hand."""

from __future__ import annotations

import numpy as np

from distillab.report.contents.tracks import ShownFrame, TrackMark, TrackStrip, TracksView


def tracks(name: str = "kd", *, boxes: int = 3, side: int = 64) -> TracksView:
    """Return five frames with boxes of the objects, a teacher and a student, which switches identities.

    Args:
        name: The name of the student and of the sequence.
        boxes: Boxes per frame.
        side: Pixels per side of the frames.
    """
    rng = np.random.default_rng(0)
    frames = tuple(
        ShownFrame(rng.integers(0, 256, (3, side, side), dtype=np.uint8), f"frame {5 * number}")
        for number in range(5)
    )

    def marks(frame: int, *, switches: bool) -> tuple[TrackMark, ...]:
        found = []
        for number in range(boxes):
            left, top = (0.1 * number + 0.05 * frame) * side % (0.8 * side), 0.3 * side
            middle = left + 0.1 * side
            before = number + 11 if switches and number == frame else None
            trail = ((middle - 3, top), (middle, top + 0.4 * side))
            edges = (left, top, left + 0.2 * side, top + 0.4 * side)
            found.append(TrackMark(*edges, number + 1, number, number % 3 != 2, before, trail))
        return tuple(found)

    strips = tuple(
        TrackStrip(network, note, tuple(marks(frame, switches=network == name) for frame in range(5)))
        for network, note in (("ground truth", ""), ("teacher", "MOTA 60.0"), (name, "MOTA 50.0"))
    )
    return TracksView("fairmot, seed 0", name, min(5, boxes), frames, strips)
