"""Sequential stopping: a group-sequential design for paired gains that keeps its error rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from distillab.evidence.contrast import Contributions, differences_of
from distillab.evidence.draws import FloatArray
from distillab.evidence.pairs import Row, SeedRows, pairs
from distillab.evidence.verdicts import Verdict, judge
from distillab.study.ledger import JobState
from distillab.study.spec.seeds import LEAST_PAIRS
from distillab.tasks import Metric

SETTLED = frozenset({JobState.DONE, JobState.FAILED, "excluded"})

# Chosen by benchmarks/sequential_seeds.py. The error that may be spent grows with the share of seeds to this
# power: 1 spends it evenly and stops soonest, 3 leaves nearly all of it to the last look.
SPENDING_POWER = 2.0
# The boundaries are those of normally distributed gains. They spend less than the nominal error, so that
# skewed gains of 5 to 20 pairs stay within it as well.
SPENT_SHARE = 0.75

_NODES = 256
_FAR = 9.0


@dataclass(frozen=True)
class Look:
    """One planned interim analysis of the gains.

    Attributes:
        number: 1 for the first.
        seeds: The number of seeds that it waits for.
        confidence: Level of its intervals. All looks together cover with the confidence of the study.
        p_share: Its share of the error; a p-value divided by it is valid whenever the study stopped.

    Example:
        >>> Look(number=1, seeds=5, confidence=0.997, p_share=0.25).p_value(0.0625)
        0.25
    """

    number: int
    seeds: int
    confidence: float
    p_share: float

    def p_value(self, raw: float) -> float:
        """Return a p-value of this look, corrected for several looks by a weighted Bonferroni correction."""
        return min(1.0, raw / self.p_share)


@dataclass(frozen=True)
class ContrastState:
    """How far a contrast of a sequential study has come.

    Attributes:
        look: The look that its interval belongs to: the one that decided it, else the last complete one, else
            the first, which is not complete yet.
        complete: Whether all runs of that look are settled; before that there is no verdict.
        verdict: The verdict of that look on the primary metric.
    """

    look: Look
    complete: bool
    verdict: Verdict

    @property
    def decided(self) -> bool:
        """Whether the contrast needs no further seeds."""
        return self.verdict != "undecided"


def look_plan(sizes: Sequence[int], confidence: float = 0.95) -> tuple[Look, ...]:
    """Return the looks of a study with sequential stopping.

    The intervals of all looks together are repeated confidence intervals (Jennison and Turnbull 1989): with
    probability ``confidence`` every one of them contains the true gain. A verdict is therefore wrong with
    probability at most ``1 - confidence``, whichever look the study stopped at, and whichever other contrasts
    made it continue.

    Args:
        sizes: Numbers of seeds at the looks, increasing.
        confidence: Confidence of the study.

    Raises:
        ValueError: The sizes do not increase from at least 5, or the confidence is outside (0, 1).

    Example:
        >>> [(look.seeds, round(look.confidence, 4)) for look in look_plan([5, 10])]
        [(5, 0.9906), (10, 0.9676)]
    """
    if not sizes or sizes[0] < LEAST_PAIRS or any(b <= a for a, b in pairwise(sizes)):
        raise ValueError(f"looks need increasing numbers of at least {LEAST_PAIRS} seeds, not {list(sizes)}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), not {confidence}")
    shares = np.diff((np.array([0, *sizes]) / sizes[-1]) ** SPENDING_POWER)
    levels = spending_levels(tuple(sizes), SPENT_SHARE * (1.0 - confidence))
    return tuple(
        Look(number, seeds, 1.0 - level, float(share))
        for number, (seeds, level, share) in enumerate(zip(sizes, levels, shares, strict=True), 1)
    )


@cache
def spending_levels(sizes: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Return the two-sided nominal level of each look.

    Looks up to k together err with ``alpha (n_k / n_K)^2``. These are the error-spending boundaries of Lan
    and DeMets (1983) with the power family of Kim and DeMets (1987) for standardized means of normal gains.
    Their joint density is propagated from look to look (Armitage, McPherson and Rowe 1969) on Gauss-Legendre
    nodes between the boundaries. The levels are then used with Student's t.

    Args:
        sizes: Numbers of seeds at the looks.
        alpha: Two-sided error of all looks together.
    """
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    spent = alpha * (np.array([0, *sizes]) / sizes[-1]) ** SPENDING_POWER
    nodes, mass = np.zeros(1), np.ones(1)  # before the first look the sum is exactly 0
    before, levels = 0.0, []
    for size, error in zip(sizes, np.diff(spent), strict=True):
        carried, fresh = math.sqrt(before / size), math.sqrt(1.0 - before / size)
        bound = _boundary(carried * nodes, mass, fresh, float(error))
        levels.append(float(2.0 * ndtr(-bound)))
        reached = bound * points
        gap = (reached[:, None] - carried * nodes) / fresh
        density = np.exp(-0.5 * gap**2) @ mass / (fresh * math.sqrt(2.0 * math.pi))
        nodes, mass, before = reached, density * bound * weights, float(size)
    return tuple(levels)


def _boundary(centers: FloatArray, mass: FloatArray, fresh: float, error: float) -> float:
    """Return the z beyond which, on both sides together, studies that did not stop lie with probability
    ``error``."""

    def excess(z: float) -> float:
        return float((ndtr((centers - z) / fresh) + ndtr((-z - centers) / fresh)) @ mass) - error

    return float(brentq(excess, 0.0, _FAR, xtol=1e-10))


def contrast_state(
    distilled: SeedRows,
    plain: SeedRows,
    looks: Sequence[Look],
    metric: Metric,
    margin: float,
    contributions: Contributions | None = None,
) -> ContrastState:
    """Return the state of a contrast at the first look that decided it, or at the last complete one.

    It depends on finished runs alone, so it is the same however often the study was interrupted. Seeds are
    counted from 0: look k consists of the seeds below ``looks[k].seeds``, whatever else has run. A look is
    complete when all its runs have settled; those that failed or were excluded are missing pairs.

    Args:
        distilled: Result rows by seed.
        plain: Result rows by seed.
        looks: The looks, from :func:`look_plan`.
        metric: The metric on which the study stops.
        margin: The margin that the study sets.
        contributions: What test examples add to the metric, so that the study stops on the interval for new
            examples, to which further seeds add nothing once the examples are what it varies over.
    """
    state = ContrastState(looks[0], False, "undecided")
    for look in looks:
        settled = all(
            side.get(seed, {}).get("status") in SETTLED
            for side in (distilled, plain)
            for seed in range(look.seeds)
        )
        if not settled:
            break
        paired = pairs_at(look, pairs(distilled, plain, metric.name))
        verdict: Verdict = "undecided"
        if paired:
            gain = differences_of(paired, metric, contributions).gain(look.confidence)
            verdict = judge(gain, metric.margin_for(margin), metric.higher_is_better)
        state = ContrastState(look, True, verdict)
        if state.decided:
            break
    return state


def pairs_at(look: Look, paired: Sequence[tuple[Row, Row]]) -> list[tuple[Row, Row]]:
    """Return the pairs that belong to a look."""
    return [pair for pair in paired if pair[0]["seed"] < look.seeds]
