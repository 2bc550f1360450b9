"""The replay judge: how right an adviser would have been on data sets that it has not seen.

Policies are simulated from the stored runs of an evidence base, one base set left out at a time, without any
training: the prior is fitted on the other base sets, pilots are read from the validation curves of the runs,
and intervals are calibrated on the other base sets. The truth is the measured gain on test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distillab.advise.conformal import group_coverage
from distillab.advise.decision import Decision
from distillab.advise.pilot import LengthRecord, stored_runs
from distillab.advise.policies import (
    Judged,
    SimulatedAdviser,
    always,
    oracle,
    simulated_rung,
    static_ranking,
    teacher_gap,
)
from distillab.advise.prior import Prior
from distillab.advise.race_plan import Rung
from distillab.base import EvidenceBase
from distillab.errors import RequestError
from distillab.evidence.gains import PairedDifferences
from distillab.evidence.pairs import Row
from distillab.evidence.verdicts import Verdict, verdict_of
from distillab.profile.intervals import wilson_interval

BUDGETS = (0, 5, 15, 60)  # minutes
TRUTH_CONFIDENCE = 0.8  # of the interval that a truth must have on one side of the margin to count as decided
LEAST_TRUTH_PAIRS = 5
MARGIN = 0.005
_RESAMPLES = 2_000

Rungs = Mapping[str, Rung | None]


@dataclass(frozen=True)
class Truth:
    """The measured gain of a method in a context.

    Attributes:
        gain: Mean paired difference on test.
        verdict: Where its interval lies relative to the margin; ``undecided`` truths judge no verdict.
        pairs: Number of pairs.
    """

    gain: float
    verdict: Verdict
    pairs: int


@dataclass(frozen=True)
class Score:
    """How right a policy was, on contexts of base sets that it has not seen.

    Attributes:
        policy: Name of the policy.
        contexts: Contexts that were judged.
        base_sets: Their base sets.
        abstained: Share of contexts without a verdict.
        decided: Contexts with a verdict whose truth is decided.
        right: Share of these whose three-way verdict (helps, equivalent, harms) is right.
        right_low: Lower end of its 95 % interval, by a bootstrap over base sets.
        signs: Contexts whose truth is beyond the margin and for which the policy gave a verdict.
        sign_right: Share of these that were advised to the better side.
        sign_low: Lower end of its 95 % interval, the lower of Wilson's and a bootstrap over base sets.
        coverage: Share of intervals that contain the truth, by base set; NaN for policies without intervals.
        regret: Mean loss to the best method of each context (plain training included), in points; contexts
            without a verdict count as trained plainly.

    Example:
        >>> Score("always plain", 10, 4, 0.0, 8, 0.5, 0.3, 6, 0.5, 0.2, math.nan, 1.2).regret
        1.2
    """

    policy: str
    contexts: int
    base_sets: int
    abstained: float
    decided: int
    right: float
    right_low: float
    signs: int
    sign_right: float
    sign_low: float
    coverage: float
    regret: float

    def as_row(self) -> Row:
        """Return the score as a row of a table; NaN becomes None."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in self.__dict__.items()
        }


@dataclass(frozen=True, eq=False)
class Replay:
    """All that policies are judged on.

    Attributes:
        prior: The prior with its held-out predictions.
        contexts: The contexts of real data that are judged.
        truths: The truth by context and method.
        lengths: The record of short and full trainings.
        margin: Margin of practical equivalence.
        skipped: Number of contexts whose truth rests on too few pairs.

    Example:
        >>> from distillab.base import contexts_schema, runs_schema
        >>> empty = EvidenceBase(contexts_schema().empty_table(), runs_schema().empty_table(), 1)
        >>> Replay.of(empty)
        Traceback (most recent call last):
        distillab.errors.RequestError: the evidence base has too few base sets to leave one out ...
    """

    prior: Prior
    contexts: tuple[Judged, ...]
    truths: Mapping[tuple[str, str], Truth]
    lengths: LengthRecord
    margin: float
    skipped: int = 0

    @classmethod
    def of(
        cls, base: EvidenceBase, *, margin: float = MARGIN, least_pairs: int = LEAST_TRUTH_PAIRS
    ) -> Replay:
        """Prepare the replay of a base.

        Args:
            base: The base.
            margin: Margin of practical equivalence, as a fraction.
            least_pairs: The fewest pairs that a truth rests on.

        Raises:
            RequestError: The base has too few base sets or contexts to leave one out.
        """
        prior = Prior.of(base)
        if prior is None:
            raise RequestError(
                "the evidence base has too few base sets to leave one out", allowed="at least 4 base sets"
            )
        truths = _truths(base, prior, margin, least_pairs)
        stored = stored_runs(base)
        contexts, skipped = [], 0
        for name, facts in prior.facts.items():
            place = {m: s.contexts.index(name) for m, s in prior.methods.items() if name in s.contexts}
            known = {method: k for method, k in place.items() if (name, method) in truths}
            calibrating = any(k in prior.methods[m].calibrating for m, k in known.items())
            if not known:
                skipped += bool(place)
            elif calibrating:
                lead = facts.get("predictor.teacher_minus_probe")
                lead = math.nan if lead is None else float(lead)
                contexts.append(Judged(name, str(facts["base_set"]), known, lead, stored.get(name)))
        record = LengthRecord.of(base, stored, list(prior.methods))
        return cls(prior, tuple(contexts), truths, record, margin, skipped)

    @property
    def gains(self) -> dict[tuple[str, str], float]:
        """The measured gain by context and method."""
        return {key: truth.gain for key, truth in self.truths.items()}

    def adviser(self, rungs: Rungs, *, use_prior: bool = True) -> SimulatedAdviser:
        """Return the adviser with pilots of some length, its intervals calibrated."""
        names = {judged.base_set for judged in self.contexts}
        lengths = {name: self.lengths.error(name) for name in names}
        plain = SimulatedAdviser(self.prior, lengths, self.margin, use_prior=use_prior)
        return plain.calibrated(self.contexts, rungs, self.gains)

    def rungs(self, minutes: float) -> dict[str, Rung | None]:
        """Return how far a race of some minutes gets in each context."""
        return {judged.context: simulated_rung(judged, 60 * minutes) for judged in self.contexts}

    def policies(self, budgets: Sequence[float] = BUDGETS) -> dict[str, Callable[[Judged], Decision]]:
        """Return all policies by name: the adviser at each budget, and what it is compared with."""
        found: dict[str, Callable[[Judged], Decision]] = {}
        for minutes in budgets:
            rungs = self.rungs(minutes)
            found[f"adviser, {minutes:g} min"] = _with_rungs(self.adviser(rungs), rungs)
        longest = self.rungs(max(budgets))
        nothing: dict[str, Rung | None] = {}
        found["prior only"] = _with_rungs(self.adviser(nothing), nothing)
        found[f"pilot only, {max(budgets):g} min"] = _with_rungs(
            self.adviser(longest, use_prior=False), longest
        )
        found["always plain"] = lambda judged: always("ce", judged)
        found["always kd"] = lambda judged: always("kd", judged)
        found["teacher gap"] = teacher_gap
        found["static ranking"] = lambda judged: static_ranking(judged, self.prior.methods, self.margin)
        found["oracle"] = lambda judged: oracle(judged, self.gains, self.margin)
        return found

    def score(self, policy: str, decide: Callable[[Judged], Decision]) -> Score:
        """Return how right a policy is."""
        rows = [self._judge(judged, decide(judged)) for judged in self.contexts]
        groups = [judged.base_set for judged in self.contexts]
        decided = [k for k, row in enumerate(rows) if row["right"] is not None]
        signs = [k for k, row in enumerate(rows) if row["sign"] is not None]
        bounded = [k for k, row in enumerate(rows) if row["covered"] is not None]
        right, right_low = _share([rows[k]["right"] for k in decided], [groups[k] for k in decided])
        sign, sign_low = _share([rows[k]["sign"] for k in signs], [groups[k] for k in signs])
        if signs:
            hits = sum(bool(rows[k]["sign"]) for k in signs)
            sign_low = min(sign_low, wilson_interval(hits, len(signs)).low)
        covered = [rows[k]["covered"] for k in bounded]
        return Score(
            policy,
            len(rows),
            len(set(groups)),
            float(np.mean([row["abstained"] for row in rows])),
            len(decided),
            right,
            right_low,
            len(signs),
            sign,
            sign_low,
            group_coverage(covered, [groups[k] for k in bounded]) if bounded else math.nan,
            100 * float(np.mean([row["regret"] for row in rows])),
        )

    def scores(self, budgets: Sequence[float] = BUDGETS) -> list[Score]:
        """Return the scores of all policies."""
        return [self.score(name, decide) for name, decide in self.policies(budgets).items()]

    def _judge(self, judged: Judged, decision: Decision) -> Row:
        gains = {name: self.truths[judged.context, name].gain for name in judged.place}
        abstained = decision.verdict == "undecided"
        method = decision.method if decision.method in gains else "kd" if "kd" in gains else next(iter(gains))
        truth = self.truths[judged.context, method]
        chosen = gains[decision.method] if decision.verdict == "distil" and decision.method in gains else 0.0
        beyond = truth.verdict in ("helps", "harms")
        bounded = math.isfinite(decision.low) and math.isfinite(decision.high)
        return {
            "abstained": abstained,
            "right": None if abstained or truth.verdict == "undecided" else decision.region == truth.verdict,
            "sign": (decision.verdict == "distil") == (truth.verdict == "helps")
            if beyond and not abstained
            else None,
            "covered": decision.low <= truth.gain <= decision.high if bounded else None,
            "regret": max(0.0, *gains.values()) - chosen,
        }


def replay(base: EvidenceBase, *, margin: float = MARGIN, budgets: Sequence[float] = BUDGETS) -> list[Score]:
    """Judge all policies on a base, one base set left out at a time.

    Args:
        base: The evidence base.
        margin: Margin of practical equivalence, as a fraction.
        budgets: Budgets of the adviser, in minutes.

    Raises:
        RequestError: The base has too few base sets.

    Example:
        >>> from distillab.base import contexts_schema, runs_schema
        >>> replay(EvidenceBase(contexts_schema().empty_table(), runs_schema().empty_table(), 1))
        Traceback (most recent call last):
        distillab.errors.RequestError: the evidence base has too few base sets to leave one out ...
    """
    return Replay.of(base, margin=margin).scores(budgets)


def _with_rungs(adviser: SimulatedAdviser, rungs: Rungs) -> Callable[[Judged], Decision]:
    return lambda judged: adviser.decide(judged, rungs.get(judged.context))


def _truths(
    base: EvidenceBase, prior: Prior, margin: float, least_pairs: int
) -> dict[tuple[str, str], Truth]:
    found = {}
    for method in prior.methods:
        for pairs in base.pairs(method):
            if len(pairs.differences) < least_pairs:
                continue
            after = pairs.baseline_values + pairs.differences
            measured = PairedDifferences.of(after, pairs.baseline_values, teachers=pairs.teachers)
            gain = measured.gain(TRUTH_CONFIDENCE)
            verdict = verdict_of(gain.ci_low, gain.ci_high, margin, True)
            found[pairs.context, method] = Truth(gain.gain, verdict, gain.n_pairs)
    return found


def _share(values: Sequence[bool], groups: Sequence[str]) -> tuple[float, float]:
    """Return the share of true values, and the lower end of its 95 % interval over base sets."""
    if not values:
        return math.nan, math.nan
    hits = np.asarray(values, dtype=np.float64)
    of = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums, counts = np.bincount(of, hits), np.bincount(of)
    drawn = np.random.default_rng(0).integers(0, len(sums), size=(_RESAMPLES, len(sums)))
    shares = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return float(hits.mean()), float(np.quantile(shares, 0.025))
