"""From result rows to effect rows: one row per contrast, paired by seed within a cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from distillab.evidence.contrast import Contributions, FurtherContributions, differences_of
from distillab.evidence.families import FamilyTest, TestKey, adjust
from distillab.evidence.judging import Judging
from distillab.evidence.pairs import Row, SeedRows, by_cell, cell_columns, finite_value, pairs
from distillab.evidence.sequential import ContrastState, Look, contrast_state, pairs_at
from distillab.evidence.verdicts import why_undecided
from distillab.tasks import Metric, Task

SAME_RUNS = ("ci_low_same_runs", "ci_high_same_runs")


def computed_columns(task: Task) -> tuple[str, ...]:
    """Return the columns of an effect row besides the names of the contrast.

    Those after ``error_ratio`` were added to the promised ones.
    """
    promised = ("n_pairs", "gain", "ci_low", "ci_high", "p_value", "p_adjusted", "verdict")
    of_primary = ("gap_closed", "error_ratio")
    return (
        *promised,
        *of_primary,
        "plain_mean",
        "distilled_mean",
        task.of_teacher,
        "n_tests",
        "undecided_because",
        "ci_low_same_test",
        "ci_high_same_test",
        "n_teachers",
        "p_verdict",
        "verdict_family",
        *SAME_RUNS,
    )


def compute_effects(
    rows: Sequence[Row],
    task: Task,
    *,
    baselines: Sequence[str] = ("ce",),
    margin: float = 0.005,
    confidence: float = 0.95,
    looks: Sequence[Look] = (),
    contributions: Contributions | None = None,
    further: FurtherContributions | None = None,
) -> list[Row]:
    """Return all contrasts of a study as rows of ``effects.parquet``.

    In every cell (dataset, factors, provenance, teacher, student) each method is compared with each baseline,
    and each baseline with those before it, on every metric that any run has. Runs are paired by seed where
    both are done and have the metric; a contrast without a pair stays undecided and without a gain. One of
    fewer than 5 pairs stays undecided as well, and ``undecided_because`` holds the reason.

    ``p_adjusted`` is Holm's, over all contrasts with the same metric and baseline, of which ``n_tests`` are
    distinct: one that rests on the same runs and values in several cells (label smoothing against plain
    training does not depend on the teacher) has a row in each cell but is one test. ``verdict_family`` is the
    verdict where it holds together with those of the whole family: Holm's method on ``p_verdict``, the
    smallest error rate at which the interval gives a verdict.

    Args:
        rows: Result rows; see :func:`distillab.evidence.schema.results_schema`.
        task: The task of the study, for its metrics.
        baselines: Methods to compare with, in order.
        margin: The margin that the study sets, for metrics that use it.
        confidence: Nominal coverage of the intervals.
        looks: The looks of a study with sequential stopping. Each contrast has the pairs, level and p-value
            of the look at which it stopped, or of the last complete one, and two further columns
            ``confidence`` and ``look`` (null before the first).
        contributions: What test examples add to the primary metric, so that its intervals and verdicts cover
            new test examples.
        further: What they add to other metrics. Where it is not known, test examples are taken as fixed.

    Returns:
        Effect rows, by cell in order of appearance, the primary metric first. ``gain`` is distilled - plain,
        so negative gains are good where lower is better. Only the primary metric has ``gap_closed``, the gain
        over (teacher - plain mean) if the teacher is better by more than the margin, and ``error_ratio``, the
        mean error (one minus the metric) distilled over that of plain training.

    Raises:
        RequestError: No run used one of the baselines.
        ValueError: A cell holds two different runs of one method and seed.

    Example:
        >>> from distillab.tasks import Classification
        >>> rows = [
        ...     {"run_id": method, "method": method, "seed": seed, "status": "done", "accuracy": value}
        ...     for method, values in {"ce": [0.80, 0.82], "kd": [0.84, 0.85]}.items()
        ...     for seed, value in enumerate(values)
        ... ]
        >>> [effect] = compute_effects(rows, Classification())
        >>> effect["metric"], effect["n_pairs"], round(effect["gain"], 3), effect["verdict"]
        ('accuracy', 2, 0.035, 'undecided')
    """
    judging = Judging(task, baselines, margin, confidence, looks, contributions, further)
    table, tests = contrast_rows(rows, judging)
    adjust(tests, 1.0 - confidence)
    return table


def contrast_rows(rows: Sequence[Row], judging: Judging) -> tuple[list[Row], list[FamilyTest]]:
    """Return the effect rows before what depends on their family, and those of them that are tests.

    The errors are those of :func:`compute_effects`.
    """
    judging.require_baselines(rows)
    columns, metrics = cell_columns(rows), judging.metrics(rows)
    table: list[Row] = []
    tests: list[FamilyTest] = []
    for cell, runs in by_cell(rows, columns).items():
        names = dict(zip(columns, cell, strict=True))
        for method, baseline in contrasts(runs, judging.baselines):
            distilled, plain = runs[method], runs[baseline]
            state = _state(distilled, plain, judging)
            for metric in metrics:
                paired = pairs(distilled, plain, metric.name)
                paired = pairs_at(state.look, paired) if state else paired
                effect = names | {"method": method, "baseline": baseline, "metric": metric.name}
                effect |= _computed(paired, metric, judging, state)
                table.append(effect)
                if paired:
                    tests.append((test_key(paired, metric.name), effect))
    return table, tests


def _state(distilled: SeedRows, plain: SeedRows, judging: Judging) -> ContrastState | None:
    """Return the state of a contrast in a study with sequential stopping; None in others."""
    if not judging.looks:
        return None
    return contrast_state(
        distilled, plain, judging.looks, judging.primary, judging.margin, judging.contributions
    )


def contrasts(methods: Iterable[str], baselines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (method, baseline) for all that are present; of two baselines, the later against the earlier."""
    present = list(methods)
    for method in present:
        earlier = baselines[: baselines.index(method)] if method in baselines else baselines
        for baseline in earlier:
            if baseline in present:
                yield method, baseline


def test_key(paired: Iterable[tuple[Row, Row]], column: str) -> TestKey:
    """Return what a test rests on: its runs and their values.

    The values are part of it because one run has different agreements with different teachers.
    """
    return tuple((run["run_id"], run[column]) for pair in paired for run in pair)


def _computed(
    paired: list[tuple[Row, Row]], metric: Metric, judging: Judging, state: ContrastState | None
) -> Row:
    """Return the computed columns of an effect row; ``state`` is that of a study with sequential stopping."""
    effect: Row = dict.fromkeys(computed_columns(judging.task))
    differences = differences_of(paired, metric, judging.contributions_to(metric)) if paired else None
    confidence = state.look.confidence if state else judging.confidence
    effect |= judging.columns(differences, metric, confidence)
    if differences and (ends := differences.interval_same_runs(confidence)):
        effect |= dict(zip(SAME_RUNS, ends, strict=True))
    if judging.task.draws_classes and judging.contributions is None:
        # Too few identities: no interval is for others, so that none beside it is for the same ones.
        effect |= {"ci_low_same_test": None, "ci_high_same_test": None}
    if paired:
        effect |= _means(paired, effect["gain"], metric, judging)
    return effect | _at_look(effect, state, judging) if state else effect


def _means(paired: list[tuple[Row, Row]], gain: float, metric: Metric, judging: Judging) -> Row:
    """Return the means of both methods and of the teacher, and of the primary metric two ratios."""
    of_teacher = judging.task.of_teacher
    values = np.array([[row[metric.name] for row in pair] for pair in paired], dtype=np.float64)
    distilled, plain = (float(mean) for mean in values.mean(axis=0))
    teacher = _mean_of((after for after, _ in paired), of_teacher)
    if teacher is None:
        teacher = _mean_of((before for _, before in paired), of_teacher)
    means: Row = {"plain_mean": plain, "distilled_mean": distilled, of_teacher: teacher}
    if metric.name == judging.task.primary:
        if teacher is not None and teacher - plain > judging.margin:
            means["gap_closed"] = gain / (teacher - plain)
        if plain < 1.0:
            means["error_ratio"] = (1.0 - distilled) / (1.0 - plain)
    return means


def _at_look(effect: Row, state: ContrastState, judging: Judging) -> Row:
    """Return the columns of an effect row that sequential stopping changes."""
    look = state.look
    changed: Row = {"confidence": look.confidence, "look": look.number if state.complete else None}
    if effect["p_value"] is not None:
        changed["p_value"] = look.p_value(effect["p_value"])
    if effect["p_verdict"] is not None:
        # On the scale of the study: the look decides where its own level is reached.
        scale = (1.0 - judging.confidence) / (1.0 - look.confidence)
        changed["p_verdict"] = min(effect["p_verdict"] * scale, 1.0)
    if not state.complete:
        changed |= {"verdict": "undecided", "p_verdict": 1.0}
        changed["undecided_because"] = why_undecided(effect["n_pairs"], analyzed=False)
    return changed


def _mean_of(rows: Iterable[Row], column: str) -> float | None:
    """Return the mean of a column over the rows that have it, or None if there are none."""
    known = [value for row in rows if (value := finite_value(row, column)) is not None]
    return float(np.mean(known)) if known else None
