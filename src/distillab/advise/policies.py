"""The adviser and the simple rules that it must beat, as functions of what is known of a context."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from distillab.advise.conformal import group_quantile
from distillab.advise.decision import ADVICE_CONFIDENCE, Decision, decide, region_of
from distillab.advise.pilot import LengthError, StoredRuns, extrapolate
from distillab.advise.posterior import Posterior, combine
from distillab.advise.prior import Prior, StudiedMethod
from distillab.advise.race_plan import Rung, reached
from distillab.advise.truths import Truths

ADVICE_SECONDS = 30.0  # of an advice: reading, profile, starting workers
WORKERS = 2
TEACHER_LEAD = 0.05  # of the rule that distils if the teacher leads a linear probe by more
RACED_METHODS = 2  # methods beside the plain student in a simulated race


@dataclass(frozen=True, eq=False)
class Judged:
    """A studied context as an adviser meets it: its base set is not part of what the adviser knows.

    Attributes:
        context: The context.
        part: The part of its seeds, of which some are for the pilot and others for the truth.
        base_set: Its base set.
        place: Its position among the contexts of each method, by method.
        lead: How far the teacher leads a linear probe; NaN if that is unknown.
        runs: Its stored runs of the seeds for the pilot.
    """

    context: str
    part: int
    base_set: str
    place: Mapping[str, int]
    lead: float
    runs: StoredRuns | None


@dataclass(frozen=True, eq=False)
class SimulatedAdviser:
    """The decisions of the adviser for studied contexts, at one strength of the pilot.

    Attributes:
        prior: The prior, of which the held-out predictions are used.
        lengths: How far short pilots are from full trainings, by left-out base set.
        margin: Margin of practical equivalence.
        use_prior: False for a pilot alone.
        scales: Half width of intervals in standard deviations by left-out base set; filled by
            :meth:`calibrated`.
    """

    prior: Prior
    lengths: Mapping[str, LengthError]
    margin: float
    use_prior: bool = True
    scales: Mapping[str, float] = field(default_factory=dict)

    def posteriors(self, judged: Judged, rung: Rung | None) -> dict[str, Posterior]:
        """Return the posterior of each method in a context, after a simulated pilot.

        The pilot races the methods with the largest held-out predictions, ``kd`` always among them.

        Args:
            judged: The context.
            rung: The last rung of the pilot; None for the prior alone.
        """
        priors = {name: self.prior.methods[name].held_out(place) for name, place in judged.place.items()}
        ranked = sorted(priors, key=lambda name: -priors[name].mean)
        found: dict[str, Posterior] = {}
        usual = [name for name in ("kd",) if name in priors]
        raced = list(dict.fromkeys([*usual, *ranked]))[:RACED_METHODS]
        for name in ranked:
            arm = None
            if rung and judged.runs and name in raced:
                arm = judged.runs.arm(name, rung.pairs, rung.share)
            length = self.lengths.get(judged.base_set, LengthError())
            pilot = None if arm is None else extrapolate(arm, length)
            posterior = combine(priors[name] if self.use_prior else None, pilot)
            if posterior is not None and (pilot is not None or not rung):
                found[name] = posterior
        if not found and self.use_prior:
            found = {name: p for name in ranked if (p := combine(priors[name], None)) is not None}
        return found

    def decide(self, judged: Judged, rung: Rung | None) -> Decision:
        """Return the decision for a context, with the interval calibrated on other base sets."""
        scale = self.scales.get(judged.base_set)
        return decide(self.posteriors(judged, rung), margin=self.margin, scale=scale)

    def calibrated(
        self,
        contexts: Sequence[Judged],
        rungs: Mapping[str, Rung | None],
        truths: Truths,
    ) -> SimulatedAdviser:
        """Return this adviser with the scale of its intervals, for each left-out base set.

        The scale for a base set comes from the scores of all others: how many standard deviations the truth
        of the chosen method was from its expected gain, the error of the truth itself being part of them.

        Args:
            contexts: The contexts to calibrate on.
            rungs: The pilot of each context.
            truths: The truth by context, part and method.
        """
        scores, groups = [], []
        for judged in contexts:
            score = self._score(judged, rungs.get(judged.context), truths)
            if score is not None:
                scores.append(score)
                groups.append(judged.base_set)
        scales = {}
        for name in sorted({judged.base_set for judged in contexts}):
            kept = [place for place, group in enumerate(groups) if group != name]
            scales[name] = (
                group_quantile([scores[k] for k in kept], [groups[k] for k in kept], ADVICE_CONFIDENCE)
                if kept
                else math.inf
            )
        scales[""] = group_quantile(scores, groups, ADVICE_CONFIDENCE) if scores else math.inf
        return replace(self, scales=scales)

    def _score(self, judged: Judged, rung: Rung | None, truths: Truths) -> float | None:
        posteriors = self.posteriors(judged, rung)
        if not posteriors:
            return None
        method = max(posteriors, key=lambda name: posteriors[name].estimate.mean)
        truth = truths.get((judged.context, judged.part, method))
        if truth is None:
            return None
        estimate = posteriors[method].estimate
        deviation = math.sqrt(estimate.variance.value + truth.variance)
        return abs(truth.gain - estimate.mean) / max(deviation, 1e-9)


def simulated_rung(judged: Judged, seconds: float) -> Rung | None:
    """Return how far a race of some seconds gets in a context; None if it cannot begin.

    Args:
        judged: The context.
        seconds: The budget.
    """
    runs = judged.runs
    if runs is None or seconds <= 0 or runs.seconds <= 0:
        return None
    left = (seconds - ADVICE_SECONDS) * WORKERS - runs.teacher_seconds
    return reached(left, runs.seconds, [1 + RACED_METHODS, 2]) if left > 0 else None


def always(method: str, judged: Judged) -> Decision:
    """Return the decision to use one method always; ``ce`` is plain training."""
    if method == "ce" or method not in judged.place:
        return Decision("plain", "equivalent", "ce", 0.0, -math.inf, math.inf)
    return Decision("distil", "helps", method, math.nan, -math.inf, math.inf)


def teacher_gap(judged: Judged) -> Decision:
    """Return the decision of the rule "distil if the teacher leads a linear probe by five points"."""
    if math.isfinite(judged.lead) and judged.lead > TEACHER_LEAD:
        return always("kd", judged)
    return always("ce", judged)


def static_ranking(judged: Judged, methods: Mapping[str, StudiedMethod], margin: float) -> Decision:
    """Return the decision for the method with the largest mean gain on the other base sets."""
    means = {}
    for name in judged.place:
        studied = methods[name]
        others = [k for k, group in enumerate(studied.base_sets) if group != judged.base_set]
        by_set: dict[str, list[float]] = {}
        for k in others:
            by_set.setdefault(studied.base_sets[k], []).append(float(studied.gains[k]))
        means[name] = float(np.mean([np.mean(each) for each in by_set.values()])) if by_set else 0.0
    if not means:
        return always("ce", judged)
    best = max(means, key=lambda name: means[name])
    region = region_of(means[best], margin)
    distil = region == "helps"
    return Decision("distil" if distil else "plain", region, best, means[best], -math.inf, math.inf)


def oracle(judged: Judged, truths: Truths, margin: float) -> Decision:
    """Return the decision of one who knows the measured gains."""
    key = judged.context, judged.part
    gains = {name: truths[(*key, name)].gain for name in judged.place if (*key, name) in truths}
    if not gains:
        return always("ce", judged)
    best = max(gains, key=lambda name: gains[name])
    region = region_of(gains[best], margin)
    return Decision(
        "distil" if region == "helps" else "plain", region, best, gains[best], gains[best], gains[best]
    )
