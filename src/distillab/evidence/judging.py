"""How comparisons are judged: what gains and differences between levels have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from distillab.errors import unknown_name
from distillab.evidence.contrast import Contributions, FurtherContributions
from distillab.evidence.families import verdict_level
from distillab.evidence.gains import PairedDifferences
from distillab.evidence.pairs import Row
from distillab.evidence.sequential import Look
from distillab.evidence.verdicts import judge, why_undecided
from distillab.study.spec.seeds import LEAST_PAIRS
from distillab.tasks import Metric, Task


@dataclass(frozen=True)
class Judging:
    """How the comparisons of a study are judged.

    Attributes:
        task: The task of the study, for its metrics.
        baselines: Methods to compare with, in order.
        margin: The margin that the study sets, for metrics that use it.
        confidence: Nominal coverage of the intervals.
        looks: The looks of a study with sequential stopping.
        contributions: What test examples add to the primary metric.
        further: What they add to other metrics.
    """

    task: Task
    baselines: Sequence[str] = ("ce",)
    margin: float = 0.005
    confidence: float = 0.95
    looks: Sequence[Look] = ()
    contributions: Contributions | None = None
    further: FurtherContributions | None = None

    @property
    def primary(self) -> Metric:
        """The metric on which conclusions rest."""
        return self.task.metrics[self.task.primary]

    def require_baselines(self, rows: Sequence[Row]) -> None:
        """Raise RequestError if no run used one of the baselines."""
        known = {row["method"] for row in rows}
        for name in self.baselines:
            if rows and name not in known:
                raise unknown_name("baseline", name, known)

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Return the metrics that any run has, the primary one first and in any case."""
        others = [name for name in self.task.metrics.measured(rows) if name != self.task.primary]
        return [self.primary, *(self.task.metrics[name] for name in others)]

    def contributions_to(self, metric: Metric) -> Contributions | None:
        """Return what test examples add to a metric; None where it is not known, so that they are fixed."""
        if metric.name == self.task.primary:
            return self.contributions
        return self.further(metric.name) if self.further else None

    def columns(
        self, differences: PairedDifferences | None, metric: Metric, confidence: float | None = None
    ) -> Row:
        """Return the columns that follow from paired differences: interval, p-value, verdict and its reason.

        Args:
            differences: The differences; None if there is no pair.
            metric: Their metric.
            confidence: Of the interval, by default that of the study.
        """
        if differences is None:
            undecided = {"verdict": "undecided", "verdict_family": "undecided"}
            return undecided | {"n_pairs": 0, "undecided_because": why_undecided(0)}
        gain, margin = differences.gain(confidence or self.confidence), metric.margin_for(self.margin)
        columns: Row = {name: value if math.isfinite(value) else None for name, value in asdict(gain).items()}
        columns["verdict"] = judge(gain, margin, metric.higher_is_better)
        if columns["verdict"] == "undecided":
            columns["undecided_because"] = why_undecided(gain.n_pairs)
        enough = gain.n_pairs >= LEAST_PAIRS
        columns["p_verdict"] = verdict_level(differences.interval, margin) if enough else 1.0
        return columns | {"n_teachers": differences.n_teachers}
