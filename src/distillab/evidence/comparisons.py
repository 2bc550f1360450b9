"""Effect rows grouped into what an answer is about: methods, controls, and what varies among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from distillab.evidence.families import EXPLORATORY, family_verdict
from distillab.evidence.pairs import PLACE_COLUMNS, Row, factor_columns
from distillab.evidence.wording import PHRASES, Phrases, describe_level, listed
from distillab.tasks import Metric, MetricTable, Task

CONTROLS = ("random_teacher", "label_smoothing")


@dataclass(frozen=True)
class Comparisons:
    """The contrasts of a study with one baseline on the primary metric, and what varies among them.

    Attributes:
        effects: All effect rows of the study.
        main: Rows of distillation methods against the baseline, on the metric.
        controls: The same of methods that use no knowledge of the teacher.
        factors: Factor columns with more than one level.
        settings: Columns of ``PLACE_COLUMNS`` with more than one value.
        baseline: The method that plain students are trained with.
        metric: The metric that is compared.
        primary: The primary metric, by which the length of training is judged.
        of_teacher: The column of that metric of the teacher.
        metrics: All metrics of the task.
        margin: The margin of practical equivalence of ``metric``.
        alpha: 1 - confidence.
        phrases: How the levels of each factor are written.
        tested: What a test set is a draw of, in plain words.
    """

    effects: Sequence[Row]
    main: list[Row]
    controls: list[Row]
    factors: list[str]
    settings: list[str]
    baseline: str
    metric: Metric
    primary: Metric
    of_teacher: str
    metrics: MetricTable
    margin: float
    alpha: float
    phrases: Phrases
    tested: str = "test examples"

    @property
    def plain(self) -> str:
        """The baseline in plain words."""
        return "plain training" if self.baseline == "ce" else self.baseline

    def place(self, row: Row) -> str:
        """Return the condition of a row: ``25 examples per class and label noise 0.4``, or an empty text."""
        return listed(describe_level(factor, row.get(factor), self.phrases) for factor in self.factors)

    def setting(self, row: Row) -> str:
        """Return what else distinguishes a row: ``provenance full, student resnet8``."""
        return ", ".join(f"{column} {row.get(column)}" for column in self.settings)


def compare(
    effects: Sequence[Row],
    task: Task,
    *,
    baseline: str,
    controls: Sequence[str],
    margin: float,
    confidence: float,
    phrases: Phrases = PHRASES,
    metric: str | None = None,
) -> Comparisons:
    """Return the comparisons of effect rows on a metric, by default the primary one; ``margin`` is the one
    the study sets.

    Their ``verdict`` is the one that holds together with those of all comparisons (``verdict_family``), where
    the table has it; ``verdict_alone`` keeps that of the row. Of a study that declares contrasts, only those
    are compared, if any of them are gains.
    """
    primary = task.metrics[task.primary]
    compared = task.metrics[metric or task.primary]
    effects = [row | {"verdict": family_verdict(row), "verdict_alone": row["verdict"]} for row in effects]
    rows = [row for row in effects if row["metric"] == compared.name and row["baseline"] == baseline]
    declared = [row for row in rows if row.get("undecided_because") != EXPLORATORY]
    rows = declared or rows
    return Comparisons(
        effects=effects,
        main=[row for row in rows if row["method"] not in controls],
        controls=[row for row in rows if row["method"] in controls],
        factors=[name for name in factor_columns(rows) if len({row.get(name) for row in rows}) > 1],
        settings=[name for name in PLACE_COLUMNS if len({row.get(name) for row in rows}) > 1],
        baseline=baseline,
        metric=compared,
        primary=primary,
        of_teacher=task.of_teacher,
        metrics=task.metrics,
        margin=compared.margin_for(margin),
        alpha=round(1.0 - confidence, 10),
        phrases=phrases,
        tested="identities" if task.draws_classes else "test examples",
    )


def grouped(rows: Iterable[Row], columns: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Return rows by their values of some columns, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row.get(column) for column in columns)].append(row)
    return groups
