"""What the stages of an advice have found so far, and the decision that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from distillab.advise.calibration import Calibration
from distillab.advise.case import CHANCE_LEAD, Case
from distillab.advise.decision import Decision, decide
from distillab.advise.extrapolation import Extrapolated, extrapolated_gain
from distillab.advise.half_data import HalfData
from distillab.advise.pilot import LengthError, PilotArm, extrapolate
from distillab.advise.posterior import GainEstimate, Posterior, combine
from distillab.advise.race import Costs, gains_by_length
from distillab.advise.race_plan import Rung
from distillab.advise.race_study import RungResult
from distillab.advise.support import Distance
from distillab.study.spec.seeds import LEAST_PAIRS

LEAST_JUDGING_PAIRS = 3  # below which a pilot gives no verdict
PRIOR_PAIRS = 4  # that the prior of harm weighs as much as
CLEAR = (
    1.5  # times as wide as usual, an interval of the prior must be decided to end the advice before a race
)


@dataclass(frozen=True, eq=False)
class Findings:
    """All that an advice rests on.

    Attributes:
        case: The data and the networks.
        calibration: The evidence base; None without one.
        results: What each rung of the race has found.
        dropped: The methods that were overtaken in the race, each with the one that overtook it.
        costs: What runs cost here; None if nothing was timed.
        teacher_steps: Steps of the teachers that were trained for the race; 0 for a given one.
        tuned: Whether learning rates were tuned for every method of the race.
        failed_checks: One sentence per check that failed.
        notes: What else a reader must know, one sentence each.
        half: The gain with half of the data; None if that was not tried.
    """

    case: Case
    calibration: Calibration | None
    results: tuple[RungResult, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    costs: Costs | None = None
    teacher_steps: int = 0
    tuned: bool = False
    failed_checks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    half: HalfData | None = None

    @property
    def margin(self) -> float:
        """Margin of practical equivalence."""
        return self.case.request.margin

    @property
    def length(self) -> LengthError:
        """How far short trainings are from full ones: measured by the base, or assumed."""
        return self.calibration.length if self.calibration else LengthError()

    @property
    def distance(self) -> Distance | None:
        """How far the data are from what was studied; None without a base that could answer."""
        if self.calibration is None or self.case.task.primary != "accuracy":
            return None
        return self.calibration.replay.prior.distance(self.case.facts())

    @property
    def is_studied(self) -> bool:
        """True if there is a base, and the data lie within what it has studied."""
        distance = self.distance
        return distance is not None and not distance.outside

    @property
    def priors(self) -> dict[str, GainEstimate]:
        """The prior of each method; none outside of what was studied."""
        if self.calibration is None or not self.is_studied:
            return {}
        return self.calibration.replay.prior.estimates(self.case.facts())

    @property
    def arms(self) -> dict[str, PilotArm]:
        """What the race found of each method that was not overtaken: at the longest training with enough
        pairs."""
        found: dict[str, PilotArm] = {}
        for result in self.results:
            for name, arm in result.arms.items():
                if arm.pairs >= 2 and (name not in found or _rank(arm) >= _rank(found[name])):
                    found[name] = arm
        kept = {name: arm for name, arm in found.items() if name not in self.dropped}
        return kept or found

    def forms(self, method: str) -> Extrapolated:
        """Return the gain of a raced method at full length, by several forms."""
        return extrapolated_gain(gains_by_length(self.results, method))

    @property
    def pilots(self) -> dict[str, GainEstimate]:
        """The gain of a full training that the race leads to expect, by method."""
        found = {}
        for name, arm in self.arms.items():
            forms = self.forms(name)
            at_end = arm if arm.share >= 1.0 else replace(arm, mean=forms.mean)
            length = self.length if not (arm.share < 1.0 and len(forms.forms) > 1) else _unbiased(self.length)
            found[name] = extrapolate(at_end, length, forms.variance)
        return found

    @property
    def posteriors(self) -> dict[str, Posterior]:
        """The posterior of each method: of those that were raced, else of those of the prior."""
        priors, pilots = self.priors, self.pilots
        found = {name: combine(priors.get(name), pilots.get(name)) for name in pilots or priors}
        return {name: posterior for name, posterior in found.items() if posterior is not None}

    @property
    def rung(self) -> Rung | None:
        """The size of the pilot; None without one."""
        arms = self.arms
        if not arms:
            return None
        best = max(arms.values(), key=lambda arm: arm.mean)
        return Rung(best.pairs, best.share)

    def decision(self, width: float = 1.0) -> Decision:
        """Return the decision.

        Args:
            width: A factor on the width of the interval, for a stricter one.
        """
        scale = None
        if self.calibration is not None and self.is_studied:
            scale = width * self.calibration.scale(self.rung)
        return decide(self.posteriors, margin=self.margin, scale=scale, failed_checks=self.checks)

    @property
    def checks(self) -> tuple[str, ...]:
        """One sentence per check that failed; any of them leaves the answer undecided."""
        found = list(self.failed_checks)
        distance = self.distance
        full = [arm for arm in self.arms.values() if arm.share >= 1.0 and arm.pairs >= LEAST_PAIRS]
        if distance is not None and distance.outside and not full:
            found.append(
                f"The data lie outside of what was studied (distance {distance.value:.2f}, limit "
                f"{distance.limit:.2f}, most in {distance.farthest_feature}), and there is no pilot of "
                f"{LEAST_PAIRS} pairs over a full training that would stand alone."
            )
        if self.results:
            found += self._checks_of_race()
        return tuple(found)

    def _checks_of_race(self) -> list[str]:
        found = []
        last = self.results[-1]
        pairs = max((arm.pairs for arm in self.arms.values()), default=0)
        if pairs < LEAST_JUDGING_PAIRS:
            found.append(f"The race finished {pairs} pairs; a verdict takes {LEAST_JUDGING_PAIRS}.")
        if last.failed and 2 * last.failed > last.runs:
            found.append(f"{last.failed} of {last.runs} runs of the race failed.")
        if self.case.task.primary == "accuracy" and last.plain < self.case.chance + CHANCE_LEAD:
            found.append(
                f"The plain students of the race are right on {100 * last.plain:.1f} %, and always "
                f"predicting the most frequent class on {100 * self.case.chance:.1f} %: training was too "
                "short, or the labels cannot be learned."
            )
        return found

    def harm_prior(self, method: str) -> float | None:
        """Return the probability of harm by a method that the base leads to expect; None if it has none."""
        if self.calibration is None or not self.is_studied:
            return None
        studied = self.calibration.replay.prior.methods.get(method)
        return None if studied is None else studied.harm_risk(self.case.facts())

    def harm_risk(self, method: str) -> float | None:
        """Return the probability that a method harms tail, worst group or worst class; None if unknown.

        Prior and pilot are weighed by pairs, the prior as ``PRIOR_PAIRS`` of them.
        """
        prior, arm = self.harm_prior(method), self.arms.get(method)
        if arm is None or arm.harm is None:
            return prior
        if prior is None:
            return arm.harm
        return (PRIOR_PAIRS * prior + arm.pairs * arm.harm) / (PRIOR_PAIRS + arm.pairs)

    @property
    def failed_runs(self) -> int:
        """Number of runs of the race that failed."""
        return sum(result.failed for result in self.results)

    @property
    def is_clear(self) -> bool:
        """True if the decision would stand with an interval of half again the width."""
        return bool(self.posteriors) and self.decision(CLEAR).verdict != "undecided"


def with_race(findings: Findings, results: Sequence[RungResult], dropped: Mapping[str, str]) -> Findings:
    """Return findings with what a race has found."""
    return replace(findings, results=tuple(results), dropped=dict(dropped))


def _unbiased(length: LengthError) -> LengthError:
    """Return the error of short trainings without its bias, which fitted forms account for already."""
    return replace(length, biases=tuple(0.0 for _ in length.biases))


def _rank(arm: PilotArm) -> tuple[float, int]:
    """Return what orders arms: those with few pairs count as shorter."""
    return (arm.share if arm.pairs >= LEAST_JUDGING_PAIRS else arm.share / 4), arm.pairs
