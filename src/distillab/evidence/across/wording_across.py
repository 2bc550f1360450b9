"""Conclusions over several data sets in plain words, harm first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from distillab.evidence.across.base_sets import FEW_BASE_SETS, LEAST_FOR_VERDICT, MeanAcross
from distillab.evidence.across.conclusions_across import AcrossSets, CurveAcross, FactorEffects, MethodAcross
from distillab.evidence.across.multiplier import BreakEven, DataMultiplier
from distillab.evidence.across.regression import Coefficient
from distillab.evidence.across.size_curves import Refused
from distillab.evidence.wording import amount, describe_level, listed
from distillab.printable import counted
from distillab.tasks import Metric

VERBS_ACROSS = {
    "helps": "improves {metric}",
    "harms": "worsens {metric}",
    "equivalent": "makes no practical difference to {metric}",
    "undecided": "has no verdict",
}
MOST_SENTENCES = 6


@dataclass(frozen=True)
class AnswerAcross:
    """The conclusions over several data sets in plain words.

    Attributes:
        headline: One sentence.
        harms: What distillation worsens, one sentence per method; those that help on average first.
        sentences: What was found of each method, of factors and of sizes.
        caveats: What a reader must know before relying on it.

    Example:
        >>> AnswerAcross("kd improves accuracy over 8 base sets.").harms
        ()
    """

    headline: str
    harms: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()


def summarize_across(found: AcrossSets) -> AnswerAcross:
    """Return the conclusions over several data sets in plain words.

    Example:
        >>> from distillab.evidence.across.contexts import ContextTable
        >>> from distillab.tasks import Classification
        >>> nothing = AcrossSets(ContextTable(()), Classification(), "ce", 0.005, 0.95, (), (), None, (), ())
        >>> summarize_across(nothing).headline
        'No context has a pair of a distilled and a plain student.'
    """
    if not found.methods:
        return AnswerAcross("No context has a pair of a distilled and a plain student.")
    effects = [sentence for each in found.factors for sentence in _effect_sentences(each, found)]
    curves = [sentence for curve in found.curves for sentence in curve_sentences(curve)]
    return AnswerAcross(
        _headline(found),
        tuple(_harm_sentences(found)),
        (*(_method_sentence(each, found) for each in found.methods), *effects, *curves[:MOST_SENTENCES]),
        tuple(_caveats(found)),
    )


def describe_mean(mean: MeanAcross | Coefficient, metric: Metric) -> str:
    """Return a mean or coefficient with its interval: ``+1.2 points [0.4, 2.0]``.

    Example:
        >>> from distillab.tasks import Classification
        >>> mean = MeanAcross(0.012, 0.004, 0.02, 0.03, 0.04, "undecided", 8, 40)
        >>> describe_mean(mean, Classification.metrics["accuracy"])
        '+1.2 points [0.4, 2.0]'
    """
    value = mean.mean if isinstance(mean, MeanAcross) else mean.estimate
    text = f"{amount(value, metric)} {metric.unit}"
    if not (math.isfinite(mean.ci_low) and math.isfinite(mean.ci_high)):
        return f"{text} [no interval]"
    low, high = (amount(end, metric, sign=False) for end in (mean.ci_low, mean.ci_high))
    return f"{text} [{low}, {high}]"


def chance_text(probability: float) -> str:
    """Return a posterior probability, which is never written as certain.

    Example:
        >>> chance_text(0.123), chance_text(1.0), chance_text(0.0)
        ('12 %', 'over 99 %', 'under 1 %')
    """
    if probability > 0.99:
        return "over 99 %"
    return "under 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


def curve_sentences(curve: CurveAcross) -> list[str]:
    """Return what a curve over sizes shows: the data multiplier, and where the gain vanishes."""
    held = f" ({listed(describe_level(*level) for level in curve.held)})" if curve.held else ""
    where = f"{curve.method} on {curve.base_set}{held}"
    if isinstance(curve.comparison, Refused):
        return [f"{where}: no curve. {curve.comparison.reason}"]
    comparison = curve.comparison
    if isinstance(comparison.break_even, Refused) and comparison.break_even.kind in ("not monotone", "flat"):
        return [f"{where}: no data multiplier. {comparison.break_even.reason}"]
    middle = comparison.multipliers[len(comparison.multipliers) // 2]
    return [f"{where}: {_multiplier_text(middle)}{_even_text(comparison.break_even)}."]


def _multiplier_text(found: DataMultiplier) -> str:
    start = f"distilling on {found.size:g} is worth plain training on"
    if found.refused is None:
        return f"{start} {found.value:.1f} times as many [{_times(found.ci_low)}, {_times(found.ci_high)}]"
    if found.refused.kind == "too far":
        return f"{start} more than {found.bound:.1f} times as many, beyond what is extrapolated"
    return f"{start} less than {found.bound:.1f} times as many, below the smallest size"


def _times(value: float) -> str:
    return "beyond" if math.isinf(value) else f"{value:.1f}"


def _even_text(found: BreakEven | Refused) -> str:
    if isinstance(found, Refused):
        return ""
    side = "below" if found.helps_below else "above"
    low, high = _times(found.ci_low), _times(found.ci_high)
    beyond = ", beyond the measured sizes" if found.extrapolated else ""
    return f"; it helps {side} {found.size:.0f} [{low}, {high}]{beyond}"


def _headline(found: AcrossSets) -> str:
    metric = found.task.metrics[found.task.primary]
    sets, contexts = len(found.table.base_sets), len(found.table.contexts)
    main = [each for each in found.methods if not each.control] or list(found.methods)
    parts: list[str] = []
    for verdict, verb in VERBS_ACROSS.items():
        names = [each.method for each in main if each.verdict == verdict]
        if names:
            text = verb.format(metric="it" if parts and "accuracy" in parts[0] else metric.label)
            parts.append(f"{listed(names)} {_plural(text, len(names))}")
    over = f"Over {counted(sets, 'base set')} and {counted(contexts, 'context')}"
    return f"{over}, {listed(parts)}{_but(found)}."


def _plural(verb: str, number: int) -> str:
    if number == 1:
        return verb
    first, _, rest = verb.partition(" ")
    return f"{'have' if first == 'has' else first.removesuffix('s')} {rest}"


def _but(found: AcrossSets) -> str:
    """Return what the headline adds of methods that help on average and harm something."""
    helping = {each.method for each in found.methods if each.verdict == "helps"}
    harmed = [each for each in found.harms if each.verdict == "harms" and each.method in helping]
    if not harmed:
        return ""
    labels = list(dict.fromkeys(each.metric.label for each in harmed))
    names = listed(dict.fromkeys(each.method for each in harmed))
    return f", but {names} {'worsens' if ' and ' not in names else 'worsen'} {listed(labels)}"


def _harm_sentences(found: AcrossSets) -> list[str]:
    sentences = []
    order = sorted(found.methods, key=lambda each: each.verdict != "helps")
    for method in order:
        harmed = [each for each in found.harms if each.method == method.method and each.verdict == "harms"]
        single = [
            each
            for each in found.harms
            if each.method == method.method and each.verdict != "harms" and each.contexts_worse
        ]
        helps = f" improves {found.task.metrics[found.task.primary].label} on average, and"
        start = f"{method.method}{helps if method.verdict == 'helps' else ''}"
        if harmed:
            texts = [f"{each.metric.label} ({describe_mean(each.change, each.metric)})" for each in harmed]
            sentences.append(f"{start} worsens {listed(texts)}.")
        if single:
            texts = [
                f"{each.metric.label} in {each.contexts_worse} of {counted(each.contexts_tested, 'context')}"
                for each in single
            ]
            sentences.append(f"{start} worsens {listed(texts)}.")
    return sentences


def _method_sentence(method: MethodAcross, found: AcrossSets) -> str:
    metric = found.task.metrics[found.task.primary]
    chances = method.signed_rank
    verdict = VERBS_ACROSS[method.verdict].format(metric=metric.label)
    because = ""
    if method.verdict == "undecided":
        reason = method.gain.undecided_because or "it does not hold together with the other methods"
        because = f", because of {reason}" if reason.startswith("fewer") else f": {reason}"
    chance = ""
    if method.gain.n_base_sets >= LEAST_FOR_VERDICT:
        chance = (
            f"; probability that it helps {chance_text(chances.helps)}, makes no difference "
            f"{chance_text(chances.equivalent)}, harms {chance_text(chances.harms)}"
        )
    control = ", a control without the teacher's knowledge," if method.control else ""
    return (
        f"{method.method}{control} {verdict}{because}: {describe_mean(method.gain, metric)} over "
        f"{counted(method.gain.n_base_sets, 'base set')} "
        f"({counted(method.gain.n_contexts, 'context')}){chance}."
    )


def _effect_sentences(factors: FactorEffects, found: AcrossSets) -> list[str]:
    """Return the effects whose interval excludes zero, and what goes through the teacher."""
    metric = found.task.metrics[found.task.primary]
    sentences = []
    for place, (effect, p_value) in enumerate(zip(factors.effects, factors.p_adjusted, strict=True)):
        if p_value > 1.0 - found.confidence or not math.isfinite(effect.estimate):
            continue
        text = f"The gain of {factors.method} changes with {effect.term}: {describe_mean(effect, metric)}"
        if factors.mediated and math.isfinite(factors.mediated[place].via_teacher):
            direct = factors.mediated[place].direct
            text += f"; at equal accuracy of the teacher {describe_mean(direct, metric)}"
        sentences.append(f"{text} (p = {p_value:.2g}).")
    return sentences


def _caveats(found: AcrossSets) -> list[str]:
    sets = len(found.table.base_sets)
    caveats = []
    if sets < FEW_BASE_SETS:
        caveats.append(
            f"{counted(sets, 'base set')} {'is' if sets == 1 else 'are'} few: intervals over base sets are "
            "wide, and rest on what these have in common."
        )
    caveats += [
        f"Left out: {counted(each.count, 'context')}, {each.reason}." for each in found.table.left_out
    ]
    if found.table.failed:
        caveats.append(f"{counted(found.table.failed, 'run')} failed or diverged and are in no pair.")
    caveats += [f"Factors: {note}." for note in _notes(found.factors)]
    return caveats


def _notes(factors: Sequence[FactorEffects]) -> list[str]:
    return list(dict.fromkeys(note for each in factors for note in each.notes))
