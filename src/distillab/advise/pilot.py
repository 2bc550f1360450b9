"""What a pilot found: the paired gain of each method, and how far a short training is from a full one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distillab.advise.posterior import GainEstimate
from distillab.base import EvidenceBase
from distillab.evidence.draws import FloatArray, Variance, variance_over_seeds
from distillab.evidence.pairs import Row

ASSUMED_DEVIATION = 0.01
"""Standard deviation, per doubling of the steps that are left, of the change of a gain until training is a
full one. Assumed as long as no evidence base has measured it; the answer then states so."""
SHARES = (0.125, 0.25, 0.5, 1.0)  # of a full training, at which early gains are compared with final ones
LEAST_SETS = 4  # base sets, below which nothing is known of lengths
_LEAST_VARIANCE = 1e-7


@dataclass(frozen=True)
class PilotArm:
    """The gain of one method over the plain student in a pilot.

    Attributes:
        method: The method.
        pairs: Number of pairs.
        share: Steps as a share of a full training.
        mean: Mean paired difference of the metric that conclusions rest on.
        variance: Of that mean, over seeds, teachers and judged examples.
        harm: Probability that tail, worst group or worst class lose more than a point; None if unknown.
        runs: Ids of the distilled runs and of the plain ones.

    Example:
        >>> PilotArm("kd", 3, 0.25, 0.02, Variance(1e-4, 2.0)).deviation
        0.01
    """

    method: str
    pairs: int
    share: float
    mean: float
    variance: Variance
    harm: float | None = None
    runs: tuple[str, ...] = ()

    @property
    def deviation(self) -> float:
        """Standard error of the mean."""
        return math.sqrt(self.variance.value)


@dataclass(frozen=True)
class LengthError:
    """How far the gain of a short training is from that of a full one.

    Attributes:
        shares: Shares of a full training at which it was measured, ascending; empty if it was not.
        biases: Mean of "short minus full" at each share, base sets weighted equally.
        variances: Mean square of what is left at each share, without the sampling error of pairs.
        base_sets: Number of base sets behind the numbers.

    Example:
        >>> LengthError().at(0.5)
        (0.0, 0.0001)
        >>> LengthError((0.5, 1.0), (-0.01, 0.0), (4e-4, 0.0), 6).at(0.5)
        (-0.01, 0.0004)
    """

    shares: tuple[float, ...] = ()
    biases: tuple[float, ...] = ()
    variances: tuple[float, ...] = ()
    base_sets: int = 0

    @property
    def is_measured(self) -> bool:
        """True if it comes from an evidence base, and is not assumed."""
        return bool(self.shares)

    def at(self, share: float) -> tuple[float, float]:
        """Return the bias and the variance at a share of a full training, interpolated over its logarithm."""
        if share >= 1.0 and not self.is_measured:
            return 0.0, 0.0
        if not self.is_measured:
            return 0.0, ASSUMED_DEVIATION**2 * -math.log2(share)
        places = np.log2(np.array(self.shares))
        at = math.log2(min(max(share, 1e-6), 1.0))
        doublings = max(0.0, places[0] - at)  # below what was measured, the variance grows as is assumed
        return (
            float(np.interp(at, places, self.biases)),
            float(np.interp(at, places, self.variances)) + ASSUMED_DEVIATION**2 * doublings,
        )


def extrapolate(arm: PilotArm, length: LengthError, form_variance: float = 0.0) -> GainEstimate:
    """Return the gain of a full training that a pilot leads to expect.

    Args:
        arm: What the pilot found.
        length: How far short trainings are from full ones.
        form_variance: Variance between the forms of extrapolation, where several lengths were tried.

    Example:
        >>> estimate = extrapolate(PilotArm("kd", 3, 0.5, 0.02, Variance(1e-4, 2.0)), LengthError())
        >>> estimate.mean, round(estimate.variance.value, 6)
        (0.02, 0.0002)
    """
    bias, variance = length.at(arm.share)
    return GainEstimate(arm.mean - bias, arm.variance + Variance(max(variance, form_variance)))


def arm_of_differences(
    method: str, share: float, differences: FloatArray, teachers: Sequence[str] | None = None
) -> PilotArm:
    """Return the arm of some paired differences, one per seed.

    A single pair holds no information on its spread: its variance is infinite.

    Example:
        >>> arm_of_differences("kd", 1.0, np.array([0.01, 0.03])).mean
        0.02
    """
    if len(differences) < 2:
        return PilotArm(method, len(differences), share, float(differences.mean()), Variance(math.inf, 1.0))
    several = teachers if teachers and len(set(teachers)) > 1 else None
    variance = variance_over_seeds(differences, several)
    variance = Variance(max(variance.value, _LEAST_VARIANCE), variance.freedom)
    return PilotArm(method, len(differences), share, float(differences.mean()), variance)


# -- pilots simulated from stored runs -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StoredRuns:
    """The finished runs of a context with their curves on val, from which pilots are simulated.

    Attributes:
        by_method: Rows of ``runs.parquet`` by method, then by seed.
        seconds: Mean seconds of a full training.
        teacher_seconds: Seconds that its teachers take, estimated from the steps and sizes of the networks.
    """

    by_method: Mapping[str, Mapping[int, Row]]
    seconds: float
    teacher_seconds: float

    def pairs(self, method: str, baseline: str = "ce") -> list[int]:
        """Return the seeds of which both runs are finished, in ascending order."""
        return sorted(self.by_method.get(method, {}).keys() & self.by_method.get(baseline, {}).keys())

    def only(self, seeds: Sequence[int]) -> StoredRuns:
        """Return the runs of some seeds.

        Args:
            seeds: The seeds that are kept.
        """
        kept = {
            method: {seed: row for seed, row in rows.items() if seed in seeds}
            for method, rows in self.by_method.items()
        }
        return StoredRuns(kept, self.seconds, self.teacher_seconds)

    def arm(self, method: str, pairs: int, share: float) -> PilotArm | None:
        """Return what a pilot of this method would have found on val; None without curves.

        The score at a share of the steps is that of the longest look within it. A shorter training would have
        ended with a small learning rate, so that this pilot is a little worse than a real one.
        """
        differences, teachers, share_seen = [], [], 1.0
        for seed in self.pairs(method)[:pairs]:
            distilled, plain = self.by_method[method][seed], self.by_method["ce"][seed]
            after, before = _val_at(distilled, share), _val_at(plain, share)
            if after is None or before is None:
                continue
            differences.append(after[0] - before[0])
            teachers.append(str(distilled["teacher_run"] or ""))
            share_seen = after[1]
        if len(differences) < 2:
            return None
        return arm_of_differences(method, share_seen, np.array(differences), teachers)


def _val_at(row: Row, share: float) -> tuple[float, float] | None:
    """Return the score on val at a share of the steps, and the share of the look that it was taken at."""
    looks, curve = row["look_steps"], row["val_curve"]
    if not looks or not curve:
        return (row["val_score"], 1.0) if row["val_score"] is not None and share >= 1.0 else None
    within = [place for place, step in enumerate(looks) if step <= share * looks[-1] + 0.5]
    place = within[-1] if within else 0
    return float(curve[place]), looks[place] / looks[-1]


def stored_runs(base: EvidenceBase) -> dict[str, StoredRuns]:
    """Return the finished runs of every context of a base, at the settings that its conclusions rest on."""
    columns = ["context", "kind", "method", "setting", "seed", "status", "teacher_run", "train_seconds"]
    columns += ["val_score", "look_steps", "val_curve", "accuracy"]
    by_context: dict[str, dict[str, dict[str, dict[int, Row]]]] = {}
    for row in base.runs.select(columns).to_pylist():
        if row["kind"] == "run" and row["status"] == "done":
            settings = by_context.setdefault(row["context"], {})
            settings.setdefault(row["setting"], {}).setdefault(row["method"], {})[row["seed"]] = row
    facts = {row["context"]: row for row in base.contexts.to_pylist()}
    found = {}
    for context, settings in by_context.items():
        runs = settings.get("tuned") or settings.get("default") or next(iter(settings.values()))
        times = [row["train_seconds"] for rows in runs.values() for row in rows.values()]
        seconds = float(np.mean([each for each in times if each is not None] or [0.0]))
        found[context] = StoredRuns(runs, seconds, _teacher_seconds(facts[context], runs, seconds))
    return found


def _teacher_seconds(facts: Row, runs: Mapping[str, Mapping[int, Row]], seconds: float) -> float:
    if facts["provenance"] == "external":
        return 0.0
    teachers = {row["teacher_run"] for rows in runs.values() for row in rows.values() if row["teacher_run"]}
    ratio = (facts["teacher_params"] or 1) / (facts["student_params"] or 1)
    steps = (facts["teacher_steps"] or facts["steps"] or 1) / (facts["steps"] or 1)
    return float(seconds * steps * ratio**0.5 * len(teachers))


@dataclass(frozen=True, eq=False)
class LengthRecord:
    """How gains early in training differed from those at its end, by share of the steps and base set.

    Attributes:
        differences: For each share, for each base set, the mean of "early minus final" and its variance, one
            per context and method.
    """

    differences: Mapping[float, Mapping[str, Sequence[tuple[float, float]]]]

    @classmethod
    def of(cls, base: EvidenceBase, stored: Mapping[str, StoredRuns], methods: Sequence[str]) -> LengthRecord:
        """Compare gains on val early in training with those on test at its end.

        Contexts of tier T, whose trainings are long, are used if they are of several base sets, else all.

        Args:
            base: The base.
            stored: Its runs, from :func:`stored_runs`.
            methods: The methods to use.
        """
        contexts = [row for row in base.contexts.to_pylist() if row["excluded_because"] is None]
        long = [row for row in contexts if row["tier"] == "T"]
        if len({row["base_set"] for row in long}) >= LEAST_SETS:
            contexts = long
        found: dict[float, dict[str, list[tuple[float, float]]]] = {share: {} for share in SHARES}
        for row in contexts:
            runs = stored.get(row["context"])
            for share in SHARES if runs else ():
                for method in methods:
                    if runs and (each := _early_minus_final(runs, method, share)):
                        found[share].setdefault(row["base_set"], []).append(each)
        return cls(found)

    def error(self, without: str = "") -> LengthError:
        """Return the error of short trainings, from all base sets but one.

        Args:
            without: The base set that is left out; none by default.
        """
        biases, variances, shares, sets = [], [], [], set[str]()
        for share, by_set in self.differences.items():
            found = {name: each for name, each in by_set.items() if name != without}
            if len(found) < LEAST_SETS:
                continue
            bias = float(np.mean([np.mean([early for early, _ in each]) for each in found.values()]))
            squares = [
                np.mean([(early - bias) ** 2 - noise for early, noise in each]) for each in found.values()
            ]
            shares.append(share)
            biases.append(bias)
            variances.append(max(float(np.mean(squares)), _LEAST_VARIANCE))
            sets |= found.keys()
        return LengthError(tuple(shares), tuple(biases), tuple(variances), len(sets))


def _early_minus_final(runs: StoredRuns, method: str, share: float) -> tuple[float, float] | None:
    """Return the mean of "gain on val at a share minus gain on test", and its variance over pairs."""
    values = []
    for seed in runs.pairs(method):
        distilled, plain = runs.by_method[method][seed], runs.by_method["ce"][seed]
        after, before = _val_at(distilled, share), _val_at(plain, share)
        if after is None or before is None or distilled["accuracy"] is None or plain["accuracy"] is None:
            continue
        values.append((after[0] - before[0]) - (distilled["accuracy"] - plain["accuracy"]))
    if len(values) < 2:
        return None
    return float(np.mean(values)), float(np.var(values, ddof=1) / len(values))
