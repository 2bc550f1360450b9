"""The objects that a network for tracking follows through frames, in pixels of each frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distillab.canonical import JsonObject
from distillab.data.examples import Items
from distillab.deploy.description import ModelDescription
from distillab.deploy.detected import DetectedBox
from distillab.deploy.detection_postprocessing import objects_of_cells
from distillab.deploy.detector_files import tracker_settings
from distillab.deploy.frames import require_same_size
from distillab.errors import RequestError
from distillab.tasks.tracker import ObjectTracker


@dataclass(frozen=True)
class TrackedBox(DetectedBox):
    """A box around an object that is followed.

    Attributes:
        id: The identity of the object: a number from 1, in order of appearance.

    Example:
        >>> TrackedBox("walker", 0.9, 0.0, 1.0, 8.0, 9.0, id=3).as_dict()["id"]
        3
    """

    id: int

    def as_dict(self) -> JsonObject:
        """Return the JSON form, with rounded numbers; the identity comes first."""
        return {"id": self.id, **super().as_dict()}


class FrameTracker:
    """Makes boxes with identities of the raw outputs for one frame after another.

    Args:
        description: What the model is.
    """

    def __init__(self, description: ModelDescription) -> None:
        self._description = description
        self._tracker = ObjectTracker(tracker_settings(description))
        self._size: tuple[int, int] | None = None

    def next_frame(
        self, cells: Items, size: tuple[int, int], where: str, *, least: float = 0.0, passed: int = 1
    ) -> tuple[TrackedBox, ...]:
        """Return the objects of the next frame, in order of their identities.

        Args:
            cells: Raw outputs for the frame, float32 ``[A, K + 42]``.
            size: Its height and width in pixels before it was resized.
            where: The frame, for messages.
            least: Confidence below which a box is left out. It is followed all the same.
            passed: Frames since the previous one: 1 if none is missing.

        Raises:
            RequestError: The frame is of another size than the first one, or an output is not finite.
        """
        self._size = self._size or size
        require_same_size(size, self._size, where)
        inputs = self._description.network_input
        [boxes], [looks] = objects_of_cells(cells[None], inputs.height, inputs.width)
        if not np.isfinite(boxes).all():
            raise RequestError("the network gives outputs that are not finite", where=where)
        rows = self._tracker.next_frame(boxes, looks, passed=passed)
        rows[:, :4] *= np.array([size[1] / inputs.width, size[0] / inputs.height] * 2)
        rows = rows[np.argsort(rows[:, 5])]
        [label] = self._description.classes
        return tuple(
            TrackedBox(label, confidence, left, top, right, bottom, int(number))
            for left, top, right, bottom, confidence, number in rows.tolist()
            if confidence >= least
        )


def require_tracker(description: ModelDescription, where: str | Path, what: str) -> None:
    """Raise RequestError unless a model follows objects.

    Args:
        description: What the model is.
        where: Its place, for messages.
        what: What needs such a model.
    """
    if not description.task_config().follows:
        raise RequestError(
            f"{what}, and this model follows no objects", where=str(where), allowed="a network for tracking"
        )
