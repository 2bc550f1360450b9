"""What conclusions across data sets rest on: contexts of base sets, with the scores of their runs by seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from distillab.evidence.draws import FloatArray
from distillab.evidence.pairs import FACTOR, Row, by_cell, cell_columns, finite_value
from distillab.study.ledger import JobState
from distillab.tasks import Task

LevelOf = Mapping[str, float | str]
"""What a context is like, by name: levels of factors, the teacher's provenance, the student."""
SeedScores = dict[int, float]


@dataclass(frozen=True)
class StudiedContext:
    """One combination of data, teacher, student and training, with the scores of its runs.

    Attributes:
        context: Its name, unique among those compared.
        base_set: The data set that it was drawn from.
        levels: What it is like.
        scores: For each method and metric the value of each seed.
        teacher_score: Mean primary metric of the teacher; None if it is not known.
        failed: Number of runs that failed or diverged.

    Example:
        >>> scores = {("ce", "accuracy"): {0: 0.7, 1: 0.8}, ("kd", "accuracy"): {1: 0.9, 2: 0.9}}
        >>> context = StudiedContext("usps-25", "usps", {"size": 25.0}, scores)
        >>> context.differences("kd", "ce", "accuracy").round(2).tolist()
        [0.1]
    """

    context: str
    base_set: str
    levels: LevelOf
    scores: Mapping[tuple[str, str], SeedScores]
    teacher_score: float | None = None
    failed: int = 0

    def seeds(self, methods: Sequence[str], metric: str) -> list[int]:
        """Return the seeds of which all methods have a value, in order."""
        found = [set(self.scores.get((method, metric), {})) for method in methods]
        return sorted(set.intersection(*found)) if found else []

    def values(self, method: str, metric: str, seeds: Sequence[int]) -> FloatArray:
        """Return the values of a method under some seeds, float64 ``[seeds]``."""
        of_method = self.scores[method, metric]
        return np.array([of_method[seed] for seed in seeds], dtype=np.float64)

    def differences(self, method: str, baseline: str, metric: str) -> FloatArray:
        """Return the paired differences of a method and its baseline, float64 ``[pairs]``."""
        seeds = self.seeds([method, baseline], metric)
        if not seeds:
            return np.zeros(0)
        return np.asarray(self.values(method, metric, seeds) - self.values(baseline, metric, seeds))


@dataclass(frozen=True)
class LeftOut:
    """Contexts that take no part, with the reason.

    Attributes:
        reason: Why.
        count: How many.

    Example:
        >>> LeftOut("excluded from advice by the base", 2).count
        2
    """

    reason: str
    count: int


@dataclass(frozen=True)
class ContextTable:
    """Contexts with what was left out of them.

    Attributes:
        contexts: The contexts.
        left_out: Contexts that were left out.
        source: Where they come from, in plain words.

    Example:
        >>> ContextTable((), source="the evidence base").base_sets
        []
    """

    contexts: tuple[StudiedContext, ...]
    left_out: tuple[LeftOut, ...] = ()
    source: str = ""

    @property
    def base_sets(self) -> list[str]:
        """The base sets, sorted."""
        return sorted({each.base_set for each in self.contexts})

    @property
    def methods(self) -> list[str]:
        """The methods that have a score, in order of appearance."""
        return list(dict.fromkeys(method for each in self.contexts for method, _ in each.scores))

    @property
    def failed(self) -> int:
        """The number of runs that failed or diverged."""
        return sum(each.failed for each in self.contexts)


def contexts_of_results(rows: Sequence[Row], task: Task, *, name: str = "") -> list[StudiedContext]:
    """Return the contexts of a study: its cells, each with the runs of all methods.

    The base set is the data set of the study. Levels are those of its factors, with the provenance and the
    networks.

    Args:
        rows: Rows of ``results.parquet``.
        task: The task of the study.
        name: What the names of the contexts start with, to tell studies apart.

    Raises:
        ValueError: A cell holds two different runs of one method and seed.

    Example:
        >>> from distillab.tasks import Classification
        >>> row = {"run_id": "a", "dataset": "usps", "method": "ce", "seed": 0, "status": "done",
        ...        "factor.size": 25.0, "provenance": "same", "accuracy": 0.8}
        >>> [found] = contexts_of_results([row], Classification())
        >>> found.base_set, found.levels["size"], found.scores[("ce", "accuracy")]
        ('usps', 25.0, {0: 0.8})
    """
    columns = cell_columns(rows)
    found = []
    for number, (cell, runs) in enumerate(by_cell(rows, columns).items()):
        place = dict(zip(columns, cell, strict=True))
        done = [row for seeds in runs.values() for row in seeds.values() if row["status"] == JobState.DONE]
        if not done:
            continue
        levels = {
            column.removeprefix(FACTOR): level
            for column, level in place.items()
            if column not in ("dataset", "setting") and level is not None
        }
        scores: defaultdict[tuple[str, str], SeedScores] = defaultdict(dict)
        for row in done:
            for metric in task.metrics.measured([row]):
                value = finite_value(row, metric)
                if value is not None:
                    scores[row["method"], metric][row["seed"]] = value
        teacher = [finite_value(row, task.of_teacher) for row in done]
        known = [value for value in teacher if value is not None]
        failed = sum(row["status"] == JobState.FAILED for of in runs.values() for row in of.values())
        found.append(
            StudiedContext(
                f"{name or place['dataset']}-{number}",
                str(place["dataset"]),
                levels,
                dict(scores),
                float(np.mean(known)) if known else None,
                failed,
            )
        )
    return found


@dataclass(frozen=True)
class PairedContexts:
    """The gains of one method in the contexts that have pairs of it.

    Attributes:
        contexts: The contexts.
        gains: Mean paired difference of each, float64 ``[n]``.
        differences: The paired differences of each.

    Example:
        >>> context = StudiedContext("a", "usps", {}, {})
        >>> PairedContexts((context,), np.array([0.02]), (np.array([0.02]),)).base_sets
        ['usps']
    """

    contexts: tuple[StudiedContext, ...]
    gains: FloatArray
    differences: tuple[FloatArray, ...] = field(repr=False)

    @property
    def base_sets(self) -> list[str]:
        """The base set of each context."""
        return [each.base_set for each in self.contexts]


def paired_contexts(
    contexts: Sequence[StudiedContext], method: str, baseline: str, metric: str
) -> PairedContexts:
    """Return the gains of a method in all contexts that have at least one pair.

    Example:
        >>> scores = {("ce", "accuracy"): {0: 0.7}, ("kd", "accuracy"): {0: 0.8}}
        >>> found = paired_contexts([StudiedContext("a", "usps", {}, scores)], "kd", "ce", "accuracy")
        >>> found.gains.round(2).tolist()
        [0.1]
    """
    found = [(each, each.differences(method, baseline, metric)) for each in contexts]
    kept = [(each, values) for each, values in found if len(values)]
    return PairedContexts(
        tuple(each for each, _ in kept),
        np.array([values.mean() for _, values in kept], dtype=np.float64),
        tuple(values for _, values in kept),
    )
