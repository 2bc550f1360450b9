"""The answer in plain words: whether distillation helps here, where, how certain that is, and the caveats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distillab.evidence.caveats import caveats, tests_made, what_would_decide
from distillab.evidence.comparisons import CONTROLS, Comparisons, compare, grouped
from distillab.evidence.curves import Curve
from distillab.evidence.estimand import estimand
from distillab.evidence.families import EXPLORATORY
from distillab.evidence.harm_first import harm_sentences
from distillab.evidence.harms import shows_harm
from distillab.evidence.lengths import (
    early_training,
    length_caveats,
    long_enough,
    of_early_training,
    qualified,
)
from distillab.evidence.level_wording import level_sentences
from distillab.evidence.pairs import PLACE_COLUMNS, Row
from distillab.evidence.wording import (
    PHRASES,
    Phrases,
    amount,
    describe_gain,
    describe_level,
    describe_pairs,
    factor_name,
    listed,
)
from distillab.printable import counted
from distillab.study.run_count import RunCount
from distillab.study.spec.seeds import LEAST_PAIRS
from distillab.tasks import Task

MOST_LISTED = 4
VERBS = {
    "helps": "helps",
    "harms": "harms",
    "equivalent": "makes no practical difference",
    "undecided": "is undecided",
}
EFFECTS = {
    "helps": "improves",
    "harms": "worsens",
    "equivalent": "makes no practical difference to",
}


@dataclass(frozen=True)
class Answer:
    """The conclusion of a study in plain words.

    Attributes:
        headline: One sentence without jargon.
        sentences: The findings behind it, most important first.
        decided: Number of comparisons of distillation methods (not controls) with plain training, on the
            primary metric, that have a verdict; one per condition and setting.
        undecided: Number of those without a verdict.
        tests: Number of distinct tests made in the whole study.
        caveats: What a reader must know before relying on it.
        missing: What would decide the undecided comparisons.
        progress: How much has run, such as ``25 of 54 runs``; empty once the study has finished.
        estimand: What the intervals cover: new seeds, other teachers or this one, new test examples.
        early: Number of comparisons of which an arm is not trained to the end.
        early_training: In how many comparisons that is so, and by what; empty if there is none.
        long_enough: That training is long enough, if that was found of all comparisons; else empty.
        settings: Which settings were compared: tuned ones, and how, or those of the recipe.
        differences: How much gains differ between levels, one sentence per method, factor and setting.
        harms: What distillation harms behind the primary metric, one sentence per method.
        metric: The column that it is about; empty for the primary metric.

    Example:
        >>> Answer("Distillation (kd) improves accuracy.", decided=1).undecided
        0
    """

    headline: str
    sentences: tuple[str, ...] = ()
    decided: int = 0
    undecided: int = 0
    tests: int = 0
    caveats: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    progress: str = ""
    estimand: str = ""
    early: int = 0
    early_training: str = ""
    long_enough: str = ""
    settings: str = ""
    differences: tuple[str, ...] = ()
    harms: tuple[str, ...] = ()
    metric: str = ""


def summarize(
    effects: Sequence[Row],
    task: Task,
    curves: Sequence[Curve] = (),
    *,
    baseline: str = "ce",
    controls: Sequence[str] = CONTROLS,
    margin: float = 0.005,
    confidence: float = 0.95,
    phrases: Phrases = PHRASES,
    runs: RunCount | None = None,
    confounded: Sequence[str] = (),
    level_effects: Sequence[Row] = (),
    declared: bool = False,
    settings: str = "",
    same_views: bool = False,
    metric: str | None = None,
) -> Answer:
    """Return the answer that effect rows give.

    A control does as well as a method if a direct comparison finds the method no better, or otherwise if its
    gain is at least the gain of the method less the margin.

    Args:
        effects: Effect rows, from :func:`distillab.evidence.effects.compute_effects`.
        task: The task of the study, for its metrics.
        curves: Curves of the same study, whose trends are stated where ``level_effects`` has no row.
        baseline: The method that plain students are trained with.
        controls: Methods that use no knowledge of the study's teacher.
        margin: The margin of practical equivalence that the study sets.
        confidence: Coverage of the intervals.
        phrases: How the levels of each factor are written.
        runs: How many runs have finished. The headline of an unfinished study begins with it.
        confounded: What varies with the epochs
            (:func:`distillab.evidence.lengths.confounded_with_epochs`).
        level_effects: Differences between levels, from
            :func:`distillab.evidence.level_effects.compute_level_effects`.
        declared: Whether the study declares its contrasts, so that gains and differences are one family.
        settings: Which settings were compared, in a sentence.
        same_views: Whether all seeds have the same views of the examples.
        metric: The column that the answer is about, by default the primary metric.

    Example:
        >>> from distillab.tasks import Classification
        >>> row = {"method": "kd", "baseline": "ce", "metric": "accuracy", "n_pairs": 6, "gain": 0.03}
        >>> row |= {"ci_low": 0.02, "ci_high": 0.04, "p_value": 0.03, "p_adjusted": 0.03}
        >>> answer = summarize([row | {"verdict": "helps", "gap_closed": 0.5}], Classification())
        >>> print(answer.headline, *answer.sentences, sep="\\n")
        Distillation (kd) improves accuracy.
        kd helps: +3.0 points [2.0, 4.0], 6 pairs.
    """
    study = compare(
        effects,
        task,
        baseline=baseline,
        controls=controls,
        margin=margin,
        confidence=confidence,
        phrases=phrases,
        metric=metric,
    )
    tests = tests_made(effects, level_effects, one_family=declared)
    if study.main:
        compared = {(row["method"], row["factor"]) for row in level_effects}
        curves = [each for each in curves if (each.method, each.factor) not in compared]
        answer = _answer(study, curves, tests, confounded, settings)
        answer = replace(answer, estimand=estimand(study, same_views=same_views))
    else:
        headline = f"No distilled student was compared with {study.plain}."
        answer = Answer(headline, tuple(_findings(study.controls, study)), tests=tests)
    answer = replace(answer, differences=tuple(level_sentences(level_effects, study)), metric=metric or "")
    if answer.differences and all(row.get("undecided_because") == EXPLORATORY for row in study.main):
        answer = replace(answer, headline=qualified(answer.differences[0], study.main))
    if runs is None or runs.finished:
        return answer
    return replace(answer, headline=f"So far: {runs.text}. {answer.headline}", progress=runs.text)


def _answer(
    study: Comparisons, curves: Sequence[Curve], tests: int, confounded: Sequence[str], settings: str
) -> Answer:
    """Return the answer of a study that compares distilled with plain students."""
    decided = sum(row["verdict"] != "undecided" for row in study.main)
    rivals = {id(row): _rivals(row, study) for row in study.main if row["verdict"] == "helps"}
    sentences = [
        *_findings(study.main, study),
        *_control_sentences(rivals, study),
        *_trend_sentences(curves, study),
        *_findings(study.controls, study),
        *_side_effects(study),
    ]
    return Answer(
        qualified(_headline(study, rivals), study.main),
        tuple(sentences),
        decided,
        undecided=len(study.main) - decided,
        tests=tests,
        caveats=(
            *length_caveats(study.main, study.place, study.primary),
            *confounded,
            *caveats(study, tests),
        ),
        early=len(of_early_training(study.main)),
        early_training=early_training(study.main, study.primary, study.margin),
        long_enough=long_enough(study.main, study.primary, study.margin),
        settings=settings,
        missing=tuple(what_would_decide(study)),
        harms=tuple(harm_sentences(study)),
    )


def _headline(study: Comparisons, rivals: dict[int, list[str]]) -> str:
    """Return the first sentence: verdicts by number, and whether a control accounts for the gains."""
    numbers = {verdict: sum(row["verdict"] == verdict for row in study.main) for verdict in VERBS}
    methods = list(dict.fromkeys(row["method"] for row in study.main))
    names = listed(methods) if len(methods) < 4 else f"{len(methods)} methods"
    total, metric = len(study.main), study.metric.label
    if all(row["n_pairs"] < LEAST_PAIRS for row in study.main):
        where = f"the comparison with {study.plain} has"
        where = where if total == 1 else f"each of {total} comparisons with {study.plain} has"
        return f"There is no verdict on distillation ({names}): {where} fewer than {LEAST_PAIRS} pairs."
    if numbers["undecided"] == total:
        any_of = "either" if total == 2 else "any"
        where = "" if total == 1 else f" in {any_of} of {total} comparisons with {study.plain}"
        return f"The evidence does not show whether distillation ({names}) improves {metric}{where}."
    one_factor = len(study.factors) == 1 and not study.settings and len(methods) == 1
    noun = f"levels of {factor_name(study.factors[0])}" if one_factor else f"comparisons with {study.plain}"
    at = "at" if one_factor else "in"
    parts: list[str] = []
    for verdict, effect in EFFECTS.items():
        number = numbers[verdict]
        if number == total:
            where = "" if total == 1 else f" {at} {_all(total)} {noun}"
        else:
            where = f" {at} {number}" + ("" if parts else f" of {total} {noun}")
        if number:
            parts.append(f"{effect} {'it' if parts else metric}{where}")
    open_ = f"; {numbers['undecided']} {_are(numbers['undecided'])} undecided" if numbers["undecided"] else ""
    return f"Distillation ({names}) {listed(parts)}{_credit(rivals)}{open_}."


def _all(number: int) -> str:
    return "both" if number == 2 else f"all {number}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _credit(rivals: dict[int, list[str]]) -> str:
    if rivals and all(rivals.values()):
        return ", but a control without the teacher's knowledge does as well"
    return ""


def _findings(rows: Sequence[Row], study: Comparisons) -> list[str]:
    """Return one sentence per method and setting: its verdicts with gains, intervals and pairs."""
    groups = grouped(rows, ["method", *study.settings])
    return [_finding(group, study) for group in groups.values()]


def _finding(rows: list[Row], study: Comparisons) -> str:
    setting = study.setting(rows[0])
    name = rows[0]["method"] + (f" ({setting})" if setting else "")
    one_factor = len(study.factors) == 1
    noun, at = (f"levels of {factor_name(study.factors[0])}", "at") if one_factor else ("conditions", "in")
    clauses: list[str] = []
    for verdict, verb in VERBS.items():
        here = [row for row in rows if row["verdict"] == verdict and row["n_pairs"]]
        if not here:
            continue
        if len(rows) == 1:
            clauses.append(f"{name} {verb}: {describe_gain(here[0], study.metric)}, {describe_pairs(here)}")
            continue
        if clauses:
            where = f"it {verb} {at} {len(here)}"
        elif len(here) == len(rows):
            where = f"{name} {verb} {at} {_all(len(rows))} {noun}"
        else:
            where = f"{name} {verb} {at} {len(here)} of {len(rows)} {noun}"
        clauses.append(f"{where}: {_listing(here, study)}")
    return f"{'; '.join(clauses)}." if clauses else f"No pair of runs has finished for {name}."


def _listing(rows: list[Row], study: Comparisons) -> str:
    """Return the gains of rows with one verdict: the largest four, in the order of the study."""
    largest = sorted(rows, key=lambda row: -abs(row["gain"]))[:MOST_LISTED]
    shown = [row for row in rows if row in largest]
    gains = [
        f"{describe_gain(row, study.metric, unit=not n)} at {study.place(row)}" for n, row in enumerate(shown)
    ]
    more = [f"and {len(rows) - len(shown)} more"] if len(rows) > len(shown) else []
    return f"{', '.join(gains + more)} ({describe_pairs(rows)})"


def _rivals(row: Row, study: Comparisons) -> list[str]:
    """Return the controls that do as well as a method that helps, in its own cell."""
    cell = [*PLACE_COLUMNS, *study.factors]
    as_well = []
    for control in study.controls:
        if control["n_pairs"] < LEAST_PAIRS or any(control.get(name) != row.get(name) for name in cell):
            continue
        direct = [
            other
            for other in study.effects
            if other["method"] == row["method"]
            and other["baseline"] == control["method"]
            and other["metric"] == row["metric"]
            and all(other.get(name) == row.get(name) for name in cell)
        ]
        sign = 1.0 if study.metric.higher_is_better else -1.0
        if direct and direct[0]["verdict"] != "undecided":
            no_better = direct[0]["verdict"] != "helps"
        else:
            no_better = sign * control["gain"] >= sign * row["gain"] - study.margin
        if no_better:
            as_well.append(control["method"])
    return as_well


def _control_sentences(rivals: dict[int, list[str]], study: Comparisons) -> list[str]:
    """Return where a control does as well as a method that helps."""
    sentences = []
    for (method,), rows in grouped([row for row in study.main if id(row) in rivals], ["method"]).items():
        for control in dict.fromkeys(name for row in rows for name in rivals[id(row)]):
            where = sum(control in rivals[id(row)] for row in rows)
            extent = (
                f"wherever {method} helps"
                if where == len(rows)
                else f"at {where} of the {len(rows)} places where {method} helps"
            )
            sentences.append(
                f"{control}, a control without the teacher's knowledge, does as well as {method} {extent}, "
                "so that knowledge does not explain the gain there."
            )
    return sentences


def _trend_sentences(curves: Sequence[Curve], study: Comparisons) -> list[str]:
    """Return how the gain changes along each factor, for curves of at least 5 seeds."""
    main = {row["method"] for row in study.main}
    sentences = []
    for curve in curves:
        if curve.trend is None or curve.method not in main or curve.metric != study.metric.name:
            continue
        if curve.trend.n_seeds < LEAST_PAIRS:
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
            step = "tenfold increase" if curve.trend.log_scale else "unit"
            verb = "grows" if curve.trend.slope > 0 else "shrinks"
            change = f"{amount(curve.trend.slope, study.metric)} {study.metric.unit} per {step}"
            sentences.append(f"The gain of {curve.method}{where} {verb} with {name}: {change} (p = {p:.2g}).")
        elif curve.trend.p_any <= study.alpha:
            sentences.append(
                f"The gain of {curve.method}{where} changes with {name}, but not steadily in one direction "
                f"(p = {curve.trend.p_any:.2g})."
            )
        else:
            sentences.append(
                f"There is no evidence that the gain of {curve.method}{where} depends on {name} "
                f"(p = {p:.2g})."
            )
    return sentences


def _side_effects(study: Comparisons) -> list[str]:
    """Return which other metrics distillation worsens, besides harms, which stand first.

    Agreement with the teacher is left out: it is a means, not an aim.
    """
    methods = {row["method"] for row in study.main}
    harmed = []
    for name in dict.fromkeys(row["metric"] for row in study.effects):
        metric = study.metrics[name]
        rows = [
            row
            for row in study.effects
            if row["metric"] == name and row["baseline"] == study.baseline and row["method"] in methods
        ]
        worse = sum(row["verdict"] == "harms" for row in rows)
        if worse and name != study.metric.name and metric.kind != "fidelity" and not shows_harm(metric):
            harmed.append(f"{metric.label} in {worse} of {counted(len(rows), 'comparison')}")
    return [f"Distillation worsens {listed(harmed)}."] if harmed else []
