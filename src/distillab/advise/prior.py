"""The prior: what the evidence base leads to expect of data like these before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from distillab.advise.context_features import Facts, FeatureTable
from distillab.advise.posterior import GainEstimate
from distillab.advise.regression import Fitted, fit_gains, fit_probability
from distillab.advise.support import Distance, Support
from distillab.base import ContextPairs, EvidenceBase
from distillab.evidence.comparisons import CONTROLS
from distillab.evidence.draws import FloatArray, Variance
from distillab.study.spec.evidence import PLAIN

LEAST_BASE_SETS = 4  # an 80 % interval over base sets needs as many
LEAST_CONTEXTS = 8
HARM_METRICS = ("tail_accuracy", "worst_group_accuracy", "worst_class_accuracy")
HARM_MARGIN = 0.01  # a loss of the tail, worst group or worst class of more than a point counts as harm
REAL_TIERS = ("R", "T")
_LEAST_SHARE = 0.1  # of the squared residuals that stays, however noisy the measured gains are


@dataclass(frozen=True, eq=False)
class StudiedMethod:
    """The gains of one method in the contexts of the base, with a model of them.

    Attributes:
        method: The method.
        contexts: The contexts, ``[n]``.
        base_sets: The base set of each.
        is_real: Whether each is of real data, bool ``[n]``; the others are never used for calibration.
        gains: Mean paired gain of each, float64 ``[n]``.
        variances: The variance of the error of each, float64 ``[n]``.
        model: The model of the gains.
        harm: The model of the probability of harm; None where no metric of harm was measured.
        features: Features of the contexts.
    """

    method: str
    contexts: tuple[str, ...]
    base_sets: tuple[str, ...]
    is_real: npt.NDArray[np.bool_]
    gains: FloatArray
    variances: FloatArray
    model: Fitted
    harm: Fitted | None
    features: FeatureTable

    @cached_property
    def calibrating(self) -> tuple[int, ...]:
        """Positions of the contexts that errors are measured on: those of real data, if base sets suffice."""
        real = [int(place) for place in np.flatnonzero(self.is_real)]
        enough = len({self.base_sets[place] for place in real}) >= LEAST_BASE_SETS
        return tuple(real) if enough else tuple(range(len(self.gains)))

    def variance(self, without: str = "") -> Variance:
        """Return the variance of the error of a prediction for another base set.

        It is the mean square of the leave-one-base-out residuals, base sets weighted equally, less the
        variance of the measured gains, which are not the true ones. Its degrees of freedom are the number of
        base sets less one.

        Args:
            without: A base set that is left out; none by default.
        """
        places = np.array([place for place in self.calibrating if self.base_sets[place] != without])
        residuals = (self.gains - self.model.held_out)[places]
        of = np.unique([self.base_sets[place] for place in places], return_inverse=True)[1]
        even = 1.0 / np.bincount(of)[of]
        square = float(np.average(residuals**2, weights=even))
        noise = float(np.average(self.variances[places], weights=even))
        return Variance(max(square - noise, _LEAST_SHARE * square, 1e-8), float(max(of.max(), 1)))

    def estimate(self, facts: Facts) -> GainEstimate:
        """Return the expected gain on other data, with the error that predictions had on base sets that the
        model was not fitted on."""
        return GainEstimate(self.model.predict(self.features.row(facts)), self.variance())

    def held_out(self, place: int) -> GainEstimate:
        """Return the expected gain of a studied context by a model that was not fitted on its base set."""
        return GainEstimate(float(self.model.held_out[place]), self.variance(self.base_sets[place]))

    def harm_risk(self, facts: Facts) -> float | None:
        """Return the probability of harm on other data; None if it was never measured."""
        if self.harm is None:
            return None
        return float(np.clip(self.harm.predict(self.features.row(facts)), 0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Prior:
    """All methods that the base has studied in enough contexts, and the region that it has studied.

    Attributes:
        methods: The methods by name.
        facts: The facts of every usable context, by context.
        support: The studied region.
        support_contexts: The contexts in the order of the support.
        support_features: Their features.
        base_sets: The base sets of the calibration, in alphabetical order.
    """

    methods: Mapping[str, StudiedMethod]
    facts: Mapping[str, Facts]
    support: Support
    support_contexts: tuple[str, ...]
    support_features: FeatureTable
    base_sets: tuple[str, ...]

    @classmethod
    def of(cls, base: EvidenceBase) -> Prior | None:
        """Fit the prior of a base; None if it has too few base sets for an interval."""
        facts = {row["context"]: row for row in base.contexts.to_pylist() if row["excluded_because"] is None}
        methods = {}
        for name in base.methods:
            if name == PLAIN or name in CONTROLS:
                continue
            studied = _studied(base, name, facts)
            if studied is not None:
                methods[name] = studied
        if not methods:
            return None
        contexts = tuple(dict.fromkeys(each for found in methods.values() for each in found.contexts))
        table = FeatureTable.of([facts[context] for context in contexts])
        groups = [str(facts[context]["base_set"]) for context in contexts]
        used = {found.base_sets[place] for found in methods.values() for place in found.calibrating}
        return cls(
            methods, facts, Support(table.values, groups, table.names), contexts, table, tuple(sorted(used))
        )

    def estimates(self, facts: Facts) -> dict[str, GainEstimate]:
        """Return the expected gain of each method on other data, the largest first."""
        found = {name: method.estimate(facts) for name, method in self.methods.items()}
        return dict(sorted(found.items(), key=lambda each: -each[1].mean))

    def distance(self, facts: Facts) -> Distance:
        """Return how far other data are from what was studied."""
        return self.support.distance(self.support_features.row(facts))

    def nearest(self, distance: Distance) -> list[Facts]:
        """Return the facts of the studied contexts that are nearest."""
        return [self.facts[self.support_contexts[place]] for place in distance.nearest]


def _studied(base: EvidenceBase, method: str, facts: Mapping[str, Facts]) -> StudiedMethod | None:
    """Return a method with its models; None if it was studied in too few contexts or base sets."""
    pairs = [each for each in base.pairs(method) if each.context in facts]
    base_sets = tuple(each.base_set for each in pairs)
    if len(pairs) < LEAST_CONTEXTS or len(set(base_sets)) < LEAST_BASE_SETS:
        return None
    gains = np.array([each.differences.mean() for each in pairs])
    variances = mean_variances(pairs)
    table = FeatureTable.of([facts[each.context] for each in pairs])
    model = fit_gains(table.values, gains, variances, base_sets)
    harm = _harm_model(base, method, [each.context for each in pairs], table, base_sets)
    real = np.array([each.tier in REAL_TIERS for each in pairs])
    contexts = tuple(each.context for each in pairs)
    return StudiedMethod(method, contexts, base_sets, real, gains, variances, model, harm, table)


def mean_variances(pairs: Sequence[ContextPairs]) -> FloatArray:
    """Return the variance of the mean of each context's differences, from their pooled spread.

    Single contexts have few pairs; the spread of each is shrunk half way towards that of all.
    """
    squares = np.array([((each.differences - each.differences.mean()) ** 2).sum() for each in pairs])
    freedoms = np.array([len(each.differences) - 1 for each in pairs], dtype=np.float64)
    pooled = float(squares.sum() / max(freedoms.sum(), 1.0))
    own = np.where(freedoms > 0, squares / np.maximum(freedoms, 1), pooled)
    return np.asarray((0.5 * own + 0.5 * pooled) / (freedoms + 1))


def _harm_model(
    base: EvidenceBase, method: str, contexts: Sequence[str], table: FeatureTable, groups: Sequence[str]
) -> Fitted | None:
    risks = harm_of_contexts(base, method)
    known = np.array([risks.get(context, math.nan) for context in contexts])
    places = [int(place) for place in np.flatnonzero(np.isfinite(known))]
    chosen = [groups[place] for place in places]
    if len(places) < LEAST_CONTEXTS or len(set(chosen)) < LEAST_BASE_SETS:
        return None
    return fit_probability(table.values[places], known[places], chosen)


def harm_of_contexts(base: EvidenceBase, method: str) -> dict[str, float]:
    """Return for each context the probability that the method harms tail, worst group or worst class.

    Harm is a mean loss of more than a point (``HARM_MARGIN``) in one of these metrics. Its probability
    accounts for the few pairs of a context.
    """
    found: dict[str, float] = {}
    for metric in HARM_METRICS:
        pairs = base.pairs(method, metric=metric)
        for each, variance in zip(pairs, mean_variances(pairs) if pairs else (), strict=True):
            risk = harm_probability(float(each.differences.mean()), float(variance))
            found[each.context] = max(found.get(each.context, 0.0), risk)
    return found


def harm_probability(mean: float, variance: float) -> float:
    """Return the probability that the true change is a loss of more than ``HARM_MARGIN``.

    Example:
        >>> harm_probability(-0.01, 1e-4), harm_probability(0.05, 1e-4) < 1e-6
        (0.5, True)
    """
    return float(ndtr((-HARM_MARGIN - mean) / math.sqrt(max(variance, 1e-12))))
