"""How claims are judged: each rule is read from the tables of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from distillab.claims.rules import (
    ClassesRule,
    DecisionRule,
    DifferenceRule,
    GainDifferenceRule,
    GainRule,
    PairTerm,
    RuleLevel,
    RunSelector,
    ScoreCheck,
    ScoreRule,
    TeacherCheck,
)
from distillab.claims.spec import ClaimSpec, resolve_level
from distillab.claims.verdict import (
    RuleFinding,
    answer_of,
    expected_region,
    least_difference,
)
from distillab.errors import RequestError
from distillab.evidence.contrast import FurtherContributions, RunPair, combination_of
from distillab.evidence.gains import grid_floor, guarded_interval
from distillab.evidence.harms import ClassHarm
from distillab.evidence.level_effects import TREND
from distillab.evidence.pairs import FACTOR, Row, finite_value
from distillab.factors.factor import Level, level_text
from distillab.study.ledger import JobState
from distillab.study.spec.seeds import LEAST_PAIRS
from distillab.tasks import Classification, Metric, Task

ClassChanges = Callable[[Sequence[Row], Sequence[Row]], Sequence[ClassHarm]]
"""The changes per class from the runs of some rows to those of others, in the same order of seeds."""


@dataclass(frozen=True)
class ClaimTables:
    """The tables of a study that claims are judged by.

    Attributes:
        results: Rows of ``results.parquet`` that conclusions rest on.
        effects: Rows of ``effects.parquet``.
        level_effects: Rows of ``level_effects.parquet``.
        levels: The levels of each factor in written order.
        task: The task of the study.
        margin: Its margin.
        confidence: Of its intervals.
        contributions: What test examples add to a metric, by its column; None takes them as fixed.
        class_changes: The changes per class; None if they cannot be measured.

    Example:
        >>> ClaimTables(results=[], effects=[], level_effects=[]).margin
        0.005
    """

    results: Sequence[Row]
    effects: Sequence[Row]
    level_effects: Sequence[Row]
    levels: Mapping[str, Sequence[Level]] = field(default_factory=dict)
    task: Task = field(default_factory=Classification)
    margin: float = 0.005
    confidence: float = 0.95
    contributions: FurtherContributions | None = None
    class_changes: ClassChanges | None = None

    def rows_at(
        self,
        rows: Sequence[Row],
        at: Mapping[str, RuleLevel],
        provenance: str | None = None,
        student: str | None = None,
        **columns: object,
    ) -> list[Row]:
        """Return the rows at some levels, of a provenance and a student, with given values of columns."""
        wanted = dict(columns)
        wanted |= {
            f"{FACTOR}{name}": resolve_level(level, list(self.levels[name]), name)
            for name, level in at.items()
        }
        wanted |= {"provenance": provenance} if provenance else {}
        wanted |= {"student": student} if student else {}
        return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]

    def runs(self, runs: RunSelector) -> dict[int, Row]:
        """Return the finished runs of a selector by seed.

        Raises:
            RequestError: It matches two runs of a seed.
        """
        found: dict[int, Row] = {}
        for row in self.rows_at(self.results, runs.at, runs.provenance, runs.student, method=runs.method):
            if row["status"] == JobState.DONE:
                held = found.setdefault(int(row["seed"]), row)
                if held is not row:
                    raise RequestError(f"several runs of {runs.method} under one seed match a rule")
        return found


def findings_of(claim: ClaimSpec, tables: ClaimTables) -> tuple[RuleFinding, ...]:
    """Return what the tables show about each rule of a claim; a rule that matches several rows has several.

    Args:
        claim: The claim.
        tables: The tables of its study.

    Example:
        >>> from distillab.claims.library import find_claim
        >>> tables = ClaimTables([], [], [], levels={"size": [5.0, 20.0, 80.0]})
        >>> [found.answer for found in findings_of(find_claim("size-full"), tables)]
        ['undecided']
    """
    return tuple(found for rule in claim.decision_rule for found in _findings(rule, tables))


def failed_check(claim: ClaimSpec, tables: ClaimTables) -> str | None:
    """Return why a claim is not tested: the first manipulation check that failed, or None if all passed.

    Args:
        claim: The claim.
        tables: The tables of its study.

    Example:
        >>> from distillab.claims.library import find_claim
        >>> row = {"status": "excluded", "method": "kd", "seed": 0}
        >>> failed_check(find_claim("size-full"), ClaimTables([row], [], []))
        'A manipulation check of a factor failed: 1 of 1 runs were excluded.'
    """
    excluded = sum(row["status"] == "excluded" for row in tables.results)
    if excluded:
        total = len(tables.results)
        return f"A manipulation check of a factor failed: {excluded} of {total} runs were excluded."
    for check in claim.checks:
        if isinstance(check, TeacherCheck):
            reason = _teacher_reason(check, tables)
        else:
            reason = _score_reason(check, tables)
        if reason:
            return reason
    return _early_reason(claim, tables) if claim.needs_converged else None


# -- rules --------------------------------------------------------------------------------------------------


def _findings(rule: DecisionRule, tables: ClaimTables) -> Iterator[RuleFinding]:
    if isinstance(rule, GainRule):
        yield from _gains(rule, tables)
    elif isinstance(rule, GainDifferenceRule):
        yield _gain_difference(rule, tables)
    elif isinstance(rule, DifferenceRule):
        yield _difference(rule, tables)
    elif isinstance(rule, ScoreRule):
        yield _score(rule, tables)
    else:
        yield _classes(rule, tables)


def _gains(rule: GainRule, tables: ClaimTables) -> Iterator[RuleFinding]:
    found = tables.rows_at(
        tables.effects,
        rule.at,
        rule.provenance,
        rule.student,
        method=rule.method,
        baseline=rule.baseline,
        metric=rule.metric,
    )
    if not found:
        yield RuleFinding(rule.text, "undecided", None, None, None, 0, note="no such comparison")
    if len(found) > 1 and not rule.each:
        raise RequestError(f"the rule {rule.text!r} matches {len(found)} rows of the table of effects")
    for row in found:
        text = rule.text if len(found) == 1 else f"{rule.text} ({_cell(row, tables)})"
        yield _from_row(text, row, row.get("gain"), rule, tables)


def _gain_difference(rule: GainDifferenceRule, tables: ClaimTables) -> RuleFinding:
    level = rule.level
    if level != TREND:
        resolved = resolve_level(level, list(tables.levels[rule.factor]), rule.factor)
        level = level_text(resolved)
    found = tables.rows_at(
        tables.level_effects,
        rule.at,
        rule.provenance,
        rule.student,
        factor=rule.factor,
        level=level,
        method=rule.method,
        baseline=rule.baseline,
        metric=rule.metric,
    )
    if not found:
        return RuleFinding(rule.text, "undecided", None, None, None, 0, note="no such comparison")
    if len(found) > 1:
        raise RequestError(f"the rule {rule.text!r} matches {len(found)} rows of the table of level effects")
    return _from_row(rule.text, found[0], found[0].get("difference"), rule, tables)


def _from_row(
    text: str,
    row: Row,
    estimate: float | None,
    rule: GainRule | GainDifferenceRule,
    tables: ClaimTables,
) -> RuleFinding:
    low = -math.inf if row.get("ci_low") is None else row["ci_low"]
    high = math.inf if row.get("ci_high") is None else row["ci_high"]
    return _expected(text, estimate, (low, high), int(row["n_pairs"]), rule, tables)


def _difference(rule: DifferenceRule, tables: ClaimTables) -> RuleFinding:
    metric = tables.task.metrics[rule.metric]
    terms: list[PairTerm] = [rule, *([rule.versus] if rule.versus else [])]
    by_seed = [_pairs(term, metric, tables) for term in terms]
    seeds = sorted(set.intersection(*(set(each) for each in by_seed)))
    if not seeds:
        return RuleFinding(rule.text, "undecided", None, None, None, 0, note="no finished pair")
    weights = (1.0, -1.0)[: len(terms)]
    paired = [tuple(each[seed] for each in by_seed) for seed in seeds]
    contributions = tables.contributions(metric.name) if tables.contributions else None
    gain = combination_of(paired, weights, metric, contributions).gain(tables.confidence)
    return _expected(rule.text, gain.gain, (gain.ci_low, gain.ci_high), gain.n_pairs, rule, tables)


def _pairs(term: PairTerm, metric: Metric, tables: ClaimTables) -> dict[int, RunPair]:
    after, before = tables.runs(term.of), tables.runs(term.minus)
    return {
        seed: (after[seed], before[seed])
        for seed in after.keys() & before.keys()
        if finite_value(after[seed], metric.name) is not None
        and finite_value(before[seed], metric.name) is not None
    }


def _expected(
    text: str,
    estimate: float | None,
    interval: tuple[float, float],
    n_pairs: int,
    rule: GainRule | GainDifferenceRule | DifferenceRule,
    tables: ClaimTables,
) -> RuleFinding:
    """Return the finding on a difference, in the direction of the metric; rules are on improvements."""
    metric = tables.task.metrics[rule.metric]
    margin = metric.margin_for(tables.margin) if rule.margin is None else rule.margin
    low, high = interval
    improvement = (low, high) if metric.higher_is_better else (-high, -low)
    region = expected_region(rule.expect, margin)
    answer = answer_of(*improvement, region, n_pairs)
    least, most = region if metric.higher_is_better else (-region[1], -region[0])
    alpha = 1.0 - tables.confidence
    error = (high - low) / 2 / float(stdtrit(n_pairs - 1, 1 - alpha / 2)) if n_pairs > 1 else math.inf
    return RuleFinding(
        text,
        answer,
        estimate,
        _finite(low),
        _finite(high),
        n_pairs,
        margin,
        least_difference(error, n_pairs, margin, alpha),
        _finite(least),
        _finite(most),
        metric.unit,
        "" if answer != "undecided" else _why_undecided(n_pairs),
    )


def _score(rule: ScoreRule, tables: ClaimTables) -> RuleFinding:
    metric = tables.task.metrics[rule.metric]
    rows = tables.runs(rule).values()
    values = [value for row in rows if (value := finite_value(row, rule.metric)) is not None]
    if not values:
        return RuleFinding(rule.text, "undecided", None, None, None, 0, note="no finished run")
    sizes = [row["n_test"] for row in rows if row.get("n_test")]
    step = 1.0 / min(sizes) if metric.counts_examples and sizes else 0.0
    floor = grid_floor(len(values), step, tables.confidence)
    low, high = (float(end) for end in guarded_interval(values, confidence=tables.confidence, floor=floor))
    region = (rule.above, math.inf) if rule.above is not None else (-math.inf, rule.below or 0.0)
    answer = answer_of(low, high, region, len(values))
    note = "" if answer != "undecided" else _why_undecided(len(values))
    mean = float(np.mean(values))
    return RuleFinding(
        rule.text,
        answer,
        mean,
        _finite(low),
        _finite(high),
        len(values),
        least=rule.above,
        most=rule.below,
        unit=metric.unit,
        note=note,
    )


def _classes(rule: ClassesRule, tables: ClaimTables) -> RuleFinding:
    after = tables.runs(rule)
    before = tables.runs(rule.with_method(rule.baseline))
    seeds = sorted(after.keys() & before.keys())
    if not seeds or tables.class_changes is None:
        return RuleFinding(rule.text, "undecided", None, None, None, 0, note="no finished pair")
    changes = tables.class_changes([after[seed] for seed in seeds], [before[seed] for seed in seeds])
    wanted = {"any": ("gains", "loses"), "gain": ("gains",), "lose": ("loses",)}[rule.change]
    share = sum(each.direction in wanted for each in changes) / len(changes)
    decided = len(seeds) >= LEAST_PAIRS
    return RuleFinding(
        rule.text,
        "undecided" if not decided else "supported" if share >= rule.at_least else "refuted",
        share,
        None,
        None,
        len(seeds),
        least=rule.at_least,
        unit="share",
        note="" if decided else _why_undecided(len(seeds)),
    )


# -- checks -------------------------------------------------------------------------------------------------


def _teacher_reason(check: TeacherCheck, tables: ClaimTables) -> str | None:
    primary = tables.task.primary
    rows = tables.rows_at(tables.effects, check.at, check.provenance, metric=primary)
    compared = [
        (row[tables.task.of_teacher], row["plain_mean"])
        for row in rows
        if row.get(tables.task.of_teacher) is not None and row.get("plain_mean") is not None
    ]
    if not compared:
        return f"The check that {check.text} has nothing to compare."
    teacher, plain = min(compared, key=lambda pair: pair[0] - pair[1])
    if teacher - plain >= check.better_by:
        return None
    return f"The check that {check.text} failed: {100 * teacher:.1f} against {100 * plain:.1f} %."


def _early_reason(claim: ClaimSpec, tables: ClaimTables) -> str | None:
    """Return why training is not known to be long enough: one comparison of the methods of the rules is of
    early training, or none could be judged."""
    methods = {method for rule in claim.decision_rule for method in rule.methods}
    judged = [
        row.get("converged")
        for row in tables.effects
        if row["metric"] == tables.task.primary and row["method"] in methods and row["n_pairs"] >= LEAST_PAIRS
    ]
    check = "The check that twice the steps change no student by a point or more"
    if early := judged.count(False):
        return f"{check} failed for {early} of {len(judged)} comparisons."
    if judged and True not in judged:
        return f"{check} has no result: the probes could not decide it for any of {len(judged)} comparisons."
    return None


def _score_reason(check: ScoreCheck, tables: ClaimTables) -> str | None:
    found = _score(check, tables)
    if found.estimate is None:
        return f"The check that {check.text} has nothing to measure."
    passed = found.estimate > check.above if check.above is not None else found.estimate < (check.below or 0)
    return None if passed else f"The check that {check.text} failed: {found.measured}."


def _cell(row: Row, tables: ClaimTables) -> str:
    """Return what tells a row from others of a rule: its levels, provenance and student."""
    levels = (
        f"{name}: {level_text(row[f'{FACTOR}{name}'])}"
        for name, known in tables.levels.items()
        if len(known) > 1
    )
    parts = (*levels, str(row.get("provenance")), str(row.get("student")))
    return ", ".join(parts)


def _why_undecided(n_pairs: int) -> str:
    return (
        f"fewer than {LEAST_PAIRS} seeds" if n_pairs < LEAST_PAIRS else "the interval allows several answers"
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
