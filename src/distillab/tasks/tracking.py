"""Tracking: the objects of the frames of a sequence, and which of them are one and the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from distillab.data.targets import Targets
from distillab.data.tracks import Tracks
from distillab.errors import RequestError
from distillab.tasks.arrays import GroupArray, Logits
from distillab.tasks.detection import Detection
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.task import task
from distillab.tasks.tracked_outputs import find_tracked
from distillab.tasks.tracker import TrackerSettings
from distillab.tasks.tracking_losses import IdentityLoss, tracking_loss
from distillab.tasks.tracking_metrics import follow_stored, trackeval_metrics, tracking_metrics

ONE_SCENE = (
    "All test frames are of one sequence: intervals are for its frames, and say nothing about other scenes."
)
_quality = partial(Metric, uses_study_margin=True)
_Confidence = Annotated[float, Field(ge=0, le=1, strict=True)]


@task("tracking")
class Tracking(Detection):
    """Objects in the frames of a sequence and their identities: centers, boxes, embeddings; MOTA, IDF1, HOTA.

    Networks are those for tracking (``fairmot_...``). Conclusions and the epoch that is selected on val rest
    on AP50, as in detection: MOTA can be negative while a network learns. A tracker of the package gives the
    objects that are found their identities, in the order of the frames; the metrics of tracks are
    TrackEval's. Stored are the 100 most confident boxes of a frame with their embeddings, float16
    ``[N, 3800]`` (:mod:`distillab.tasks.tracked_outputs`).

    Attributes:
        box_weight: Weight of the boxes in :meth:`divergence`, which is what ``kd`` adds to the loss.
        identity_weight: Weight of the cross-entropy of identities.
        confident: Confidence from which on the tracker takes a detection for an object.
        unsure: Confidence from which on a detection may continue a track of the last frame.
        patience: Frames after which a track that is not found again ends.

    Example:
        >>> made = Tracking()
        >>> made.primary, made.targets.__name__, [name for name in made.metrics if "a" in name][-3:]
        ('ap50', 'Tracks', ['hota', 'deta', 'assa'])
    """

    metrics: ClassVar[MetricTable] = MetricTable(
        [
            *Detection.metrics.values(),
            _quality("mota", "multi-object tracking accuracy", "MOTA", brief=True),
            _quality("idf1", "F1 of identities", "IDF1", brief=True),
            _quality("hota", "higher-order tracking accuracy", "HOTA", brief=True),
            _quality("deta", "detection accuracy within HOTA", "DetA"),
            _quality("assa", "association accuracy within HOTA", "AssA"),
            Metric(
                "id_switches", "identity switches per object", "Identity switches", higher_is_better=False
            ),
        ],
        per_test=Detection.metrics.per_test,
    )
    targets: ClassVar[type[Targets]] = Tracks
    follows: ClassVar[bool] = True

    identity_weight: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] = 0.5
    confident: _Confidence = 0.4
    unsure: _Confidence = 0.1
    patience: Annotated[int, Field(ge=0)] = 30

    @property
    def tracker(self) -> TrackerSettings:
        """The thresholds of the tracker."""
        return TrackerSettings(self.confident, self.unsure, self.confident, self.patience)

    def check_classes(self, classes: int) -> None:
        """Raise RequestError if a package that measures tracks is missing, or there are several classes."""
        super().check_classes(classes)
        trackeval_metrics()
        if classes > 1:
            raise RequestError(
                f"objects of one class are tracked, and there are {classes}",
                where="task",
                allowed="data of one class, or task: detection",
            )

    def box_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of centers and boxes of labelled images, see :func:`tracking_loss`, ``[N]``."""
        return tracking_loss(logits, labels)

    def learned_loss(self, labels: Tensor) -> nn.Module | None:
        """Return the classifier of the identities of the training examples; None for fewer than two."""
        known = labels[..., 5][labels[..., 0] >= 0]
        identities = int(known.max()) + 1 if len(known) else 0
        return IdentityLoss(identities, self.identity_weight) if identities > 1 else None

    def to_store(self, outputs: Tensor, height: int, width: int) -> Tensor:
        """Return the 100 most confident boxes of each image and their embeddings, ``[N, 3800]``."""
        return find_tracked(outputs, height, width)

    def measure(
        self,
        logits: Logits,
        targets: Targets,
        *,
        groups: GroupArray | None = None,
        val: tuple[Logits, Targets] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of detection and those of tracks; ``val`` is not used."""
        if not isinstance(targets, Tracks):
            raise TypeError(f"the targets are {targets.kind}, not tracks")
        found = follow_stored(logits, targets, self.tracker)
        return {**super().measure(logits, targets, groups=groups), **tracking_metrics(found, targets)}

    def check_test(self, targets: Targets, classes: Sequence[str], test: str) -> tuple[str, ...]:
        """Return notes on what is not judged, and on a test set that is one sequence."""
        notes = super().check_test(targets, classes, test)
        one = isinstance(targets, Tracks) and len(list(targets.sequences())) == 1
        return (*notes, ONE_SCENE) if one else notes
