"""Effect rows sorted by what the answer asks of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from distillab.evidence.pairs import Row, factor_columns
from distillab.evidence.wording import PHRASES, Phrases, describe_level, listed
from distillab.tasks.classification import METRICS

CONTROLS = ("random_teacher", "label_smoothing")
SETTING = ("dataset", "provenance", "teacher", "student")


@dataclass(frozen=True)
class Comparisons:
    """The contrasts of a study with one baseline on one metric, and what varies among them.

    Attributes:
        effects: all effect rows of the study.
        main: rows of distilling methods against the baseline, on the metric.
        controls: the same of methods that carry no knowledge of the teacher.
        factors: factor columns with more than one level.
        settings: which of ``SETTING`` have more than one value.
        baseline: the method that plain students were trained with.
        metric: the metric that is compared.
        margin: its margin of practical equivalence.
        alpha: 1 - confidence.
        phrases: what people call the levels of each factor.
    """

    effects: Sequence[Row]
    main: list[Row]
    controls: list[Row]
    factors: list[str]
    settings: list[str]
    baseline: str
    metric: str
    margin: float
    alpha: float
    phrases: Phrases

    @property
    def plain(self) -> str:
        """The baseline, for people."""
        return "plain training" if self.baseline == "ce" else self.baseline

    def place(self, row: Row) -> str:
        """The condition of a row: ``25 images a class and label noise 0.4``; empty if nothing varies."""
        return listed(describe_level(factor, row.get(factor), self.phrases) for factor in self.factors)

    def setting(self, row: Row) -> str:
        """What else tells a row from others: ``provenance full, student resnet8``."""
        return ", ".join(f"{column} {row.get(column)}" for column in self.settings)


def compare(
    effects: Sequence[Row],
    *,
    baseline: str,
    metric: str,
    controls: Sequence[str],
    margin: float,
    confidence: float,
    phrases: Phrases = PHRASES,
) -> Comparisons:
    """Sort effect rows; ``margin`` is the study's margin for accuracies."""
    rows = [row for row in effects if row["metric"] == metric and row["baseline"] == baseline]
    return Comparisons(
        effects=effects,
        main=[row for row in rows if row["method"] not in controls],
        controls=[row for row in rows if row["method"] in controls],
        factors=[name for name in factor_columns(rows) if len({row.get(name) for row in rows}) > 1],
        settings=[name for name in SETTING if len({row.get(name) for row in rows}) > 1],
        baseline=baseline,
        metric=metric,
        margin=METRICS[metric].margin_for(margin),
        alpha=round(1.0 - confidence, 10),
        phrases=phrases,
    )


def grouped(rows: Iterable[Row], columns: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by their values of some columns, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row.get(column) for column in columns)].append(row)
    return groups
