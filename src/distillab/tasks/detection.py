"""Detection: objects of an image, each a class and a box."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from distillab.data.boxes import Boxes
from distillab.data.targets import Targets
from distillab.errors import RequestError
from distillab.tasks.arrays import GroupArray, Logits, Values
from distillab.tasks.detection_losses import detection_divergence, detection_loss
from distillab.tasks.detection_metrics import (
    ap50_contributions,
    average_precisions,
    coco_metric,
    coco_metrics,
    detection_fidelity,
    group_ap50,
    mean_ap50,
)
from distillab.tasks.detections import find_boxes
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.mixed_labels import Mixed, mean_over_labelled
from distillab.tasks.task import Task, task

NOT_JUDGED = "Neither the calibration of confidences nor the kinds of mistakes are judged."
"""What a report on detectors lacks."""

_quality = partial(Metric, uses_study_margin=True)


@task("detection")
class Detection(Task):
    """Objects of an image, each a class and a box: the loss of the detector, average precision.

    Networks are detectors (``fcos_...``, ``retinanet_...``). Arguments called ``logits`` are the outputs of a
    detector for its cells in :meth:`loss` and :meth:`divergence`, float ``[N, A, K + 10]``
    (:mod:`distillab.tasks.dense_outputs`). Stored are the 100 most confident boxes of an image, float16
    ``[N, 600]`` (:mod:`distillab.tasks.detections`), and ``logits`` are these in all other methods.

    Attributes:
        box_weight: Weight of the boxes in :meth:`divergence`, which is what ``kd`` adds to the loss.

    Example:
        >>> made = Detection()
        >>> made.primary, made.targets.__name__, made.head_width(3)
        ('ap50', 'Boxes', 3)
        >>> found = np.array([[0, 0, 4, 4, 0.9, 0]])
        >>> made.score(found, Boxes.of([[(0, 0, 0, 4, 4)]], classes=1))
        1.0
    """

    primary: ClassVar[str] = "ap50"
    metrics: ClassVar[MetricTable] = MetricTable(
        [
            *_quality("ap50", "average precision at an overlap of 0.5", "AP50", brief=True).with_selected(),
            _quality("map", "mean average precision over overlaps", "mAP (0.5 to 0.95)", brief=True),
            _quality("ap75", "average precision at an overlap of 0.75", "AP75"),
            _quality("map_small", "mean average precision of small objects", "mAP, small"),
            _quality("map_medium", "mean average precision of medium objects", "mAP, medium"),
            _quality("map_large", "mean average precision of large objects", "mAP, large"),
            _quality("recall", "recall of 100 detections per image", "Recall"),
            _quality("worst_class_ap50", "AP50 of the worst class", "Worst class", brief=True),
            _quality("worst_group_ap50", "AP50 of the worst group", "Worst group"),
            Metric(
                "agreement",
                "agreement with the teacher",
                "Agreement with teacher",
                margin=0.01,
                kind="fidelity",
                brief=True,
            ),
        ],
        per_test=["ap50", "worst_group_ap50"],
    )
    targets: ClassVar[type[Targets]] = Boxes
    class_metric: ClassVar[Metric] = _quality("class_ap50", "AP50 of the class", "AP50 of the class")
    worst_group: ClassVar[str] = "worst_group_ap50"
    dense: ClassVar[bool] = True

    box_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0

    def check_classes(self, classes: int) -> None:
        """Raise RequestError if the packages that measure detections are not installed."""
        coco_metric()

    def head_width(self, classes: int) -> int:
        """Return ``classes``: one logit per class and cell."""
        return classes

    def loss(
        self, logits: Tensor, labels: Tensor, *, mixed: Mixed | None = None, smoothing: float = 0.0
    ) -> Tensor:
        """Return the loss of the detector for each image, see :meth:`box_loss`, ``[N]``.

        Raises:
            ValueError: Images are mixed, or labels smoothed.
        """
        if mixed is not None or smoothing:
            raise ValueError("boxes are neither mixed nor smoothed")
        return mean_over_labelled(partial(self.box_loss, logits), labels, None)

    def box_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of labelled images, see :func:`detection_loss`, ``[N]``."""
        return detection_loss(logits, labels[..., : Boxes.columns])

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return the divergence of classes and boxes where the teacher sees objects, ``[N]``.

        See :func:`detection_divergence`.
        """
        return detection_divergence(student, teacher, temperature, self.box_weight)

    def to_store(self, outputs: Tensor, height: int, width: int) -> Tensor:
        """Return the 100 most confident boxes of each image, ``[N, 600]``."""
        return find_boxes(outputs, height, width)

    def score(self, logits: Logits, targets: Targets) -> float:
        """Return the mean AP50 of the classes."""
        return mean_ap50(logits, _boxes(targets))

    def contributions(self, logits: Logits, targets: Targets) -> Values:
        """Return pseudo-values of the mean AP50; see :func:`ap50_contributions`."""
        return ap50_contributions(logits, _boxes(targets))

    def measure(
        self,
        logits: Logits,
        targets: Targets,
        *,
        groups: GroupArray | None = None,
        val: tuple[Logits, Targets] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of COCO, and AP50 of the worst class and group; ``val`` is not used."""
        by_class = self.per_class(logits, targets)
        by_group = {} if groups is None else self.per_group(logits, targets, groups)
        return {
            "ap50": self.score(logits, targets),
            **coco_metrics(logits, _boxes(targets)),
            "worst_class_ap50": float(np.fmin.reduce(by_class)),
            "worst_group_ap50": float(np.fmin.reduce(list(by_group.values()), initial=np.nan)),
        }

    def per_class(self, logits: Logits, targets: Targets) -> Values:
        """Return the AP50 of each class."""
        return average_precisions(logits, _boxes(targets))

    def per_group(self, logits: Logits, targets: Targets, groups: GroupArray) -> dict[int, float]:
        """Return the mean AP50 within each group; NaN for one without objects."""
        return group_ap50(logits, _boxes(targets), groups)

    def undefined_classes(self, targets: Targets) -> int:
        """Return how many classes have no object."""
        return int((targets.counts == 0).sum())

    def check_test(self, targets: Targets, classes: Sequence[str], test: str) -> tuple[str, ...]:
        """Return a note on what is not judged.

        Raises:
            RequestError: No image of the test set has an object.
        """
        if not targets.counts.any():
            raise RequestError(
                f"no image of {test} has an object", where="task", allowed="a test set with objects"
            )
        return (NOT_JUDGED,)

    def fidelity(self, student: Logits, teacher: Logits) -> dict[str, float]:
        """Return ``agreement`` as :func:`detection_fidelity` does."""
        return detection_fidelity(student, teacher)


def _boxes(targets: Targets) -> Boxes:
    if not isinstance(targets, Boxes):
        raise TypeError(f"the targets are {targets.kind}, not boxes")
    return targets.plain
