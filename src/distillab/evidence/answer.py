"""The answer in plain words: does distilling help here, where, how sure is that, what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from distillab.evidence.caveats import caveats, tests_made, what_would_decide
from distillab.evidence.comparisons import CONTROLS, SETTING, Comparisons, compare, grouped
from distillab.evidence.curves import Curve
from distillab.evidence.pairs import Row
from distillab.evidence.wording import (
    PHRASES,
    Phrases,
    amount,
    count,
    describe_gain,
    describe_level,
    describe_pairs,
    factor_name,
    listed,
)
from distillab.tasks.classification import METRICS

FIDELITY = ("agreement", "teacher_kl")  # likeness to the teacher: a means, not something to lose
MOST_LISTED = 4


@dataclass(frozen=True)
class Answer:
    """What a study says, for people.

    Attributes:
        headline: one sentence without jargon.
        sentences: what stands behind it, most important first.
        decided: comparisons of distilling methods with plain training that have a verdict.
        undecided: those that have none.
        tests: distinct tests made in the whole study.
        caveats: what a reader must know before believing it.
        missing: what would decide the comparisons that are undecided.
    """

    headline: str
    sentences: list[str]
    decided: int
    undecided: int
    tests: int
    caveats: list[str]
    missing: list[str] = field(default_factory=list)


def answer(
    effects: Sequence[Row],
    curves: Sequence[Curve] = (),
    *,
    baseline: str = "ce",
    metric: str = "accuracy",
    controls: Sequence[str] = CONTROLS,
    margin: float = 0.005,
    confidence: float = 0.95,
    phrases: Phrases = PHRASES,
) -> Answer:
    """Put effect rows, and curves if there are any, into words.

    A control does as well as a method if the study compares the two and finds the method no better, or else
    if its gain is at least the method's gain less the margin. ``decided`` and ``undecided`` count the
    comparisons of methods that are not controls with ``baseline`` on ``metric``, each condition and setting
    on its own.

    Args:
        effects: effect rows, as :func:`distillab.evidence.effects.effects` returns them.
        curves: curves of the same study; their trends are told.
        baseline: the method that plain students were trained with.
        metric: the metric that the answer is about.
        controls: methods that carry no knowledge of the study's teacher.
        margin: the study's margin of practical equivalence.
        confidence: coverage of the intervals.
        phrases: what people call the levels of each factor.
    """
    study = compare(
        effects,
        baseline=baseline,
        metric=metric,
        controls=controls,
        margin=margin,
        confidence=confidence,
        phrases=phrases,
    )
    tests = tests_made(effects)
    if not study.main:
        headline = f"No distilled student was compared with {study.plain}."
        return Answer(headline, _facts(study.controls, study), 0, 0, tests, [])
    decided = sum(row["verdict"] != "undecided" for row in study.main)
    rivals = {id(row): _rivals(row, study) for row in study.main if row["verdict"] == "helps"}
    sentences = [
        *_facts(study.main, study),
        *_control_sentences(rivals, study),
        *_trend_sentences(curves, study),
    ]
    sentences += [*_facts(study.controls, study), *_side_effects(study)]
    undecided = len(study.main) - decided
    missing = what_would_decide(study)
    return Answer(_headline(study, rivals), sentences, decided, undecided, tests, caveats(study), missing)


def _headline(study: Comparisons, rivals: dict[int, list[str]]) -> str:
    """The first sentence: counts of verdicts, and whether a control takes the credit away."""
    found = {said: sum(row["verdict"] == said for row in study.main) for said in _SAID}
    methods = list(dict.fromkeys(row["method"] for row in study.main))
    who = (
        f"Distillation ({listed(methods)})" if len(methods) < 4 else f"Distillation ({len(methods)} methods)"
    )
    total = len(study.main)
    said = [name for name in _SAID if found[name]]
    if said == ["undecided"]:
        end = "" if total == 1 else f" in any of {total} comparisons with {study.plain}"
        return f"The evidence does not decide whether {who[0].lower()}{who[1:]} helps{end}."
    if len(said) == 1:
        where = "" if total == 1 else f" in all {total} comparisons with {study.plain}"
        return f"{who} {_SAID[said[0]]}{where}{_credit(rivals)}."
    one_factor = len(study.factors) == 1 and not study.settings and len(methods) == 1
    of = f"levels of {factor_name(study.factors[0])}" if one_factor else f"comparisons with {study.plain}"
    parts: list[str] = []
    for name in said:
        where = f"{'at' if one_factor else 'in'} {found[name]}" + ("" if parts else f" of {total} {of}")
        parts.append(
            f"{where} the evidence does not decide" if name == "undecided" else f"{_SAID[name]} {where}"
        )
    if said[-1] == "undecided":
        return f"{who} {listed(parts[:-1])}{_credit(rivals)}; {parts[-1]}."
    return f"{who} {listed(parts)}{_credit(rivals)}."


_SAID = {
    "helps": "helps",
    "harms": "harms",
    "equivalent": "makes no practical difference",
    "undecided": "remains undecided",
}


def _credit(rivals: dict[int, list[str]]) -> str:
    if rivals and all(rivals.values()):
        return ", but a control without the teacher's knowledge does as well"
    return ""


def _facts(rows: Sequence[Row], study: Comparisons) -> list[str]:
    """One sentence for each method and setting: its verdicts with gains, intervals and pairs."""
    groups = grouped(rows, ["method", *study.settings])
    return [_fact(group, study) for group in groups.values()]


def _fact(rows: list[Row], study: Comparisons) -> str:
    setting = study.setting(rows[0])
    who = rows[0]["method"] + (f" ({setting})" if setting else "")
    clauses = []
    for said in _SAID:
        here = [row for row in rows if row["verdict"] == said and row["n_pairs"]]
        if not here:
            continue
        if len(rows) == 1:
            start = (
                f"for {who} the evidence does not decide" if said == "undecided" else f"{who} {_SAID[said]}"
            )
            clauses.append(f"{start}: {describe_gain(here[0])}, {describe_pairs(here)}")
            continue
        noun = f"levels of {factor_name(study.factors[0])}" if len(study.factors) == 1 else "conditions"
        what = _listing(here, study)
        if said == "undecided":
            start = "" if clauses else f"for {who}, "
            clauses.append(f"{start}at {len(here)} of {len(rows)} the evidence does not decide: {what}")
        elif clauses:
            clauses.append(f"it {_SAID[said]} at {len(here)}: {what}")
        else:
            extent = f"all {len(rows)}" if len(here) == len(rows) else f"{len(here)} of {len(rows)}"
            clauses.append(f"{who} {_SAID[said]} at {extent} {noun}: {what}")
    if not clauses:
        return f"For {who} no pair of runs has finished."
    text = "; ".join(clauses)
    return (text if text.startswith(who) else text[0].upper() + text[1:]) + "."


def _listing(rows: list[Row], study: Comparisons) -> str:
    """The gains of some rows of one verdict: the largest four, in the order of the study."""
    largest = sorted(rows, key=lambda row: -abs(row["gain"]))[:MOST_LISTED]
    shown = [row for row in rows if row in largest]
    words = [f"{describe_gain(row, unit=not n)} at {study.place(row)}" for n, row in enumerate(shown)]
    more = [f"and {len(rows) - len(shown)} more"] if len(rows) > len(shown) else []
    return f"{', '.join(words + more)} ({describe_pairs(rows)})"


def _rivals(row: Row, study: Comparisons) -> list[str]:
    """The controls that do as well as a method that helps, in its own cell."""
    cell = [*SETTING, *study.factors]
    as_well = []
    for control in study.controls:
        if control["gain"] is None or any(control.get(name) != row.get(name) for name in cell):
            continue
        direct = [
            other
            for other in study.effects
            if other["method"] == row["method"]
            and other["baseline"] == control["method"]
            and other["metric"] == row["metric"]
            and all(other.get(name) == row.get(name) for name in cell)
        ]
        sign = 1.0 if METRICS[row["metric"]].higher_is_better else -1.0
        if direct and direct[0]["verdict"] != "undecided":
            no_better = direct[0]["verdict"] != "helps"
        else:
            no_better = sign * control["gain"] >= sign * row["gain"] - study.margin
        if no_better:
            as_well.append(control["method"])
    return as_well


def _control_sentences(rivals: dict[int, list[str]], study: Comparisons) -> list[str]:
    """Where a control does as well as a method that helps."""
    sentences = []
    for (method,), rows in grouped([row for row in study.main if id(row) in rivals], ["method"]).items():
        for control in dict.fromkeys(name for row in rows for name in rivals[id(row)]):
            where = sum(control in rivals[id(row)] for row in rows)
            extent = (
                "where it helps"
                if where == len(rows)
                else f"in {where} of the {len(rows)} places where it helps"
            )
            sentences.append(
                f"{control}, a control that knows nothing of the teacher, does as well as {method} {extent}: "
                "there the teacher's knowledge is not what helps."
            )
    return sentences


def _trend_sentences(curves: Sequence[Curve], study: Comparisons) -> list[str]:
    """How the gain moves along each factor."""
    main = {row["method"] for row in study.main}
    metric = study.metric
    sentences = []
    for curve in curves:
        if curve.trend is None or curve.method not in main or curve.metric != metric:
            continue
        held = [
            describe_level(name, level, study.phrases)
            for name, level in curve.held
            if f"factor.{name}" in study.factors
        ]
        shared = ", ".join(f"{name} {getattr(curve, name)}" for name in study.settings)
        where = f" ({', '.join([*held, *([shared] if shared else [])])})" if held or shared else ""
        name, p = factor_name(curve.factor), curve.trend.p_value
        if p <= study.alpha:
            step = "a tenfold" if curve.trend.log_scale else "a unit"
            verb = "grows" if curve.trend.slope > 0 else "shrinks"
            change = amount(curve.trend.slope, metric)
            unit = METRICS[metric].unit
            sentences.append(
                f"The gain of {curve.method}{where} {verb} with {name}: {change} {unit} {step} (p = {p:.2g})."
            )
        elif curve.trend.p_any <= study.alpha:
            sentences.append(
                f"The gain of {curve.method}{where} changes with {name}, though not steadily up or down "
                f"(p = {curve.trend.p_any:.2g})."
            )
        else:
            sentences.append(
                f"Whether the gain of {curve.method}{where} depends on {name} is not shown (p = {p:.2g})."
            )
    return sentences


def _side_effects(study: Comparisons) -> list[str]:
    """Other metrics that distillation makes worse."""
    methods = {row["method"] for row in study.main}
    harmed = []
    for name in dict.fromkeys(row["metric"] for row in study.effects):
        about = METRICS[name]
        rows = [
            row
            for row in study.effects
            if row["metric"] == name and row["baseline"] == study.baseline and row["method"] in methods
        ]
        worse = sum(row["verdict"] == "harms" for row in rows)
        if worse and name != study.metric and name not in FIDELITY:
            harmed.append(f"{about.label} in {worse} of {count(len(rows), 'comparison')}")
    return [f"Distillation makes worse: {listed(harmed)}."] if harmed else []
