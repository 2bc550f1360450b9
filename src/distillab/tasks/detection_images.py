"""What detections find in single images, for people who look at pictures of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distillab.data.boxes import NO_BOX, Boxes, ignored
from distillab.tasks.arrays import Flags, Logits, Values
from distillab.tasks.detection_metrics import SURE, find_objects
from distillab.tasks.detections import detections_in


@dataclass(frozen=True, eq=False)
class ImageFindings:
    """The sure detections in one image, matched with its objects.

    Attributes:
        boxes: float64 ``[D, 6]``: left, top, right, bottom, confidence and class, the most confident first.
        found: bool ``[D]``, whether each has found an object of its class that no more confident one has.
        objects: Number of objects.

    Example:
        >>> one = ImageFindings(np.zeros((2, 6)), np.array([True, False]), objects=3)
        >>> one.missed, one.false, one.f1
        (2, 1, 0.4)
    """

    boxes: Values
    found: Flags
    objects: int

    @property
    def missed(self) -> int:
        """Number of objects that are not found."""
        return self.objects - int(self.found.sum())

    @property
    def false(self) -> int:
        """Number of detections that find no object."""
        return int((~self.found).sum())

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 if there is no object and nothing is found."""
        total = len(self.boxes) + self.objects
        return 2 * int(self.found.sum()) / total if total else 1.0


def image_findings(stored: Logits, boxes: Boxes, least: float = SURE) -> list[ImageFindings]:
    """Return the findings in each image, at an overlap of 0.5.

    A detection that finds no object and lies half in a box that is not counted is left out.

    Args:
        stored: Detections, ``[N, 600]``.
        boxes: The objects of the N images.
        least: Confidence below which a detection is left out.

    Example:
        >>> boxes = Boxes.of([[(0, 0, 0, 4, 4)]], classes=1)
        >>> stored = np.array([[0, 0, 4, 4, 0.9, 0, 5, 5, 6, 6, 0.2, 0]])
        >>> image_findings(stored, boxes)[0].f1
        1.0
    """
    pairs = zip(detections_in(stored), boxes.values.astype(np.float64), strict=True)
    return [_of_image(here, values, least) for here, values in pairs]


def _of_image(here: Values, values: Values, least: float) -> ImageFindings:
    here = here[(here[:, 5] != NO_BOX) & (here[:, 4] >= least)]
    found, counts = np.zeros(len(here), dtype=np.bool_), np.ones(len(here), dtype=np.bool_)
    for label in np.unique(here[:, 5]):
        mine = np.flatnonzero(here[:, 5] == label)
        wanted = values[values[:, 0] == label][:, 1:]
        crowd = values[values[:, 0] == ignored(int(label))][:, 1:]
        found[mine], counts[mine] = find_objects(here[mine][:, :4], wanted, crowd)
    return ImageFindings(here[counts], found[counts], int((values[:, 0] >= 0).sum()))
