"""The boxes that a detector finds in pictures, in pixels of each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distillab.canonical import JsonObject
from distillab.data.boxes import NO_BOX
from distillab.data.examples import Items
from distillab.deploy.description import ModelDescription
from distillab.deploy.detection_postprocessing import boxes_of_cells
from distillab.errors import RequestError

_DECIMALS = 2
"""Of coordinates in pixels that are printed; confidences have four."""


@dataclass(frozen=True)
class DetectedBox:
    """A box that a detector has found.

    Attributes:
        label: Its class.
        confidence: In [0, 1].
        left: Left edge in pixels of the picture.
        top: Top edge.
        right: Right edge.
        bottom: Bottom edge.

    Example:
        >>> DetectedBox("cell", 0.9, 0.0, 1.0, 8.0, 9.0).as_dict()["bottom"]
        9.0
    """

    label: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float

    def as_dict(self) -> JsonObject:
        """Return the JSON form, with rounded numbers."""
        values = asdict(self)
        edges = {name: round(values[name], _DECIMALS) for name in ("left", "top", "right", "bottom")}
        return {**values, "confidence": round(self.confidence, 4), **edges}


def detected_boxes(
    cells: Items, sizes: Sequence[tuple[int, int]], description: ModelDescription, least: float
) -> tuple[tuple[DetectedBox, ...], ...]:
    """Return the boxes in raw outputs, the most confident of a picture first.

    Args:
        cells: float32 ``[N, A, K + 10]``.
        sizes: Height and width of the N pictures before they were resized.
        description: What the detector is.
        least: Confidence below which a box is left out.

    Raises:
        RequestError: An output is not finite.
    """
    inputs = description.network_input
    found = boxes_of_cells(cells, inputs.height, inputs.width)
    if not np.isfinite(found).all():
        raise RequestError("the detector gives outputs that are not finite")
    each = []
    for rows, (height, width) in zip(found.astype(np.float64), sizes, strict=True):
        rows = rows[(rows[:, 5] != NO_BOX) & (rows[:, 4] >= least)]
        rows[:, :4] *= np.array([width / inputs.width, height / inputs.height] * 2)
        each.append(
            tuple(
                DetectedBox(description.classes[int(label)], confidence, *box)
                for *box, confidence, label in rows.tolist()
            )
        )
    return tuple(each)


def require_detector(description: ModelDescription, where: str | Path, what: str) -> None:
    """Raise RequestError unless a model is a detector.

    Args:
        description: What the model is.
        where: Its place, for messages.
        what: What needs a detector.
    """
    if not description.task_config().dense:
        raise RequestError(f"{what}, and this model finds none", where=str(where), allowed="a detector")


def refuse_detector(description: ModelDescription, where: str | Path, what: str) -> None:
    """Raise RequestError if a model is a detector.

    Args:
        description: What the model is.
        where: Its place, for messages.
        what: What does not work, the beginning of a sentence.
    """
    if description.task_config().dense:
        raise RequestError(
            f"{what} is about classes of whole images, and a detector finds boxes",
            where=str(where),
            allowed="a classifier; `predict`, `evaluate` and `benchmark` take detectors",
        )


def confidence_from(value: Any, where: str = "--confidence") -> float:
    """Return a confidence in [0, 1]. Raises RequestError for another value.

    Example:
        >>> confidence_from(2)
        Traceback (most recent call last):
        distillab.errors.RequestError: --confidence: 2 is no confidence (allowed: 0 to 1)
    """
    if not 0 <= value <= 1:
        raise RequestError(f"{value:g} is no confidence", where=where, allowed="0 to 1")
    return float(value)
