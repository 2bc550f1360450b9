"""What is written of tracks: a table, a file of MOTChallenge, pictures with trails, and an animation."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from PIL import Image

from distillab.deploy.detecting import FileDetections
from distillab.deploy.detection_outputs import DetectionOutputs, require_place, unwritable
from distillab.deploy.tracked import TrackedBox
from distillab.modalities.image.box_pictures import ColoredBox
from distillab.modalities.image.track_pictures import ColoredTrail, draw_tracks

TRAIL_FRAMES = 20
"""Frames over which it is drawn where an object was."""


@dataclass
class TrackOutputs(DetectionOutputs):
    """Writes tracks, frame by frame; the tables and the animation appear at the end.

    Attributes:
        tracks: A text file of MOTChallenge with one row per box; None for none.

    Example:
        >>> TrackOutputs(("walker",), tracks=Path("no/tracks.txt")).check([], [])
        Traceback (most recent call last):
        distillab.errors.RequestError: --mot: no/tracks.txt cannot be written (allowed: ...
    """

    columns: ClassVar[tuple[str, ...]] = (
        *("file", "id", "label", "confidence"),
        *("left", "top", "right", "bottom"),
    )

    tracks: Path | None = None
    _lines: list[str] = field(default_factory=list)
    _frame: int = 0
    _trails: dict[int, deque[tuple[int, float, float]]] = field(default_factory=dict)

    def check(self, named: Sequence[Path], files: Sequence[Path]) -> None:
        """Raise RequestError if something cannot be written, before anything is computed."""
        require_place("--mot", self.tracks)
        super().check(named, files)

    def add(self, found: FileDetections) -> None:
        """Write what was found in a frame.

        Raises:
            RequestError: Its picture cannot be written.
        """
        self._frame += 1
        for box in found.boxes:
            assert isinstance(box, TrackedBox)
            self._lines.append(mot_line(self._frame, box))
            trail = self._trails.setdefault(box.id, deque(maxlen=TRAIL_FRAMES))
            trail.append((self._frame, (box.left + box.right) / 2, box.bottom))
        super().add(found)

    def finish(self) -> None:
        """Write the tables and the animation.

        Raises:
            RequestError: One of them cannot be written.
        """
        if self.tracks is not None:
            try:
                self.tracks.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")
            except OSError as error:
                raise unwritable("--mot", self.tracks, error) from error
        super().finish()

    def drawn(self, picture: Image.Image, found: FileDetections) -> Image.Image:
        """Return a frame with its boxes, one color per object, and where each was before."""
        colored = self.colored(found)
        return draw_tracks(picture, colored, [self._trail(box.color + 1) for box in colored])

    def colored(self, found: FileDetections) -> list[ColoredBox]:
        """Return the boxes of a frame with the colors and the numbers of their objects."""
        return [
            ColoredBox(box.left, box.top, box.right, box.bottom, box.id - 1, str(box.id))
            for box in found.boxes
            if isinstance(box, TrackedBox)
        ]

    def _trail(self, number: int) -> ColoredTrail:
        recent = self._frame - TRAIL_FRAMES
        places = tuple((x, y) for frame, x, y in self._trails[number] if frame > recent)
        return ColoredTrail(places, number - 1)


def mot_line(frame: int, box: TrackedBox) -> str:
    """Return the row of a box in a file of MOTChallenge, whose coordinates count pixels from 1.

    Args:
        frame: The number of the frame, from 1.
        box: The box.

    Example:
        >>> mot_line(1, TrackedBox("walker", 0.9, 0.0, 1.0, 8.0, 9.0, id=3))
        '1,3,1.00,2.00,8.00,8.00,0.9000,-1,-1,-1'
    """
    place = f"{box.left + 1:.2f},{box.top + 1:.2f},{box.right - box.left:.2f},{box.bottom - box.top:.2f}"
    return f"{frame},{box.id},{place},{box.confidence:.4f},-1,-1,-1"
