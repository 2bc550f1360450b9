"""The tables of conclusions over several data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence

from distillab.evidence.across import (
    AcrossSets,
    BreakEven,
    Coefficient,
    CurveAcross,
    DataMultiplier,
    FactorEffects,
    Mediated,
    Refused,
)
from distillab.evidence.across.wording_across import chance_text
from distillab.report.contents.gains import Number
from distillab.report.page import wording
from distillab.report.page.across_plots import curve_title
from distillab.report.page.table import Column, Table, TableCell, count_cell, number_cell, verdict_cell
from distillab.tasks import Metric


def methods_table(found: AcrossSets) -> Table:
    """Return the gains of all methods over base sets."""
    metric = found.task.metrics[found.task.primary]
    rows = []
    for each in found.methods:
        rows.append(
            (
                TableCell(each.method + (" (control)" if each.control else "")),
                _signed(each.gain.mean, metric),
                _interval(each.gain.ci_low, each.gain.ci_high, metric),
                number_cell(wording.p_value(each.gain.p_value), each.gain.p_value),
                verdict_cell(
                    each.verdict, each.gain.undecided_because if each.verdict == "undecided" else ""
                ),
                number_cell(chance_text(each.signed_rank.helps), each.signed_rank.helps),
                number_cell(chance_text(each.signed_rank.equivalent), each.signed_rank.equivalent),
                number_cell(chance_text(each.signed_rank.harms), each.signed_rank.harms),
                _signed(each.middle.value, metric),
                number_cell(wording.percent(each.improvement.value), each.improvement.value),
                count_cell(each.gain.n_base_sets),
                count_cell(each.gain.n_contexts),
            )
        )
    columns = (
        Column("Method"),
        Column(f"Gain, {metric.unit}", numeric=True, hint="each base set counts once"),
        Column("Interval", hint="cluster bootstrap over base sets"),
        Column("p", numeric=True, hint="sign flips over base sets"),
        Column("Verdict", hint="corrected for the number of methods"),
        Column("P(helps)", numeric=True, hint="Bayesian signed-rank test"),
        Column("P(no difference)", numeric=True),
        Column("P(harms)", numeric=True),
        Column("Middle half", numeric=True, hint="interquartile mean of the gains of all pairs"),
        Column("Better runs", numeric=True, hint="probability that a distilled run is better"),
        Column("Base sets", numeric=True),
        Column("Contexts", numeric=True),
    )
    return Table("across-methods-table", "Methods over base sets", columns, tuple(rows))


def harms_table(found: AcrossSets) -> Table:
    """Return the changes of all metrics that show harm, harmed ones first."""
    order = sorted(found.harms, key=lambda each: (each.verdict != "harms", -each.contexts_worse))
    rows = tuple(
        (
            TableCell(each.method),
            TableCell(each.metric.title),
            _signed(each.change.mean, each.metric),
            _interval(each.change.ci_low, each.change.ci_high, each.metric),
            TableCell(each.metric.unit),
            verdict_cell(each.verdict),
            number_cell(f"{each.contexts_worse} of {each.contexts_tested}", each.contexts_worse),
        )
        for each in order
    )
    columns = (
        Column("Method"),
        Column("Metric"),
        Column("Change", numeric=True),
        Column("Interval", hint="over base sets"),
        Column("Unit"),
        Column("Verdict", hint="corrected over methods and metrics"),
        Column("Contexts worse", numeric=True, hint="beyond the margin, at a false discovery rate of 5 %"),
    )
    return Table("across-harms-table", "Changes behind the average", columns, rows)


def base_sets_table(found: AcrossSets) -> Table:
    """Return the gain of every method on every base set."""
    metric = found.task.metrics[found.task.primary]
    by_method = [{each.base_set: each for each in method.by_base_set} for method in found.methods]
    rows = []
    for name in found.table.base_sets:
        here = [gains.get(name) for gains in by_method]
        number = max((each.n_contexts for each in here if each), default=0)
        rows.append(
            (
                TableCell(name),
                count_cell(number),
                *(_signed(each.gain if each else None, metric) for each in here),
            )
        )
    columns = (
        Column("Base set"),
        Column("Contexts", numeric=True),
        *(Column(f"{each.method}, {metric.unit}", numeric=True) for each in found.methods),
    )
    return Table("across-sets-table", f"Gain in {metric.label} by base set", columns, tuple(rows))


def rank_pairs_table(found: AcrossSets) -> Table:
    """Return the pairwise comparisons behind the critical-difference diagram."""
    pairs = found.ranks.pairs if found.ranks else ()
    rows = tuple(
        (
            TableCell(pair.first),
            TableCell(pair.second),
            number_cell(wording.p_value(pair.p_value), pair.p_value),
            number_cell(wording.p_value(pair.p_adjusted), pair.p_adjusted),
        )
        for pair in pairs
    )
    columns = (
        Column("Better rank"),
        Column("Other"),
        Column("p", numeric=True, hint="Wilcoxon signed-rank test over base sets"),
        Column("p, corrected", numeric=True, hint="Holm"),
    )
    return Table("across-ranks-table", "Pairs of methods", columns, rows)


def factors_tables(found: AcrossSets) -> list[Table]:
    """Return a table of coefficients per method."""
    metric = found.task.metrics[found.task.primary]
    return [_factor_table(each, place, metric) for place, each in enumerate(found.factors) if each.effects]


def _factor_table(factors: FactorEffects, place: int, metric: Metric) -> Table:
    mediated: Sequence[Mediated | None] = factors.mediated or [None] * len(factors.effects)
    mixed = {each.term: each for each in factors.mixed.effects}
    rows = []
    for effect, p_value, split in zip(factors.effects, factors.p_adjusted, mediated, strict=True):
        beside = mixed.get(effect.term)
        rows.append(
            (
                TableCell(effect.term),
                *_coefficient(effect, metric),
                number_cell(wording.p_value(p_value), p_value),
                _signed(split.direct.estimate if split else None, metric),
                _signed(split.via_teacher if split else None, metric),
                _signed(beside.estimate if beside else None, metric),
                TableCell(effect.note or effect.interval_by),
            )
        )
    columns = (
        Column("Term"),
        Column(
            f"Change of the gain, {metric.unit}", numeric=True, hint="from the lowest to the highest level"
        ),
        Column("Interval", hint="over base sets"),
        Column("p, corrected", numeric=True, hint="wild cluster bootstrap, Benjamini and Hochberg"),
        Column("At equal teacher", numeric=True, hint="with the teacher's accuracy in the regression"),
        Column("Through the teacher", numeric=True),
        Column("Mixed model", numeric=True),
        Column("Note"),
    )
    caption = f"{factors.method}: what the gain depends on"
    return Table(f"across-factors-{place}", caption, columns, tuple(rows))


def _coefficient(effect: Coefficient, metric: Metric) -> tuple[TableCell, TableCell]:
    return _signed(effect.estimate, metric), _interval(effect.ci_low, effect.ci_high, metric)


def multipliers_table(found: AcrossSets) -> Table:
    """Return the data multiplier at every size of every curve."""
    rows = []
    for curve in found.curves:
        if isinstance(curve.comparison, Refused):
            continue
        for each in curve.comparison.multipliers:
            rows.append(
                (
                    TableCell(curve_title(curve)),
                    number_cell(f"{each.size:g}", each.size),
                    number_cell(_times(each), _finite(each.value)),
                    TableCell(f"[{_end(each.ci_low)}, {_end(each.ci_high)}]"),
                    TableCell(_even(curve)),
                )
            )
    columns = (
        Column("Students"),
        Column("Size", numeric=True),
        Column("Worth in plain data", numeric=True, hint="m(n) / n"),
        Column("Interval", hint="bootstrap over seeds"),
        Column("Break-even size"),
    )
    return Table("across-multipliers", "Data multiplier", columns, tuple(rows))


def refusals(found: AcrossSets) -> list[str]:
    """Return why curves have no data multiplier, each reason once."""
    reasons = []
    for curve in found.curves:
        comparison = curve.comparison
        refused = comparison if isinstance(comparison, Refused) else comparison.break_even
        if isinstance(refused, Refused) and refused.kind in ("not monotone", "flat", "too few sizes"):
            reasons.append(f"{curve_title(curve)}: {refused.reason}")
    return reasons


def _times(each: DataMultiplier) -> str:
    if each.refused is None:
        return wording.times(each.value)
    if not math.isfinite(each.bound):
        return wording.DASH
    return f"{'over' if each.refused.kind == 'too far' else 'under'} {wording.times(each.bound)}"


def _even(curve: CurveAcross) -> str:
    assert not isinstance(curve.comparison, Refused)
    found = curve.comparison.break_even
    if not isinstance(found, BreakEven):
        return wording.DASH
    side = "helps below" if found.helps_below else "helps above"
    return f"{side} {found.size:.0f} [{_end(found.ci_low, 0)}, {_end(found.ci_high, 0)}]"


def _end(value: float, digits: int = 1) -> str:
    return "beyond" if math.isinf(value) else f"{value:.{digits}f}"


def _finite(value: float) -> Number:
    return value if math.isfinite(value) else None


def _signed(value: Number, metric: Metric) -> TableCell:
    return number_cell(wording.signed(value, metric), value)


def _interval(low: float, high: float, metric: Metric) -> TableCell:
    return TableCell(wording.interval(low, high, metric))
