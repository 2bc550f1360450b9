"""Verification: whether two examples are of one identity, which nothing need have been trained on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from distillab.data.targets import Identities, Targets
from distillab.errors import RequestError
from distillab.tasks.arrays import GroupArray, LabelArray, Logits, Values
from distillab.tasks.classification import Classification
from distillab.tasks.error_rates import ErrorCurve, verification_contributions
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.retrieval import balanced_positions, retrieve
from distillab.tasks.task import task

_Pairs = npt.NDArray[np.int64]
_quality = partial(Metric, uses_study_margin=True)
MOST_PAIRED = 3000
"""Examples whose pairs are the trials where none are listed; of more, equally many per class are taken."""
_MOST_COMPARED = 1000  # examples whose similarities are compared with the teacher's


@task("verification")
class Verification(Classification):
    """One class per training example; what is judged is whether two test examples are of one identity.

    The identities of the test set need not be classes of the training set (``unseen_classes`` or ``trials``
    of a source). The score of a trial is the cosine similarity of the two embeddings, which are the inputs of
    the last linear layer; no threshold is chosen. Trials are those that a source lists, or all pairs of the
    test set. Val has the classes of training, and all its pairs are trials.

    ``eer`` is the equal error rate. Conclusions and the epoch that is selected on val rest on
    ``one_minus_eer``, of which more is better: a gain of 2 points in it is an equal error rate that is 2
    points lower. Intervals take identities, not examples or trials, for what is drawn. ``min_dcf`` is the
    normalized minimum detection cost at ``prior``. ``map`` and ``precision_at_1`` are about retrieval within
    the test set: each example is a query for the others of its identity.

    Its stored outputs are embeddings of unit length, ``[N, D]``: no logits. A network without an embedding
    has no such metrics: they are missing (NaN).

    Attributes:
        prior: The probability that a trial is of one identity, for ``min_dcf``.

    Example:
        >>> embeddings = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> two_people = Identities(np.array([0, 0, 1, 1]), classes=2)
        >>> found = Verification().measure(embeddings, two_people)
        >>> round(found["eer"], 3), round(found["min_dcf"], 3), found["precision_at_1"]
        (0.25, 1.0, 0.5)
    """

    primary: ClassVar[str] = "one_minus_eer"
    metrics: ClassVar[MetricTable] = MetricTable(
        [
            *_quality("one_minus_eer", "1 − EER", "1 − EER", brief=True).with_selected(),
            _quality("eer", "equal error rate", "EER", higher_is_better=False, brief=True),
            Metric(
                "min_dcf",
                "minimum detection cost",
                "minDCF",
                higher_is_better=False,
                margin=0.01,
            ),
            _quality("map", "mean average precision of retrieval", "Retrieval mAP", brief=True),
            _quality("precision_at_1", "share of nearest examples of the same identity", "Precision at 1"),
            _quality("worst_class_one_minus_eer", "1 − EER of the worst identity", "Worst identity"),
            _quality("worst_group_one_minus_eer", "1 − EER of the worst group", "Worst group"),
            Metric(
                "similarity_correlation",
                "correlation of similarities with the teacher's",
                "Correlation with the teacher's similarities",
                kind="fidelity",
            ),
        ],
        per_test=["one_minus_eer", "worst_group_one_minus_eer"],
    )
    class_metric: ClassVar[Metric] = _quality(
        "class_one_minus_eer", "1 − EER of the identity", "1 − EER of the identity"
    )
    worst_group: ClassVar[str] = "worst_group_one_minus_eer"
    judges_embeddings: ClassVar[bool] = True
    stores_logits: ClassVar[bool] = False
    draws_classes: ClassVar[bool] = True

    prior: float = Field(default=0.01, gt=0, lt=1)

    @property
    def on_logits(self) -> Classification:
        """Classification, which judges logits."""
        return Classification()

    def logits_in(self, stored: Logits) -> Logits:
        """Return the stored embeddings: there are no logits."""
        return stored

    def score(self, logits: Logits, targets: Targets) -> float:
        """Return one less the equal error rate; NaN without an embedding or without both kinds of trials."""
        trials = _trials(logits, targets)
        return float("nan") if trials is None else 1 - ErrorCurve.of(*trials[:2]).equal_error_rate

    def contributions(self, logits: Logits, targets: Targets) -> Values:
        """Return what :func:`~distillab.tasks.error_rates.verification_contributions` does."""
        known = np.flatnonzero(targets.labelled)
        trials = _trials(logits[known], targets.take(known))
        if trials is None:
            return np.full(len(known), np.nan)
        return verification_contributions(*trials, len(known))

    def measure(
        self,
        logits: Logits,
        targets: Targets,
        *,
        groups: GroupArray | None = None,
        val: tuple[Logits, Targets] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of stored embeddings; ``val`` is not used."""
        trials = _trials(logits, targets)
        if trials is None:
            return dict.fromkeys(("one_minus_eer", "eer", "min_dcf", "map", "precision_at_1"), float("nan"))
        curve = ErrorCurve.of(*trials[:2])
        average, nearest = _retrieval(logits, targets.values)
        by_group = {} if groups is None else self.per_group(logits, targets, groups)
        return {
            "one_minus_eer": 1 - curve.equal_error_rate,
            "eer": curve.equal_error_rate,
            "min_dcf": curve.min_cost(self.prior),
            "map": average,
            "precision_at_1": nearest,
            "worst_class_one_minus_eer": float(np.fmin.reduce(self.per_class(logits, targets))),
            "worst_group_one_minus_eer": float(np.fmin.reduce(list(by_group.values()), initial=np.nan)),
        }

    def per_class(self, logits: Logits, targets: Targets) -> Values:
        """Return one less the equal error rate of the trials that each identity takes part in."""
        found = np.full(targets.classes, np.nan)
        trials = _trials(logits, targets)
        if trials is None:
            return found
        scores, same, pairs = trials
        labels = targets.values[pairs]
        for identity in range(targets.classes):
            own = (labels == identity).any(axis=1)
            if own.any() and same[own].any() and not same[own].all():
                found[identity] = 1 - ErrorCurve.of(scores[own], same[own]).equal_error_rate
        return found

    def per_group(self, logits: Logits, targets: Targets, groups: GroupArray) -> dict[int, float]:
        """Return one less the equal error rate of the trials within each group; NaN where there is none."""
        return {
            int(group): self.score(logits[groups == group], targets.take(np.flatnonzero(groups == group)))
            for group in np.unique(groups)
        }

    def undefined_classes(self, targets: Targets) -> int:
        """Return how many identities have a single example or none."""
        return int((targets.counts < 2).sum())

    def check_test(self, targets: Targets, classes: Sequence[str], test: str) -> tuple[str, ...]:
        """Return nothing.

        Raises:
            RequestError: There are no trials of one identity, or none of two.
        """
        if _trials(np.ones((len(targets), 1)), targets) is None:
            raise RequestError(
                f"{test} has no trials of one identity, or none of two",
                where="task",
                allowed="two examples of an identity, and examples of another; or both kinds in `trials`",
            )
        return ()

    def fidelity(self, student: Logits, teacher: Logits) -> dict[str, float]:
        """Return ``similarity_correlation``: Pearson's correlation of the cosine similarities of all pairs.

        Of more than a thousand examples it is about a thousand, evenly spread.
        """
        step = -(-len(student) // _MOST_COMPARED)
        own, other = (each[::step].astype(np.float64) for each in (student, teacher))
        pairs = np.triu_indices(len(own), 1)
        first, second = ((each @ each.T)[pairs] for each in (own, other))
        if not np.isfinite(first).all() or not np.isfinite(second).all() or not first.std() * second.std():
            return {"similarity_correlation": float("nan")}
        return {"similarity_correlation": float(np.corrcoef(first, second)[0, 1])}

    def by_frequency(self, per_class: Values, trained: LabelArray) -> dict[str, float]:
        """Return no metrics."""
        return {}


def unit_embeddings(embeddings: Tensor) -> npt.NDArray[np.float16]:
    """Return embeddings ``[N, D]`` scaled to unit length; zeros stay zeros.

    Example:
        >>> unit_embeddings(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.60009765625, 0.7998046875], [0.0, 0.0]]
    """
    scaled: npt.NDArray[np.float16] = (
        torch.nn.functional.normalize(embeddings.float(), dim=1).half().cpu().numpy()
    )
    return scaled


def _trials(embeddings: Logits, targets: Targets) -> tuple[Values, npt.NDArray[np.bool_], _Pairs] | None:
    """Return scores, whether both are of one identity, and positions, of the trials of labelled examples.

    None where an embedding is missing, or where not both kinds of trials exist.
    """
    listed = targets.trials if isinstance(targets, Identities) else None
    known = np.flatnonzero(targets.labelled)
    if len(known) > MOST_PAIRED:
        known = known[balanced_positions(targets.values[known], MOST_PAIRED)]
    pairs = known[np.stack(np.triu_indices(len(known), 1), axis=1)] if listed is None else listed
    same = np.equal(*targets.values[pairs].T)
    if not np.isfinite(embeddings).all() or same.all() or not same.any():
        return None
    values = embeddings.astype(np.float32)
    if listed is None:
        scores = (values[known] @ values[known].T)[np.triu_indices(len(known), 1)]
    else:
        scores = np.einsum("td,td->t", values[pairs[:, 0]], values[pairs[:, 1]])
    return scores.astype(np.float64), same, pairs


def _retrieval(embeddings: Logits, labels: LabelArray) -> tuple[float, float]:
    """Return the mean average precision and the precision at 1 of each example as a query for the others."""
    rows = torch.from_numpy(embeddings.astype(np.float32))
    found = retrieve(rows, labels, rows, labels, k=1, within=True)
    return float(np.nanmean(found.average_precision)), float(np.nanmean(found.precision))
