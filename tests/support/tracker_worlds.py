"""Perfect detections of drawn worlds, and tracks with mistakes in them."""

from __future__ import annotations

import numpy as np

from distillab.sources.drawn_tracks import DrawnSequence
from distillab.tasks.tracker import FoundObjects, TrackedObjects

_MOST_WALKERS = 20


def found_in(sequence: DrawnSequence, *, alike: bool = False) -> list[FoundObjects]:
    """Return perfect detections of a drawn sequence; with ``alike``, all walkers look the same."""
    frames = []
    for time, objects in enumerate(sequence.objects):
        looks = np.zeros((len(objects), _MOST_WALKERS))
        looks[np.arange(len(objects)), [0 if alike else each.identity for each in objects]] = 1
        boxes = np.array([each.box for each in objects]).reshape(-1, 4)
        frames.append(FoundObjects(time, boxes, np.ones(len(objects)), looks))
    return frames


def disturbed(sequence: DrawnSequence) -> list[TrackedObjects]:
    """Return tracks of a sequence with mistakes of every kind: moved, missing, too many, exchanged."""
    rng = np.random.default_rng(0)
    found = []
    for time, objects in enumerate(sequence.objects):
        kept = [each for each in objects if rng.random() > 0.15]
        moved = np.array([each.box for each in kept]).reshape(-1, 4) + rng.normal(0, 1.0, (len(kept), 4))
        numbers = [each.identity + (10 if time > 30 and each.identity == 1 else 0) for each in kept]
        extra = rng.uniform(0, 60, (1, 2))
        boxes = np.concatenate([moved, np.concatenate([extra, extra + np.array([8, 16])], axis=1)])
        found.append(TrackedObjects(np.array([*numbers, 99]), boxes))
    return found
