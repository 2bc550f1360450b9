"""All conclusions over several data sets: gains, ranks, harms, effects of factors, curves over sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from distillab.evidence.across.aggregates import Aggregate, interquartile_mean, probability_of_improvement
from distillab.evidence.across.base_sets import BaseSetMeans, MeanAcross
from distillab.evidence.across.contexts import (
    ContextTable,
    PairedContexts,
    StudiedContext,
    paired_contexts,
)
from distillab.evidence.across.harms_across import HarmAcross, harms_across
from distillab.evidence.across.mediation import Mediated, mediate
from distillab.evidence.across.mixed_model import MixedModel, fit_mixed_model
from distillab.evidence.across.multiplier import SizeComparison, compare_over_sizes
from distillab.evidence.across.ranks import CriticalDifference, critical_difference
from distillab.evidence.across.regression import Coefficient, regress
from distillab.evidence.across.signed_rank import SignedRank, bayesian_signed_rank
from distillab.evidence.across.size_curves import LEAST_SIZES, Refused
from distillab.evidence.across.terms import CONTEXTS_PER_TERM, DesignedTerms, terms_of
from distillab.evidence.comparisons import CONTROLS
from distillab.evidence.gains import guarded_interval
from distillab.evidence.verdicts import Verdict, benjamini_hochberg, holm
from distillab.printable import counted
from distillab.tasks import Task

SIZE = "size"
HeldLevels = tuple[tuple[str, float | str], ...]


@dataclass(frozen=True)
class BaseSetGain:
    """The gain of a method on one base set.

    Attributes:
        base_set: The base set.
        gain: Mean over its contexts.
        ci_low: Lower end of the interval over its contexts, or over seeds if it has one context.
        ci_high: Upper end of that interval.
        n_contexts: Number of contexts.

    Example:
        >>> BaseSetGain("usps", 0.02, 0.01, 0.03, n_contexts=4).gain
        0.02
    """

    base_set: str
    gain: float
    ci_low: float
    ci_high: float
    n_contexts: int


@dataclass(frozen=True)
class MethodAcross:
    """What is found of one method over all base sets.

    Attributes:
        method: The method.
        control: Whether it uses no knowledge of the teacher.
        gain: Mean gain in the primary metric.
        verdict: Its verdict, which holds together with those of the other methods (Holm).
        by_base_set: The gain on each base set, the largest first.
        signed_rank: Posterior probabilities over base sets.
        middle: Interquartile mean of the gains of all pairs.
        improvement: Probability that a distilled run is better than a plain one.

    Example:
        >>> mean = MeanAcross(0.02, 0.01, 0.03, 0.03, 0.03, "helps", 6, 24)
        >>> whole = Aggregate(0.02, 0.01, 0.03, 24, 120)
        >>> MethodAcross("kd", False, mean, "helps", (), SignedRank(0, 0, 1, 6), whole, whole).verdict
        'helps'
    """

    method: str
    control: bool
    gain: MeanAcross
    verdict: Verdict
    by_base_set: tuple[BaseSetGain, ...]
    signed_rank: SignedRank
    middle: Aggregate
    improvement: Aggregate


@dataclass(frozen=True)
class FactorEffects:
    """How the gain of one method depends on what contexts are like.

    Attributes:
        method: The method.
        effects: Coefficients within base sets, without the teacher's quality.
        p_adjusted: Their p-values, corrected over the terms (Benjamini and Hochberg).
        mediated: The same with and without it; empty where it is not known.
        teacher: The coefficient of the teacher's quality; None where it is not known.
        mixed: The mixed model of the same terms.
        notes: What was left out, and why.

    Example:
        >>> FactorEffects("kd", (), (), (), None, MixedModel(reason="too few contexts")).mixed.reason
        'too few contexts'
    """

    method: str
    effects: tuple[Coefficient, ...]
    p_adjusted: tuple[float, ...]
    mediated: tuple[Mediated, ...]
    teacher: Coefficient | None
    mixed: MixedModel
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CurveAcross:
    """Plain and distilled students over sizes, everything else held.

    Attributes:
        base_set: The base set.
        method: The method.
        held: What else the contexts are like, where curves differ in it.
        comparison: The curves, or why there are none.

    Example:
        >>> CurveAcross("usps", "kd", (("provenance", "full"),), Refused("flat", "")).held
        (('provenance', 'full'),)
    """

    base_set: str
    method: str
    held: HeldLevels
    comparison: SizeComparison | Refused


@dataclass(frozen=True)
class AcrossSets:
    """The conclusions over several data sets.

    Attributes:
        table: The contexts that they rest on.
        task: The task.
        baseline: What methods are compared with.
        margin: The margin of the primary metric.
        confidence: Of intervals and families.
        methods: What is found of each method, the largest gain first.
        harms: Changes of all metrics that show harm.
        ranks: Mean ranks of all methods, the baseline included; None with fewer than two base sets.
        factors: How the gains of the methods that use the teacher depend on factors.
        curves: Students over sizes.

    Example:
        >>> from distillab.tasks import Classification
        >>> AcrossSets(ContextTable(()), Classification(), "ce", 0.005, 0.95, (), (), None, (), ()).methods
        ()
    """

    table: ContextTable
    task: Task
    baseline: str
    margin: float
    confidence: float
    methods: tuple[MethodAcross, ...]
    harms: tuple[HarmAcross, ...]
    ranks: CriticalDifference | None
    factors: tuple[FactorEffects, ...]
    curves: tuple[CurveAcross, ...]


def conclude_across(
    table: ContextTable,
    task: Task,
    *,
    baseline: str = "ce",
    margin: float = 0.005,
    confidence: float = 0.95,
    methods: Sequence[str] = (),
) -> AcrossSets:
    """Return the conclusions over several data sets.

    Args:
        table: The contexts.
        task: Their task.
        baseline: What methods are compared with.
        margin: Half width of the region of practical equivalence, for metrics that use that of a study.
        confidence: Of intervals and families.
        methods: The methods to compare; all if empty.

    Example:
        >>> from distillab.tasks import Classification
        >>> rng = np.random.default_rng(0)
        >>> def scores(gain: float) -> dict[tuple[str, str], dict[int, float]]:
        ...     plain = rng.uniform(0.5, 0.6, 5).tolist()
        ...     arms = {"ce": plain, "kd": [each + gain for each in plain]}
        ...     return {(method, "accuracy"): dict(enumerate(values)) for method, values in arms.items()}
        >>> contexts = [StudiedContext(f"c{i}", f"set-{i}", {}, scores(0.02 + i / 1000)) for i in range(7)]
        >>> found = conclude_across(ContextTable(tuple(contexts)), Classification())
        >>> [(each.method, round(each.gain.mean, 3), each.verdict) for each in found.methods]
        [('kd', 0.023, 'helps')]
    """
    contexts, metric = table.contexts, task.metrics[task.primary]
    names = [name for name in (methods or table.methods) if name != baseline]
    limit = metric.margin_for(margin)
    by_method = {name: paired_contexts(contexts, name, baseline, metric.name) for name in names}
    by_method = {name: paired for name, paired in by_method.items() if paired.contexts}
    gains = {
        name: BaseSetMeans.of(paired.gains, paired.base_sets).summary(
            limit, higher_is_better=metric.higher_is_better, confidence=confidence
        )
        for name, paired in by_method.items()
    }
    adjusted = dict(zip(gains, holm([gain.p_verdict for gain in gains.values()]), strict=True))
    found = [
        _method(
            name,
            paired,
            gains[name],
            gains[name].verdict if adjusted[name] <= 1.0 - confidence + 1e-12 else "undecided",
            task,
            baseline,
            limit,
            confidence,
        )
        for name, paired in by_method.items()
    ]
    found.sort(key=lambda each: -each.gain.mean if metric.higher_is_better else each.gain.mean)
    distilling = [each.method for each in found if not each.control]
    return AcrossSets(
        table,
        task,
        baseline,
        limit,
        confidence,
        tuple(found),
        tuple(
            harms_across(contexts, distilling, task, baseline=baseline, margin=margin, confidence=confidence)
        ),
        _ranks(contexts, [baseline, *by_method], task, 1.0 - confidence),
        tuple(_factors(name, by_method[name], confidence) for name in distilling),
        tuple(curve for name in distilling for curve in _curves(contexts, name, baseline, task, confidence)),
    )


def _method(
    name: str,
    paired: PairedContexts,
    gain: MeanAcross,
    verdict: Verdict,
    task: Task,
    baseline: str,
    margin: float,
    confidence: float,
) -> MethodAcross:
    metric = task.metrics[task.primary]
    means = BaseSetMeans.of(paired.gains, paired.base_sets)
    arms = []
    for arm in (name, baseline):
        arms.append(
            [
                each.values(arm, metric.name, each.seeds([name, baseline], metric.name))
                for each in paired.contexts
            ]
        )
    by_set = [_base_set_gain(base_set, paired, confidence) for base_set in means.names]
    sign = 1.0 if metric.higher_is_better else -1.0
    return MethodAcross(
        name,
        name.split("(")[0] in CONTROLS,
        gain,
        verdict,
        tuple(sorted(by_set, key=lambda each: -sign * each.gain)),
        bayesian_signed_rank(means.values, margin, higher_is_better=metric.higher_is_better),
        interquartile_mean(paired.differences, confidence=confidence),
        probability_of_improvement(*arms, higher_is_better=metric.higher_is_better, confidence=confidence),
    )


def _base_set_gain(base_set: str, paired: PairedContexts, confidence: float) -> BaseSetGain:
    here = [i for i, name in enumerate(paired.base_sets) if name == base_set]
    values = paired.gains[here] if len(here) > 1 else paired.differences[here[0]]
    low, high = guarded_interval(values, confidence=confidence)
    return BaseSetGain(base_set, float(paired.gains[here].mean()), float(low), float(high), len(here))


def _ranks(
    contexts: Sequence[StudiedContext], methods: Sequence[str], task: Task, alpha: float
) -> CriticalDifference | None:
    """Return the ranks over base sets, each with its mean over the contexts that have all methods."""
    metric = task.metrics[task.primary]
    complete = [each for each in contexts if each.seeds(methods, metric.name)]
    sets = sorted({each.base_set for each in complete})
    if len(sets) < 2 or len(methods) < 2:
        return None
    means = {}
    for method in methods:
        values = [
            float(each.values(method, metric.name, each.seeds(methods, metric.name)).mean())
            for each in complete
        ]
        means[method] = BaseSetMeans.of(values, [each.base_set for each in complete]).values
    return critical_difference(means, higher_is_better=metric.higher_is_better, alpha=alpha)


def _factors(method: str, paired: PairedContexts, confidence: float) -> FactorEffects:
    designed = terms_of(paired.contexts)
    notes, sets = list(designed.notes), paired.base_sets
    terms = designed.terms
    if len(paired.contexts) - len(set(sets)) < CONTEXTS_PER_TERM * len(terms) and terms:
        number = f"{counted(len(paired.contexts), 'context')} of {counted(len(set(sets)), 'base set')}"
        few = f"{number} are too few for {counted(len(terms), 'term')}"
        return FactorEffects(method, (), (), (), None, MixedModel(reason=few), (*notes, few))
    effects = regress(paired.gains, terms, sets, confidence=confidence)
    mixed = fit_mixed_model(paired.gains, terms, sets, confidence=confidence)
    mediated, teacher = _with_teacher(paired, designed, confidence)
    adjusted = benjamini_hochberg([effect.p_value for effect in effects])
    return FactorEffects(method, effects, tuple(adjusted.tolist()), mediated, teacher, mixed, tuple(notes))


def _with_teacher(
    paired: PairedContexts, designed: DesignedTerms, confidence: float
) -> tuple[tuple[Mediated, ...], Coefficient | None]:
    """Return effects with and without the teacher's quality, if all contexts have it."""
    quality = [each.teacher_score for each in paired.contexts]
    known = [value for value in quality if value is not None]
    if len(known) < len(quality) or not designed.terms or not np.ptp(known):
        return (), None
    return mediate(paired.gains, designed.terms, known, paired.base_sets, confidence=confidence)


def _curves(
    contexts: Sequence[StudiedContext], method: str, baseline: str, task: Task, confidence: float
) -> list[CurveAcross]:
    """Return curves over sizes of contexts that agree in all else, for scores in [0, 1]."""
    metric = task.metrics[task.primary].name
    groups: defaultdict[tuple[str, HeldLevels], dict[float, StudiedContext]] = defaultdict(dict)
    for each in contexts:
        size = each.levels.get(SIZE)
        if isinstance(size, (int, float)) and each.seeds([method, baseline], metric):
            held = tuple(sorted((key, level) for key, level in each.levels.items() if key != SIZE))
            groups[each.base_set, held][float(size)] = each
    groups = defaultdict(dict, {key: each for key, each in groups.items() if len(each) >= LEAST_SIZES})
    varying = {level[0] for level in set().union(*(held for _, held in groups)) if not _shared(level, groups)}
    found = []
    for (base_set, held), by_size in groups.items():
        ordered = [by_size[size] for size in sorted(by_size)]
        shared = set.intersection(*(set(each.seeds([method, baseline], metric)) for each in ordered))
        seeds = sorted(shared)
        if not seeds:
            continue
        plain, distilled = (
            np.stack([each.values(arm, metric, seeds) for each in ordered], axis=1)
            for arm in (baseline, method)
        )
        comparison = compare_over_sizes(sorted(by_size), plain, distilled, confidence=confidence)
        differing = tuple(level for level in held if level[0] in varying)
        found.append(CurveAcross(base_set, method, differing, comparison))
    return found


def _shared(level: tuple[str, float | str], groups: Iterable[tuple[str, HeldLevels]]) -> bool:
    return all(level in held for _, held in groups)
