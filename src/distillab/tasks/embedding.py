"""Embeddings: networks learn classes and are judged by what their embeddings retrieve."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import Tensor

from distillab.data.targets import Targets
from distillab.errors import RequestError
from distillab.tasks.arrays import GroupArray, Logits, Values
from distillab.tasks.classification import METRICS, Classification
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.retrieval import Retrieved, balanced_positions, retrieve
from distillab.tasks.task import task

_quality = partial(Metric, uses_study_margin=True)
SHOWN = 10
"""Nearest examples that are stored of each query."""
_AVERAGE_PRECISION, _PRECISION = -2, -1  # the columns after the logits


@task("embedding")
class EmbeddingTask(Classification):
    """One class per example, learned as in classification; retrieval by the embedding is what is judged.

    The training set of a run is the database and its test set are the queries. The embedding is the input of
    the last linear layer. Each query ranks the labelled examples of the database by cosine similarity, see
    :func:`distillab.tasks.retrieval.retrieve`; those of its class are right. A network without an embedding,
    such as a black box or an ensemble, has no such metrics: they are missing (NaN).

    Its stored outputs are the logits, then the average precision of the query and its precision among the
    first k: ``[N, classes + 2]``. Both are NaN without an embedding.

    Attributes:
        k: How many of the nearest ``precision_at_k`` is about.
        val_database: Examples of the database, equally many per class, that are searched when an epoch is
            selected on val; for test it is the whole database.

    Example:
        >>> made = EmbeddingTask(k=5)
        >>> made.primary, made.head_width(20), made.extra_columns
        ('map', 20, 2)
        >>> from distillab.data.targets import Labels
        >>> outputs = np.array([[2.0, 1.0, 0.5, 0.4], [0.0, 3.0, 0.7, 0.8]])
        >>> made.score(outputs, Labels(np.array([0, 0]), classes=2))
        0.6
    """

    primary: ClassVar[str] = "map"
    metrics: ClassVar[MetricTable] = MetricTable(
        [
            *_quality(
                "map", "mean average precision of retrieval", "Retrieval mAP", brief=True
            ).with_selected(),
            _quality("precision_at_k", "precision of the k nearest", "Precision at k", brief=True),
            _quality("worst_class_map", "mean average precision of the worst class", "Worst class"),
            _quality("worst_group_map", "mean average precision of the worst group", "Worst group"),
            *(METRICS[name] for name in ("accuracy", "macro_f1", "nll", "brier", "ece")),
            *(METRICS[name] for name in ("agreement", "teacher_kl")),
        ],
        per_test=["map", "worst_group_map"],
    )
    class_metric: ClassVar[Metric] = _quality(
        "class_map", "mean average precision of the class", "Retrieval mAP of the class"
    )
    worst_group: ClassVar[str] = "worst_group_map"
    group_mean: ClassVar[str] = ""
    searches: ClassVar[bool] = True
    judges_embeddings: ClassVar[bool] = True
    extra_columns: ClassVar[int] = 2

    k: int = Field(default=10, ge=1, strict=True)
    val_database: int = Field(default=2000, ge=1, strict=True)

    @property
    def on_logits(self) -> Classification:
        """Classification, which judges outputs without a database."""
        return Classification()

    def check_database(self, targets: Targets) -> None:
        """Raise RequestError unless every class and at least k examples can be found."""
        missing = int((targets.counts == 0).sum())
        if missing:
            raise RequestError(
                f"{missing} of {targets.classes} classes have no example in the database, the training set",
                where="task",
                allowed="a labelled training example of every class of the queries",
            )
        held = int(targets.labelled.sum())
        if min(held, self.val_database) < self.k:
            what = (
                f"val_database is {self.val_database}"
                if held >= self.k
                else f"the training set has {held} examples"
            )
            raise RequestError(
                f"{what}, and precision_at_k is about the nearest {self.k}",
                where="task.k",
                allowed=f"k from 1 to {min(held, self.val_database)}",
            )

    def val_positions(self, targets: Targets) -> npt.NDArray[np.int64]:
        """Return the positions of the examples of the database that are searched on val."""
        return balanced_positions(targets.values, max(self.val_database, targets.classes))

    def search(self, queries: Tensor, targets: Targets, database: Tensor, searched: Targets) -> Retrieved:
        """Return what queries retrieve.

        Args:
            queries: Their embeddings, ``[Q, D]``.
            targets: Their labels.
            database: Embeddings of the database, ``[M, D]``.
            searched: Its labels; examples without one are not searched.
        """
        known = np.flatnonzero(searched.labelled)
        rows = database[known.tolist()] if len(known) < len(searched) else database
        found = retrieve(queries, targets.values, rows, searched.values[known], k=self.k, shown=SHOWN)
        return Retrieved(found.average_precision, found.precision, known[found.nearest].astype(np.int32))

    def with_retrieved(self, logits: npt.NDArray[np.float16], found: Retrieved | None) -> Logits:
        """Return what is stored of a network: its logits and what its embeddings retrieved.

        Args:
            logits: float16 ``[N, classes]``.
            found: What was retrieved; None for a network without an embedding.

        Returns:
            float16 ``[N, classes + 2]``.
        """
        columns = np.full((len(logits), self.extra_columns), np.nan, np.float16)
        if found is not None:
            columns[:, 0], columns[:, 1] = found.average_precision, found.precision
        return np.concatenate([logits, columns], axis=1)

    def score(self, logits: Logits, targets: Targets) -> float:
        """Return the mean average precision of the labelled queries."""
        return float(self.contributions(logits, targets).mean())

    def contributions(self, logits: Logits, targets: Targets) -> Values:
        """Return the average precision of each labelled query."""
        found: Values = logits[targets.labelled, _AVERAGE_PRECISION].astype(np.float64)
        return found

    def measure(
        self,
        logits: Logits,
        targets: Targets,
        *,
        groups: GroupArray | None = None,
        val: tuple[Logits, Targets] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of retrieval, and those of the logits."""
        known = np.flatnonzero(targets.labelled)
        of_classes = super().measure(self.logits_in(logits)[known], targets.take(known))
        by_group = {} if groups is None else self.per_group(logits, targets, groups)
        return {
            "map": self.score(logits, targets),
            "precision_at_k": float(logits[known, _PRECISION].astype(np.float64).mean()),
            "worst_class_map": float(np.fmin.reduce(self.per_class(logits, targets))),
            "worst_group_map": float(np.fmin.reduce(list(by_group.values()), initial=np.nan)),
            **{name: value for name, value in of_classes.items() if name in self.metrics},
        }

    def per_class(self, logits: Logits, targets: Targets) -> Values:
        """Return the mean average precision of the queries of each class."""
        known, values = targets.labelled, self.contributions(logits, targets)
        sums = np.bincount(targets.values[known], weights=values, minlength=targets.classes)
        counts = targets.counts.astype(np.float64)
        found: Values = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return found

    def per_group(self, logits: Logits, targets: Targets, groups: GroupArray) -> dict[int, float]:
        """Return the mean average precision of the queries of each group."""
        values, of = self.contributions(logits, targets), groups[targets.labelled]
        return {int(group): float(values[of == group].mean()) for group in np.unique(of)}

    def fidelity(self, student: Logits, teacher: Logits) -> dict[str, float]:
        """Return ``agreement`` and ``teacher_kl`` of the logits."""
        return super().fidelity(self.logits_in(student), self.logits_in(teacher))

    def by_frequency(self, per_class: Values, trained: npt.NDArray[np.int64]) -> dict[str, float]:
        """Return no metrics."""
        return {}
