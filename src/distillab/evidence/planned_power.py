"""What a planned study can show: the gain that it finds, and how its teachers change its intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.evidence.comparisons import CONTROLS
from distillab.evidence.draws import FloatArray, MeanSquares, variance_over_seeds
from distillab.evidence.pairs import Row, by_cell, cell_columns, pairs, teachers_of
from distillab.evidence.power import detectable_effect
from distillab.evidence.schema import read_rows
from distillab.evidence.sequential import look_plan
from distillab.study.planning.summary import PlanSummary
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.seeds import LEAST_PAIRS
from distillab.tasks import Task

POWER: Final = 0.8
ASSUMED_SD: Final = 0.01
ASSUMED_TEACHER_SHARE: Final = 0.2
_SIMULATED = 400  # studies: enough for a width with two digits


@dataclass(frozen=True)
class Spread:
    """How much gains vary between seeds.

    Attributes:
        sd: Standard deviation of the gain of one pair.
        teacher_share: The part of its variance that belongs to the teacher.
        comparisons: Number of comparisons that ``sd`` was measured in; 0 if it is assumed.
        share_measured: Whether ``teacher_share`` was measured as well.

    Example:
        >>> Spread().sd
        0.01
    """

    sd: float = ASSUMED_SD
    teacher_share: float = ASSUMED_TEACHER_SHARE
    comparisons: int = 0
    share_measured: bool = False

    @classmethod
    def measured(cls, rows: Sequence[Row], task: Task) -> Spread:
        """Return the median spread of the comparisons with the plain student that have at least 5 pairs,
        controls left out.

        The teacher's share is measured in those with more than one teacher, and fewer teachers than pairs.

        Args:
            rows: Rows of ``results.parquet``.
            task: The task of the study.

        Raises:
            ValueError: No comparison has 5 pairs.
        """
        variances, shares = list[float](), list[float]()
        for gains, teachers in _comparisons(rows, task, {PLAIN, *CONTROLS}):
            if len(gains) >= LEAST_PAIRS:
                variances.append(float(gains.var(ddof=1)))
                if 1 < len(set(teachers)) < len(gains):
                    shares.append(MeanSquares.of(gains, teachers).share_of_teachers)
        if not variances:
            raise ValueError(f"no comparison has {LEAST_PAIRS} finished pairs")
        return cls(
            math.sqrt(statistics.median(variances)),
            statistics.median(shares) if shares else ASSUMED_TEACHER_SHARE,
            len(variances),
            bool(shares),
        )


def measured_spread(folder: Path, task: Task) -> Spread:
    """Return the spread of the gains in a study's folder.

    Raises:
        RequestError: It has no results, or too few.

    Example:
        >>> from distillab.tasks import Classification
        >>> measured_spread(Path("nowhere"), Classification())
        Traceback (most recent call last):
        distillab.errors.RequestError: --results nowhere: nowhere/results.parquet: there is no such table
    """
    try:
        return Spread.measured(read_rows(folder / "results.parquet"), task)
    except RequestError as error:
        raise error.within(f"--results {folder}") from error
    except ValueError as error:
        raise RequestError(str(error), where=f"--results {folder}", allowed="a study that has run") from error


@dataclass(frozen=True)
class PlannedPower:
    """What a planned study can show.

    Attributes:
        seeds: Number of pairs per comparison; with sequential stopping, at the last interim analysis.
        margin: Half width of the region of practical equivalence.
        power: The probability that a gain is found.
        gain: The smallest true gain whose verdict is `helps` with that probability; infinite below 5 pairs.
        first_look: Pairs and gain at the first interim analysis; None without sequential stopping.
        spread: How much gains vary between seeds.
        relative_width: By number of ``full`` teachers, how wide intervals are, relative to those with a
            teacher for each seed. It has no entry for a single teacher, whose intervals hold for it alone.
        tests: Number of comparisons that are corrected together; 0 if that is not known.
        gain_together: The smallest true gain whose verdict holds together with those on all of these, with
            the same probability, in the worst case of Holm's method.

    Example:
        >>> PlannedPower(10, 0.005, POWER, 0.015, None, Spread(), {}).sentences[0]
        'With 10 seeds and a margin of 0.5 points, a true gain of 1.5 points is found by one comparison ...
    """

    seeds: int
    margin: float
    power: float
    gain: float
    first_look: tuple[int, float] | None
    spread: Spread
    relative_width: dict[int, float]
    tests: int = 0
    gain_together: float = math.inf

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form; an infinite gain is null."""
        gains = {"gain": self.gain, "gain_together": self.gain_together}
        return asdict(self) | {name: value if math.isfinite(value) else None for name, value in gains.items()}

    @property
    def sentences(self) -> tuple[str, ...]:
        """The power in plain words."""
        if self.seeds < LEAST_PAIRS:
            return (f"{self.seeds} seeds: no verdict below {LEAST_PAIRS} pairs.",)
        early = ""
        if self.first_look:
            early = f" ({_points(self.first_look[1])} at the first interim analysis, of {self.first_look[0]})"
        comparisons = self.spread.comparisons
        source = f"measured in {comparisons} comparisons" if comparisons else "an assumption"
        return (
            f"With {self.seeds} seeds and a margin of {_points(self.margin)} points, a true gain of "
            f"{_points(self.gain)} points is found by one comparison alone in {100 * self.power:.0f} % of "
            f"studies{early}, if gains of pairs have a standard deviation of {_points(self.spread.sd)} "
            f"({source}).",
            *self._together(),
        )

    def _together(self) -> list[str]:
        """Return what a verdict needs that is corrected for all comparisons of the study."""
        if not self.tests:
            return ["Verdicts that hold together with those on other comparisons need a larger gain."]
        if self.tests == 1:
            return ["It is the only gain that is tested, so that its verdict needs no correction."]
        return [
            f"A verdict that holds together with those on all {self.tests} comparisons, as headlines count "
            f"them, needs up to {_points(self.gain_together)} points."
        ]


def planned_power(summary: PlanSummary, spread: Spread | None = None, *, tests: int = 0) -> PlannedPower:
    """Return what a planned study can show.

    Args:
        summary: The plan in numbers.
        spread: How much gains vary between seeds; by default an assumption.
        tests: How many comparisons are corrected together, from
            :func:`distillab.evidence.planned_family.planned_tests`; 0 if that is not known.

    Example:
        >>> facts = dict(study="demo", dataset="digits", images={}, image="", notes=(), factors={})
        >>> facts |= dict(conditions=1, cells=2, arms=2, seeds=10, excluded=(), runs={}, reused_outputs=0)
        >>> facts |= dict(stored_bytes=0, live=0, seconds={}, workers=1, wall_seconds=0.0, recipes={})
        >>> facts |= dict(numerics={}, confidence=0.95, margin=0.005, looks=(), least_students=0)
        >>> facts |= dict(least_seconds=0.0, least_wall_seconds=0.0)
        >>> round(planned_power(PlanSummary(**facts)).gain, 3)
        0.015
    """
    spread = spread or Spread()

    def found(pairs: int, confidence: float) -> float:
        if pairs < LEAST_PAIRS:
            return math.inf
        return summary.margin + detectable_effect(pairs, spread.sd, POWER, 1 - confidence)

    seeds, confidence, first = summary.seeds, summary.confidence, None
    if summary.looks:
        looks = look_plan(summary.looks, summary.confidence)
        seeds, confidence = looks[-1].seeds, looks[-1].confidence
        first = looks[0].seeds, found(looks[0].seeds, looks[0].confidence)
    together = found(seeds, 1 - (1 - confidence) / tests) if tests else math.inf
    options = summary.teachers.options if summary.teachers else ()
    widths = {
        number: relative_width(summary.seeds, number, spread.teacher_share, summary.confidence)
        for number in options
        if number > 1
    }
    alone = found(seeds, confidence)
    return PlannedPower(summary.seeds, summary.margin, POWER, alone, first, spread, widths, tests, together)


def relative_width(seeds: int, teachers: int, teacher_share: float, confidence: float = 0.95) -> float:
    """Return how wide an interval is if seeds share teachers, relative to a teacher for each seed.

    It is the median over simulated studies in which gains are normal.

    Args:
        seeds: Number of pairs.
        teachers: Number of teachers, used in turn; more than one.
        teacher_share: The part of the variance of gains that belongs to the teacher.
        confidence: Of the interval.

    Example:
        >>> relative_width(10, 10, 0.2), relative_width(10, 3, 0.2) > 1.2
        (1.0, True)
    """
    if teachers >= seeds:
        return 1.0
    rng, names = np.random.default_rng(0), [seed % teachers for seed in range(seeds)]
    tail, shared, own = 0.5 + confidence / 2, list[float](), list[float]()
    for _ in range(_SIMULATED):
        of_teachers = rng.normal(0, math.sqrt(teacher_share), seeds)
        of_seeds = rng.normal(0, math.sqrt(1 - teacher_share), seeds)
        for widths, drawn, used in ((shared, of_teachers[names], names), (own, of_teachers, None)):
            variance = variance_over_seeds(drawn + of_seeds, used)
            widths.append(variance.t(tail) * math.sqrt(variance.value))
    return statistics.median(shared) / statistics.median(own)


def _comparisons(
    rows: Sequence[Row], task: Task, left_out: set[str]
) -> Iterable[tuple[FloatArray, list[str]]]:
    """Yield the gains of each comparison with the plain student, and the teacher of each."""
    for cell in by_cell(rows, cell_columns(rows)).values():
        for method, distilled in cell.items():
            if method not in left_out and PLAIN in cell:
                paired = pairs(distilled, cell[PLAIN], task.primary)
                gains = [float(a[task.primary]) - float(b[task.primary]) for a, b in paired]
                yield np.array(gains), teachers_of(paired) or []


def _points(value: float) -> str:
    return f"{100 * value:.2g}" if abs(value) < 0.1 else f"{100 * value:.0f}"
