"""Studies drawn from a laboratory, and how often their conclusions are right.

The networks of a laboratory are a population whose mean gain is known. A study draws seeds, teachers and test
images from it, each independently and with replacement, so that its draws are independent whatever the size
of the population, and goes through the evidence code of studies. A study of plain students alone draws each
seed once: which student of a seed counts as distilled is drawn, so that pairs are independent all the same,
and a pair that occurred twice would look like an effect of its test images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from distillab.evidence import Row, compute_effects
from distillab.selftest.lab import Lab, LabSize, Right
from distillab.tasks import Classification

Teachers = Literal["one", "few", "each", "none"]

PAIRS = (5, 6, 10, 20)
TEACHERS: tuple[Teachers, ...] = ("one", "few", "each")
FEW_TEACHERS = 3
LEAST_COVERAGE = 0.93
FALSE_VERDICTS = (0.03, 0.08)
"""The share of help and harm that studies of plain against plain students may find, at a level of 0.05."""
_TASK = Classification()


@dataclass(frozen=True)
class Line:
    """One line of the result: a kind of study, and how often its conclusion was as it should be.

    Attributes:
        check: ``coverage``: intervals that contain the true gain. ``plain against plain``: verdicts of help
            or harm between students that differ by chance alone, against a margin of 0.
        pairs: Pairs of a study.
        teachers: One teacher for all pairs, few in turn, one for each pair, or none.
        studies: Number of studies.
        share: The share of them.
        least: The smallest share that passes.
        most: The largest.
        tolerance: How far beyond these a share still passes; 0 unless there are few studies.

    Example:
        >>> line = Line("coverage", 5, "each", studies=400, share=0.95, least=0.93)
        >>> line.passed, round(line.error, 4)
        (True, 0.0109)
    """

    check: Literal["coverage", "plain against plain"]
    pairs: int
    teachers: Teachers
    studies: int
    share: float
    least: float
    most: float = 1.0
    tolerance: float = 0.0

    @property
    def error(self) -> float:
        """The standard error of the share."""
        return math.sqrt(self.share * (1.0 - self.share) / self.studies)

    @property
    def passed(self) -> bool:
        """Whether the share is within its bounds."""
        return self.least - self.tolerance <= self.share <= self.most + self.tolerance


def measure_lab(lab: Lab, size: LabSize, pairs: int, *, reduced: bool) -> list[Line]:
    """Return how often the conclusions of studies that are drawn from a laboratory are right.

    Args:
        lab: The laboratory.
        size: Studies per line, and their test images.
        pairs: Pairs of a study.
        reduced: Whether there are too few studies to hold shares to their bounds: lines then pass within two
            standard errors of the bound.

    Example:
        >>> right = np.random.default_rng(0).integers(0, 2, (3, 8, 50)).astype(float)
        >>> lab = Lab(right[0], right[1], right, right[:, 0])
        >>> lines = measure_lab(lab, LabSize(studies=2, test_size=20), 5, reduced=True)
        >>> [(line.check, line.teachers) for line in lines[1:]]
        [('coverage', 'few'), ('coverage', 'each'), ('plain against plain', 'none')]
    """

    def tolerance(bound: float) -> float:
        return 2.0 * math.sqrt(bound * (1.0 - bound) / size.studies) if reduced else 0.0

    def share(drawn: Callable[[np.random.Generator], bool], *entropy: int) -> float:
        rng = np.random.default_rng([pairs, *entropy])
        return sum(drawn(rng) for _ in range(size.studies)) / size.studies

    lines = []
    for number, teachers in enumerate(TEACHERS, 1):
        covered = share(partial(_covers, lab, pairs, teachers, size.test_size), number)
        bound = LEAST_COVERAGE
        lines.append(
            Line("coverage", pairs, teachers, size.studies, covered, bound, tolerance=tolerance(bound))
        )
    found = share(partial(_false_verdict, lab, pairs, size.test_size), 0)
    least, most = FALSE_VERDICTS
    lines.append(
        Line("plain against plain", pairs, "none", size.studies, found, least, most, tolerance(most))
    )
    return lines


def _covers(lab: Lab, pairs: int, teachers: str, test_size: int, rng: np.random.Generator) -> bool:
    """Return True if the interval of a drawn study contains the true gain."""
    number = {"one": 1, "few": FEW_TEACHERS, "each": pairs}[teachers]
    drawn = rng.integers(len(lab.distilled), size=number)
    seeds = rng.integers(len(lab.plain), size=pairs)
    images = rng.integers(lab.plain.shape[1], size=test_size)
    of = np.arange(pairs) % number
    distilled, plain = lab.distilled[drawn[of], seeds][:, images], lab.plain[seeds][:, images]
    effect = _effect(distilled, plain, [f"teacher {teacher}" for teacher in of])
    truth = float(lab.true_gains[drawn[0]] if number == 1 else lab.true_gains.mean())
    return bool(effect["ci_low"] <= truth <= effect["ci_high"])


def _false_verdict(lab: Lab, pairs: int, test_size: int, rng: np.random.Generator) -> bool:
    """Return True if a study of plain students finds help or harm.

    Which of the two students of a seed counts as distilled is drawn, so that the true gain is 0.
    """
    seeds = rng.choice(len(lab.plain), size=pairs, replace=pairs > len(lab.plain))
    images = rng.integers(lab.plain.shape[1], size=test_size)
    swapped = rng.integers(0, 2, size=pairs).astype(bool)[:, None]
    one, other = lab.plain[seeds][:, images], lab.other[seeds][:, images]
    effect = _effect(np.where(swapped, other, one), np.where(swapped, one, other), None)
    return effect["verdict"] in ("helps", "harms")


def _effect(distilled: Right, plain: Right, teachers: list[str] | None) -> Row:
    """Return the effect row of the pairs of a study, ``[pairs, images]`` each."""
    right: dict[str, Right] = {}
    rows: list[Row] = []
    for method, table in (("ce", plain), ("kd", distilled)):
        for seed, values in enumerate(table):
            run = f"{method} {seed}"
            right[run] = values
            row: Row = {"run_id": run, "method": method, "seed": seed, "status": "done"}
            row |= {"accuracy": float(values.mean()), "n_test": len(values)}
            rows.append(row | {"teacher_run": teachers[seed] if teachers else None})
    [effect] = compute_effects(rows, _TASK, margin=0.0, contributions=lambda row: right[row["run_id"]])
    return effect
