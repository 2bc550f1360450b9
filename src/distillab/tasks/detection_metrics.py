"""Metrics of detections: average precision as in COCO, what each image adds to it, and agreement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distillab.data.boxes import NO_BOX, Boxes, ignored
from distillab.extras import import_extra
from distillab.tasks.arrays import Flags, GroupArray, Logits, Values
from distillab.tasks.detections import Detections, detections_in

OVERLAP = 0.5
"""IoU from which on a detection has found an object, for AP50 and agreement."""
SURE = 0.3
"""Confidence from which on a detection counts in the agreement of two detectors."""
RECALLS = np.linspace(0, 1, 101)
"""The recalls at which precision is read, as in COCO."""
_OVERLAPS = np.linspace(0.5, 0.95, 10).tolist()


@dataclass(frozen=True, eq=False)
class MatchedClass:
    """The detections of one class in some images, matched with its objects at one overlap.

    Attributes:
        images: int64 ``[D]``, the image of each detection, the most confident first.
        found: bool ``[D]``, whether each has found an object that no more confident one has.
        objects: int64 ``[N]``, objects per image.

    Example:
        >>> images, found = np.array([0, 1]), np.array([True, False])
        >>> MatchedClass(images, found, np.array([1, 1])).average_precision()
        0.504...
    """

    images: npt.NDArray[np.int64]
    found: Flags
    objects: npt.NDArray[np.int64]

    def average_precision(self, without: int | None = None) -> float:
        """Return the mean precision at 101 recalls, as in COCO; NaN without an object.

        Args:
            without: An image that is left out.
        """
        return float(self.precisions(without).mean())

    def precisions(self, without: int | None = None) -> Values:
        """Return the largest precision at each of 101 recalls from 0 to 1, or at a higher one; NaN without
        an object.

        Args:
            without: An image that is left out.

        Returns:
            float64 ``[101]``.
        """
        total, found = int(self.objects.sum()), self.found
        if without is not None:
            total, found = total - int(self.objects[without]), found[self.images != without]
        if not total:
            return np.full(len(RECALLS), np.nan)
        true = np.cumsum(found)
        recall, precision = true / total, true / np.arange(1, len(found) + 1)
        best: Values = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        return best[np.searchsorted(recall, RECALLS, side="left")]


def matched_classes(stored: Logits, boxes: Boxes) -> list[MatchedClass]:
    """Return the matches of each class at an overlap of 0.5, over the labelled images.

    Each detection, the most confident first, finds the object with the largest overlap that no other has
    found. One that finds none, and lies half in a box that is not counted, is left out.

    Args:
        stored: Detections, ``[N, 600]``.
        boxes: The objects of the N images.
    """
    known = np.flatnonzero(boxes.labelled)
    detections, values = detections_in(stored[known]), boxes.values[known].astype(np.float64)
    return [_matched(detections, values, label) for label in range(boxes.classes)]


def average_precisions(stored: Logits, boxes: Boxes) -> Values:
    """Return the average precision of each class at an overlap of 0.5 (AP50), NaN for one without objects.

    Example:
        >>> boxes = Boxes.of([[(0, 0, 0, 4, 4)], [(0, 2, 2, 6, 6)]], classes=2)
        >>> stored = np.array([[0, 0, 4, 4, 0.9, 0], [2, 2, 6, 6, 0.8, 0]])
        >>> average_precisions(stored, boxes)
        array([ 1., nan])
    """
    return np.array([each.average_precision() for each in matched_classes(stored, boxes)])


def mean_ap50(stored: Logits, boxes: Boxes) -> float:
    """Return the mean of :func:`average_precisions` over the classes that have objects; 0 if none has."""
    return _mean(average_precisions(stored, boxes))


def ap50_contributions(stored: Logits, boxes: Boxes) -> Values:
    """Return jackknife pseudo-values of the mean AP50, one per labelled image, float64 ``[n]``.

    n AP - (n - 1) AP without the image, moved so that their mean is AP: their variance over n is that of AP
    over samples of images, to first order (Efron and Stein, 1981).
    """
    classes = [each for each in matched_classes(stored, boxes) if each.objects.any()]
    count = int(boxes.labelled.sum())
    whole = _mean(np.array([each.average_precision() for each in classes]))
    if count < 2:
        return np.full(count, whole)
    without = np.array(
        [_mean(np.array([each.average_precision(image) for each in classes])) for image in range(count)]
    )
    values = count * whole - (count - 1) * without
    moved: Values = values - values.mean() + whole
    return moved


def group_ap50(stored: Logits, boxes: Boxes, groups: GroupArray) -> dict[int, float]:
    """Return the mean AP50 of the images of each group that occurs; NaN for one without objects."""
    found = {}
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        here = boxes.take(rows)
        found[int(group)] = mean_ap50(stored[rows], here) if here.objects.any() else float("nan")
    return found


def coco_metrics(stored: Logits, boxes: Boxes) -> dict[str, float]:
    """Return the metrics of COCO over the labelled images, by torchmetrics; NaN where they are not defined.

    ``map`` is the mean over ten overlaps from 0.5 to 0.95, ``ap75`` that at 0.75; small objects have an area
    below 32 x 32 pixels of the stored image, and large ones above 96 x 96. ``recall`` is the largest share of
    objects that 100 detections per image find, over the ten overlaps.

    Raises:
        RequestError: The packages of the extra ``detection`` are not installed.
    """
    metric = coco_metric()
    known = np.flatnonzero(boxes.labelled)
    for found, values in zip(detections_in(stored[known]), boxes.values[known], strict=True):
        found = found[found[:, 5] != NO_BOX]
        values = values[values[:, 0] != NO_BOX]
        labels = values[:, 0].astype(np.int64)
        crowd = labels < NO_BOX
        metric.update(
            [
                {
                    "boxes": torch.from_numpy(found[:, :4].astype(np.float32)),
                    "scores": torch.from_numpy(found[:, 4].astype(np.float32)),
                    "labels": torch.from_numpy(found[:, 5].astype(np.int64)),
                }
            ],
            [
                {
                    "boxes": torch.from_numpy(values[:, 1:].copy()),
                    "labels": torch.from_numpy(np.where(crowd, ignored(0) - labels, labels)),
                    "iscrowd": torch.from_numpy(crowd.astype(np.int64)),
                }
            ],
        )
    measured = {key: float(value) for key, value in metric.compute().items() if value.numel() == 1}
    columns = {
        "map": "map",
        "ap75": "map_75",
        "map_small": "map_small",
        "map_medium": "map_medium",
        "map_large": "map_large",
        "recall": "mar_100",
    }
    return {column: measured[key] if measured[key] >= 0 else float("nan") for column, key in columns.items()}


def coco_metric() -> Any:
    """Return an empty metric of torchmetrics.

    Raises:
        RequestError: The packages of the extra ``detection`` are not installed.
    """
    import_extra("faster_coco_eval", "detection", "the task detection", where="task")
    module = import_extra("torchmetrics.detection", "detection", "the task detection", where="task")
    # By default its thresholds are rounded to float32, and no recall of 3 / 10 reaches 0.3.
    return module.MeanAveragePrecision(
        iou_thresholds=_OVERLAPS, rec_thresholds=RECALLS.tolist(), backend="faster_coco_eval"
    )


def detection_fidelity(student: Logits, teacher: Logits) -> dict[str, float]:
    """Return ``agreement``: of the sure detections of two detectors, the share that both have (F1).

    Two are the same if they are of one image and class and overlap by half; each is counted once.
    """
    own, other = detections_in(student), detections_in(teacher)
    both = total = 0
    for here, there in zip(own, other, strict=True):
        here, there = (each[(each[:, 5] != NO_BOX) & (each[:, 4] >= SURE)] for each in (here, there))
        total += len(here) + len(there)
        for label in np.unique(there[:, 5]):
            boxes = there[there[:, 5] == label][:, :4]
            both += int(find_objects(here[here[:, 5] == label][:, :4], boxes, np.empty((0, 4)))[0].sum())
    return {"agreement": 2 * both / total if total else 1.0}


def _matched(detections: Detections, values: npt.NDArray[np.float64], label: int) -> MatchedClass:
    images, scores, found, objects = [], [], [], np.zeros(len(values), dtype=np.int64)
    for image, (here, boxes) in enumerate(zip(detections, values, strict=True)):
        here = here[here[:, 5] == label]
        wanted = boxes[boxes[:, 0] == label][:, 1:]
        crowd = boxes[boxes[:, 0] == ignored(label)][:, 1:]
        objects[image] = len(wanted)
        true, counts = find_objects(here[:, :4], wanted, crowd)
        found.append(true[counts])
        scores.append(here[counts, 4])
        images.append(np.full(int(counts.sum()), image))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return MatchedClass(np.concatenate(images)[order], np.concatenate(found)[order], objects)


def find_objects(
    boxes: Values, wanted: Values, crowd: Values, overlap: float = OVERLAP
) -> tuple[Flags, Flags]:
    """Return which boxes, in order, find an object that no earlier one has, and which count at all.

    Args:
        boxes: Detections of one class in one image, ``[D, 4]``, the most confident first.
        wanted: The objects, ``[M, 4]``.
        crowd: Boxes that are not counted, ``[L, 4]``: a detection that finds no object and lies half in one
            of them does not count.
        overlap: IoU from which on an object is found.

    Returns:
        Two arrays, bool ``[D]``.

    Example:
        >>> boxes, none = np.array([[0.0, 0, 4, 4], [0, 0, 4, 3]]), np.empty((0, 4))
        >>> find_objects(boxes, boxes[:1], none)[0].tolist()
        [True, False]
    """
    true, counts = np.zeros(len(boxes), dtype=np.bool_), np.ones(len(boxes), dtype=np.bool_)
    shared, areas, sizes = _shared(boxes, wanted)
    overlaps = shared / np.maximum(areas[:, None] + sizes[None] - shared, 1e-9)
    free = np.ones(len(wanted), dtype=np.bool_)
    covered = (_shared(boxes, crowd)[0] / np.maximum(areas[:, None], 1e-9)).max(axis=1, initial=0)
    for place, row in enumerate(overlaps):
        row = np.where(free, row, -1.0)
        if len(row) and row.max() >= overlap:
            # Of equal overlaps, the last one, as in COCO.
            free[len(row) - 1 - int(row[::-1].argmax())] = False
            true[place] = True
        else:
            counts[place] = covered[place] < OVERLAP
    return true, counts


def _shared(boxes: Values, others: Values) -> tuple[Values, Values, Values]:
    """The areas that boxes ``[D, 4]`` share with others ``[M, 4]``, ``[D, M]``, and those of both."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others)]
    return np.clip(high - low, 0, None).prod(axis=2), areas[0], areas[1]


def _mean(values: Values) -> float:
    """Return the mean over values that are not NaN; 0 if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else 0.0
