"""From result rows to effect rows: one row a contrast, paired by seed within a cell."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from distillab.errors import unknown_name
from distillab.evidence.gains import paired_gain
from distillab.evidence.pairs import Row, by_cell, cell_columns, number, pairs, resolution_of
from distillab.evidence.sequential import Look, Standing, seen_at, standing
from distillab.evidence.verdicts import holm, verdict
from distillab.tasks.classification import METRICS

__all__ = ["COMPUTED", "SEQUENTIAL", "Row", "contrasts", "effects"]

TestKey = tuple[Any, ...]

# The columns beside the names of a contrast. Those after error_ratio go beyond the promised ones.
COMPUTED = (
    "n_pairs",
    "gain",
    "ci_low",
    "ci_high",
    "p_value",
    "p_adjusted",
    "verdict",
    "gap_closed",
    "error_ratio",
    "plain_mean",
    "distilled_mean",
    "teacher_accuracy",
    "n_tests",
)
# What a study that stops when it is decided has beside them: the level of the interval, and the number of the
# look that it belongs to, null before the first.
SEQUENTIAL = ("confidence", "look")


def effects(
    rows: Sequence[Row],
    *,
    baselines: Sequence[str] = ("ce",),
    margin: float = 0.005,
    confidence: float = 0.95,
    looks: Sequence[Look] = (),
) -> list[Row]:
    """All contrasts of a study, as rows of ``effects.parquet``.

    In every cell (dataset, factors, provenance, teacher, student) each method is compared with each baseline,
    and each baseline with those before it in ``baselines``, on every metric that any run has. Runs pair by
    seed where both are done and have the metric; a contrast without a pair stays in the table, undecided and
    without a gain.

    ``p_adjusted`` is Holm's, over the family of all contrasts of the study with the same metric and baseline.
    A contrast that rests on the same runs and values in several cells (label smoothing against plain training
    does not depend on the teacher) is one test of its family, though it has a row in each cell; ``n_tests``
    is the number of distinct tests in the family.

    Args:
        rows: result rows; see :func:`distillab.evidence.schema.results_schema`.
        baselines: methods to compare with, in order.
        margin: half-width of the region of practical equivalence for accuracies; other metrics bring their
            own (``METRICS``).
        confidence: nominal coverage of the intervals.
        looks: of a study that stops when it is decided. Each contrast has the pairs, level and p-value of the
            look at which it stopped, or the last complete one (:mod:`distillab.evidence.sequential`).

    Returns:
        Effect rows, by cell in order of appearance. ``gain`` is distilled - plain, so it is good to be
        negative where lower is better. Accuracy alone has ``gap_closed``, the gain over (teacher accuracy -
        plain mean), None unless the teacher is better by more than the margin; and ``error_ratio``, the mean
        error distilled over the mean error plain, below 1 if errors disappear.

    Raises:
        RequestError: for a baseline that no run used.
        ValueError: if a cell holds two different runs of one method and seed.
    """
    _must_have_run(baselines, rows)
    columns = cell_columns(rows)
    metrics = METRICS.measured(rows) or ["accuracy"]
    table: list[Row] = []
    families: dict[tuple[str, str], list[tuple[TestKey, Row]]] = defaultdict(list)
    for cell, runs in by_cell(rows, columns).items():
        for method, baseline in contrasts(runs, baselines):
            stand = standing(runs[method], runs[baseline], looks, margin) if looks else None
            for metric in metrics:
                found = pairs(runs[method], runs[baseline], metric)
                found = seen_at(stand.look, found) if stand else found
                effect = dict(zip(columns, cell, strict=True))
                effect |= {"method": method, "baseline": baseline, "metric": metric}
                effect |= _told(found, stand, metric, margin, confidence)
                table.append(effect)
                if found:
                    families[metric, baseline].append((_test_key(found, metric), effect))
    for family in families.values():
        _adjust(family)
    return table


def _must_have_run(baselines: Sequence[str], rows: Sequence[Row]) -> None:
    known = {row["method"] for row in rows}
    for name in baselines:
        if rows and name not in known:
            raise unknown_name("baseline", name, known)


def contrasts(methods: Iterable[str], baselines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(method, baseline) for all that are present; of two baselines, the later against the earlier."""
    present = list(methods)
    for method in present:
        earlier = baselines[: baselines.index(method)] if method in baselines else baselines
        for baseline in earlier:
            if baseline in present:
                yield method, baseline


def _test_key(found: list[tuple[Row, Row]], metric: str) -> TestKey:
    """What a test rests on: its runs and their values; one run agrees differently with different teachers."""
    return tuple((run["run_id"], run[metric]) for pair in found for run in pair)


def _contrast(found: list[tuple[Row, Row]], metric: str, margin: float, confidence: float) -> Row:
    """The columns of an effect row that are computed."""
    if not found:
        return dict.fromkeys(COMPUTED) | {"n_pairs": 0, "verdict": "undecided"}
    about = METRICS[metric]
    after = np.array([d[metric] for d, _ in found], dtype=np.float64)
    before = np.array([p[metric] for _, p in found], dtype=np.float64)
    gain = paired_gain(after, before, confidence=confidence, resolution=resolution_of(found, metric))
    teacher = _teacher_accuracy(d for d, _ in found)
    if teacher is None:
        teacher = _teacher_accuracy(p for _, p in found)
    effect = dict.fromkeys(COMPUTED) | asdict(gain)
    effect["ci_low"] = gain.ci_low if math.isfinite(gain.ci_low) else None
    effect["ci_high"] = gain.ci_high if math.isfinite(gain.ci_high) else None
    effect["verdict"] = verdict(gain, about.margin_for(margin), about.higher_is_better)
    plain, distilled = float(before.mean()), float(after.mean())
    effect |= {"plain_mean": plain, "distilled_mean": distilled, "teacher_accuracy": teacher}
    if metric == "accuracy":
        if teacher is not None and teacher - plain > margin:
            effect["gap_closed"] = gain.gain / (teacher - plain)
        if plain < 1.0:
            effect["error_ratio"] = (1.0 - distilled) / (1.0 - plain)
    return effect


def _told(
    found: list[tuple[Row, Row]], stand: Standing | None, metric: str, margin: float, confidence: float
) -> Row:
    """The computed columns of a contrast."""
    if stand is None:
        return _contrast(found, metric, margin, confidence)
    return _at_look(stand, found, metric, margin)


def _at_look(stand: Standing, found: list[tuple[Row, Row]], metric: str, margin: float) -> Row:
    """The computed columns of a contrast in a study that stops when it is decided."""
    look = stand.look
    effect = _contrast(found, metric, margin, look.confidence)
    if effect["p_value"] is not None:
        effect["p_value"] = look.p_value(effect["p_value"])
    if not stand.complete:
        effect["verdict"] = "undecided"
    return effect | {"confidence": look.confidence, "look": look.number if stand.complete else None}


def _adjust(family: list[tuple[TestKey, Row]]) -> None:
    """Fill ``p_adjusted`` and ``n_tests`` of one family; rows that rest on the same runs are one test."""
    tests = {test: effect["p_value"] for test, effect in family}
    adjusted = dict(zip(tests, holm(list(tests.values())).tolist(), strict=True))
    for test, effect in family:
        effect["p_adjusted"] = adjusted[test]
        effect["n_tests"] = len(tests)


def _teacher_accuracy(rows: Iterable[Row]) -> float | None:
    """Mean accuracy of the teachers of some runs, None if no run has one."""
    known = [value for row in rows if (value := number(row, "teacher_accuracy")) is not None]
    return float(np.mean(known)) if known else None
