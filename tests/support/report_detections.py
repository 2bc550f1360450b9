"""A section on detections, built by hand."""

from __future__ import annotations

import numpy as np

from distillab.report.contents.detections import (
    ArmPrecision,
    BoxTile,
    ClassPrecision,
    DetectedImage,
    DetectionsView,
    DrawnBox,
)

NETWORKS = ("teacher", "plain student (ce)", "kd")
ROLES = ("teacher", "plain", "distilled")


def detections(classes: tuple[str, ...], *, boxes: int = 3, side: int = 64) -> DetectionsView:
    """Return two images with boxes of these classes, and the curves of three networks.

    Args:
        classes: Names of the classes.
        boxes: Boxes per image and network.
        side: Pixels per side of the images.
    """
    rng = np.random.default_rng(0)

    def drawn(count: int, *, has_confidence: bool) -> tuple[DrawnBox, ...]:
        found = []
        for number in range(count):
            left, top = rng.uniform(0, 0.6 * side, 2).tolist()
            label, confidence = number % len(classes), 0.9 - 0.5 * number / count
            edges = (left, top, left + 0.3 * side, top + 0.3 * side)
            shown = confidence if has_confidence else None
            found.append(DrawnBox(*edges, label, classes[label], shown, number % 2 == 0))
        return tuple(found)

    images = tuple(
        DetectedImage(
            rng.integers(0, 256, (3, side, side), dtype=np.uint8),
            f"test image {number}",
            "drawn at random",
            (
                BoxTile("ground truth", drawn(boxes, has_confidence=False)),
                *(BoxTile(each, drawn(boxes, has_confidence=True), "F1 0.50") for each in NETWORKS),
            ),
        )
        for number in range(2)
    )
    curve = tuple(np.linspace(1, 0, 101).tolist())
    arms = tuple(
        ArmPrecision(name, role, 2, 0.5, 0.01, curve) for name, role in zip(NETWORKS, ROLES, strict=True)
    )
    empty = tuple(ArmPrecision(each.name, each.role, 2, None, None, ()) for each in arms)
    known = [
        ClassPrecision(name, 10 * number, arms if number else empty) for number, name in enumerate(classes)
    ]
    return DetectionsView("fcos, seed 0", "fcos", "kd", 0.3, images, tuple(known))
