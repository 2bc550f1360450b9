"""How much a gain differs between the levels of a factor: one row per level beside the reference level."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from distillab.evidence.contrast import (
    Contributions,
    FurtherContributions,
    RunPair,
    combination_of,
    shared_examples,
)
from distillab.evidence.effects import contrasts, test_key
from distillab.evidence.families import FamilyTest, adjust
from distillab.evidence.judging import Judging
from distillab.evidence.pairs import FACTOR, Row, Runs, by_cell, cell_columns, factor_columns, pairs
from distillab.evidence.sequential import Look
from distillab.evidence.verdicts import Verdict
from distillab.factors.factor import Level, level_text
from distillab.tasks import Metric, Task

LevelVerdict = Literal["larger", "smaller", "equivalent", "undecided"]
LEVEL_VERDICTS: Mapping[Verdict, LevelVerdict] = {
    "helps": "larger",
    "harms": "smaller",
    "equivalent": "equivalent",
    "undecided": "undecided",
}
"""The verdict on a difference between gains, by that of a gain with the same interval."""

TREND = "trend"
"""What stands for the level in the row of a trend."""
LEVEL_COLUMNS = (
    "n_pairs",
    "difference",
    "ci_low",
    "ci_high",
    "p_value",
    "p_adjusted",
    "verdict",
    "gain",
    "gain_reference",
    "ci_low_same_test",
    "ci_high_same_test",
    "n_teachers",
    "shared_examples",
    "n_tests",
    "p_verdict",
    "verdict_family",
    "undecided_because",
)


def compute_level_effects(
    rows: Sequence[Row],
    task: Task,
    *,
    baselines: Sequence[str] = ("ce",),
    margin: float = 0.005,
    confidence: float = 0.95,
    looks: Sequence[Look] = (),
    contributions: Contributions | None = None,
    further: FurtherContributions | None = None,
    references: Mapping[str, Level] | None = None,
) -> list[Row]:
    """Return how much each gain differs between levels, as rows of ``level_effects.parquet``.

    For every factor with at least two levels, the gain at each level is compared with that at the reference
    level, with all other factors, the dataset, provenance, teacher and student held fixed. Both gains have
    the same seeds, so the difference is paired by seed: the difference of two paired differences. Its
    interval covers the draws that a gain's interval covers. Of a factor whose levels are at least three
    numbers, a row with the level ``trend`` has the change of the gain from the lowest to the highest level
    along the line that fits each seed best; the line is over the logarithms of levels that span a decade.

    ``verdict`` is ``larger`` if the whole interval lies beyond the margin in the direction of improvement,
    ``smaller`` if it lies beyond it in the other direction, ``equivalent`` if it lies within the margin, else
    ``undecided``. ``p_adjusted`` and ``verdict_family`` are corrected by Holm's method, within the
    differences with the same metric and baseline.

    Args:
        rows: Result rows, as for :func:`distillab.evidence.effects.compute_effects`.
        task: The task of the study.
        baselines: Methods to compare with, in order.
        margin: The margin that the study sets, for metrics that use it.
        confidence: Nominal coverage of the intervals.
        looks: The looks of a study with sequential stopping: differences use the seeds of the first look,
            which every level has, whatever the results were.
        contributions: What test examples add to the primary metric; those that both levels test on are
            paired.
        further: What they add to other metrics.
        references: The reference level by factor; by default the first that occurs.

    Returns:
        Rows by factor and setting, the levels in order. ``difference`` is the gain at the level minus that at
        the reference level.

    Raises:
        RequestError: No run used one of the baselines.
        ValueError: A cell holds two different runs of one method and seed.

    Example:
        >>> from distillab.tasks import Classification
        >>> scores = {("ce", 0.0): 0.8, ("kd", 0.0): 0.82, ("ce", 0.4): 0.6, ("kd", 0.4): 0.7}
        >>> rows = [
        ...     {"run_id": f"{key} {seed}", "method": key[0], "factor.label_noise": key[1], "seed": seed,
        ...      "status": "done", "accuracy": score + seed / 100}
        ...     for key, score in scores.items() for seed in range(5)
        ... ]
        >>> [row] = compute_level_effects(rows, Classification())
        >>> row["factor"], row["level"], row["reference"], round(row["difference"], 3), row["n_pairs"]
        ('label_noise', '0.4', '0', 0.08, 5)
    """
    judging = Judging(task, baselines, margin, confidence, looks, contributions, further)
    table, tests = level_rows(rows, judging, references or {})
    adjust(tests, 1.0 - confidence)
    return table


def level_rows(
    rows: Sequence[Row], judging: Judging, references: Mapping[str, Level]
) -> tuple[list[Row], list[FamilyTest]]:
    """Return the rows before what depends on their family, and those of them that are tests.

    The errors are those of :func:`compute_level_effects`.
    """
    judging.require_baselines(rows)
    until = judging.looks[0].seeds if judging.looks else math.inf
    usable = [row for row in rows if row["seed"] < until]
    metrics = judging.metrics(rows)
    table: list[Row] = []
    tests: list[FamilyTest] = []
    for factor, names, by_level in _settings(usable):
        methods = dict.fromkeys(method for runs in by_level.values() for method in runs)
        for compared in _comparisons(list(by_level), references.get(factor.removeprefix(FACTOR))):
            for method, baseline in contrasts(methods, judging.baselines):
                for metric in metrics:
                    found = [
                        _pairs(by_level[level], method, baseline, metric.name) for level in compared.levels
                    ]
                    together = sorted(set.intersection(*(set(each) for each in found)))
                    paired = [tuple(each[seed] for each in found) for seed in together]
                    row = names | {factor: compared.own, "factor": factor.removeprefix(FACTOR)}
                    row |= {"level": compared.text, "reference": level_text(compared.reference)}
                    row |= {"method": method, "baseline": baseline, "metric": metric.name}
                    row |= _computed(paired, compared, metric, judging)
                    table.append(row)
                    if paired:
                        flat = [pair for of_seed in paired for pair in of_seed]
                        tests.append(((compared.text, *test_key(flat, metric.name)), row))
    return table, tests


def _settings(rows: Sequence[Row]) -> Iterator[tuple[str, Row, dict[Level, Runs]]]:
    """Yield each factor column with the names of a setting and its runs by level, in order of appearance."""
    columns = cell_columns(rows)
    cells = by_cell(rows, columns)
    for factor in factor_columns(rows):
        settings: dict[tuple[tuple[str, Any], ...], dict[Level, Runs]] = defaultdict(dict)
        for cell, runs in cells.items():
            names = dict(zip(columns, cell, strict=True))
            level = names.pop(factor)
            if level is not None and level == level:  # NaN is no level
                settings[tuple(names.items())][level] = runs
        for setting, by_level in settings.items():
            if len(by_level) > 1:
                yield factor, dict(setting), by_level


@dataclass(frozen=True)
class _Compared:
    """Levels that are compared: the reference level, the levels of the sum and their weights in it.

    Attributes:
        own: The level in the factor's own column; None for a trend.
        text: The level as text, or ``trend``.
        reference: The reference level.
        levels: The levels whose gains are added up.
        weights: Their weights.
    """

    own: Level | None
    text: str
    reference: Level
    levels: tuple[Level, ...]
    weights: tuple[float, ...]


def _comparisons(present: Sequence[Level], reference: Level | None) -> Iterator[_Compared]:
    """Yield the comparison of each level with the reference level, then the trend of numbers."""
    numbers = [level for level in present if not isinstance(level, str)]
    ordered: list[Level] = sorted(numbers) if len(numbers) == len(present) else list(present)
    if reference is None or reference not in present:
        reference = present[0]
    for level in ordered:
        if level != reference:
            yield _Compared(level, level_text(level), reference, (level, reference), (1.0, -1.0))
    if len(numbers) == len(present) > 2:
        levels = np.array(ordered, dtype=np.float64)
        axis = np.log10(levels) if levels[0] > 0 and levels[-1] >= 10 * levels[0] else levels
        centered = axis - axis.mean()
        weights = centered / (centered**2).sum() * (axis[-1] - axis[0])
        yield _Compared(None, TREND, ordered[0], tuple(ordered), tuple(weights.tolist()))


def _pairs(runs: Runs, method: str, baseline: str, column: str) -> dict[int, RunPair]:
    """Return the finished pairs of a cell by seed."""
    found = pairs(runs.get(method, {}), runs.get(baseline, {}), column)
    return {int(after["seed"]): (after, before) for after, before in found}


def _computed(
    paired: Sequence[tuple[RunPair, ...]], compared: _Compared, metric: Metric, judging: Judging
) -> Row:
    """Return the computed columns of a row."""
    row: Row = dict.fromkeys(LEVEL_COLUMNS)
    if not paired:
        return row | judging.columns(None, metric)
    contributions = judging.contributions_to(metric)
    row |= judging.columns(combination_of(paired, compared.weights, metric, contributions), metric)
    row["difference"], row["verdict"] = row["gain"], LEVEL_VERDICTS[row["verdict"]]
    here, there = _ends(paired, compared)
    row["gain"], row["gain_reference"] = _mean_gain(here, metric.name), _mean_gain(there, metric.name)
    if contributions:
        row["shared_examples"] = shared_examples(here, there, contributions)
    return row


def _ends(paired: Sequence[tuple[RunPair, ...]], compared: _Compared) -> tuple[list[RunPair], list[RunPair]]:
    """Return the pairs at the level, the highest of a trend, and those at the reference level."""
    level = compared.levels.index(compared.levels[-1] if compared.own is None else compared.own)
    reference = compared.levels.index(compared.reference)
    return [of_seed[level] for of_seed in paired], [of_seed[reference] for of_seed in paired]


def _mean_gain(paired: Sequence[RunPair], column: str) -> float:
    return float(np.mean([after[column] - before[column] for after, before in paired]))
