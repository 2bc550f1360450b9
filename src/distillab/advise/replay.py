"""The replay judge: how right an adviser would have been on data sets that it has not seen.

Policies are simulated from the stored runs of an evidence base, one base set left out at a time, without any
training: the prior is fitted on the other base sets, pilots are read from the validation curves of the runs,
and intervals are calibrated on the other base sets. The truth is the measured gain on test, of other seeds
than those of the pilot.
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
from distillab.advise.truths import LEAST_TRUTH_PAIRS, Truth, Truths, measured_truths, parts_of
from distillab.base import EvidenceBase
from distillab.errors import RequestError
from distillab.evidence.pairs import Row
from distillab.profile.intervals import wilson_interval

BUDGETS = (0, 5, 15, 60)  # minutes
MARGIN = 0.005
_RESAMPLES = 2_000

Rungs = Mapping[str, Rung | None]


@dataclass(frozen=True)
class Score:
    """How right a policy was, on contexts of base sets that it has not seen.

    Each context is judged once per part of its seeds; numbers of contexts count each part as a fraction.

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
        contexts: The contexts of real data that are judged, once per part of their seeds.
        truths: The truth by context, part and method.
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
    truths: Truths
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
        parts = parts_of(base, prior, least_pairs)
        truths = measured_truths(base, prior, parts, margin)
        stored = stored_runs(base)
        contexts, skipped = [], 0
        for name, facts in prior.facts.items():
            place = {m: s.contexts.index(name) for m, s in prior.methods.items() if name in s.contexts}
            if not any(k in prior.methods[m].calibrating for m, k in place.items()):
                continue
            skipped += bool(place) and name not in parts
            lead = facts.get("predictor.teacher_minus_probe")
            lead = math.nan if lead is None else float(lead)
            for number, part in enumerate(parts.get(name, ())):
                known = {method: k for method, k in place.items() if (name, number, method) in truths}
                if known:
                    runs = stored[name].only(part.pilot) if name in stored else None
                    contexts.append(Judged(name, number, str(facts["base_set"]), known, lead, runs))
        record = LengthRecord.of(base, stored, list(prior.methods))
        return cls(prior, tuple(contexts), truths, record, margin, skipped)

    def adviser(self, rungs: Rungs, *, use_prior: bool = True) -> SimulatedAdviser:
        """Return the adviser with pilots of some length, its intervals calibrated."""
        names = {judged.base_set for judged in self.contexts}
        lengths = {name: self.lengths.error(name) for name in names}
        plain = SimulatedAdviser(self.prior, lengths, self.margin, use_prior=use_prior)
        return plain.calibrated(self.contexts, rungs, self.truths)

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
        found["oracle"] = lambda judged: oracle(judged, self.truths, self.margin)
        return found

    def score(self, policy: str, decide: Callable[[Judged], Decision]) -> Score:
        """Return how right a policy is."""
        rows = [self._judge(judged, decide(judged)) for judged in self.contexts]
        groups = [judged.base_set for judged in self.contexts]
        names = [judged.context for judged in self.contexts]
        parts = [1.0 / names.count(name) for name in names]
        decided = [k for k, row in enumerate(rows) if row["right"] is not None]
        signs = [k for k, row in enumerate(rows) if row["sign"] is not None]
        bounded = [k for k, row in enumerate(rows) if row["covered"] is not None]
        right, right_low = _share([rows[k]["right"] for k in decided], [groups[k] for k in decided])
        sign, sign_low = _share([rows[k]["sign"] for k in signs], [groups[k] for k in signs])
        judged_signs = round(sum(parts[k] for k in signs))
        if judged_signs:
            hits = min(judged_signs, round(sum(parts[k] for k in signs if rows[k]["sign"])))
            sign_low = min(sign_low, wilson_interval(hits, judged_signs).low)
        covered = [rows[k]["covered"] for k in bounded]
        return Score(
            policy,
            len(set(names)),
            len(set(groups)),
            float(np.mean([row["abstained"] for row in rows])),
            round(sum(parts[k] for k in decided)),
            right,
            right_low,
            judged_signs,
            sign,
            sign_low,
            group_coverage(covered, [groups[k] for k in bounded]) if bounded else math.nan,
            100 * float(np.mean([row["regret"] for row in rows])),
        )

    def scores(self, budgets: Sequence[float] = BUDGETS) -> list[Score]:
        """Return the scores of all policies."""
        return [self.score(name, decide) for name, decide in self.policies(budgets).items()]

    def _judge(self, judged: Judged, decision: Decision) -> Row:
        truths = {name: self.truths[judged.context, judged.part, name] for name in judged.place}
        gains = {name: truth.gain for name, truth in truths.items()}
        abstained = decision.verdict == "undecided"
        method = decision.method if decision.method in gains else "kd" if "kd" in gains else next(iter(gains))
        truth = truths[method]
        chosen = gains[decision.method] if decision.verdict == "distil" and decision.method in gains else 0.0
        beyond = truth.verdict in ("helps", "harms")
        bounded = math.isfinite(decision.low) and math.isfinite(decision.high)
        return {
            "abstained": abstained,
            "right": None if abstained or truth.verdict == "undecided" else decision.region == truth.verdict,
            "sign": (decision.verdict == "distil") == (truth.verdict == "helps")
            if beyond and not abstained
            else None,
            "covered": _is_covered(decision, truth) if bounded else None,
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


def _is_covered(decision: Decision, truth: Truth) -> bool:
    """Return whether an interval, widened by the error of the truth itself, contains the truth."""
    half, center = (decision.high - decision.low) / 2, (decision.high + decision.low) / 2
    own = decision.posterior.estimate.variance.value if decision.posterior else 0.0
    widened = half * math.sqrt(1.0 + truth.variance / own) if own else half
    return abs(truth.gain - center) <= widened


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
