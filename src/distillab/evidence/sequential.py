"""Stopping when it is decided: a group-sequential design for paired gains, with error rates that hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr

from distillab.evidence.gains import paired_gain
from distillab.evidence.pairs import Row, pairs, resolution_of
from distillab.evidence.verdicts import Verdict, verdict
from distillab.tasks.classification import METRICS

PRIMARY_METRIC = "accuracy"
SETTLED = frozenset({"done", "failed", "excluded"})

# Chosen by benchmarks/sequential_seeds.py. The power of the share of seeds in the error that may be spent:
# 1 spends it evenly and stops soonest, 3 leaves nearly all of it to the last look.
SPENDING_POWER = 2.0
# The boundaries are those of normal gains. They spend a little less than was asked for, so that skewed gains
# of 5 to 20 pairs keep to it as well.
SPENT_SHARE = 0.75

_NODES = 256
_FAR = 9.0


@dataclass(frozen=True)
class Look:
    """One planned look at the gains.

    Attributes:
        number: 1 for the first.
        seeds: how many seeds it waits for.
        confidence: level of its intervals. All looks together cover with the confidence of the study.
        p_share: its share of the error; a p-value divided by it is valid however the study stopped.
    """

    number: int
    seeds: int
    confidence: float
    p_share: float

    def p_value(self, raw: float) -> float:
        """A p-value of this look, made valid for a study that looks several times (a weighted Bonferroni
        correction over the looks): at most 1."""
        return min(1.0, raw / self.p_share)


@dataclass(frozen=True)
class Standing:
    """Where a contrast stands in a sequential study.

    Attributes:
        look: the look that its interval belongs to: the one that decided it, else the last complete one, else
            the first, which is still to come.
        complete: whether that look's runs are all settled; before that there is no verdict.
        verdict: what that look said about accuracy.
    """

    look: Look
    complete: bool
    verdict: Verdict

    @property
    def decided(self) -> bool:
        """Whether the contrast needs no further seeds."""
        return self.verdict != "undecided"


def look_plan(sizes: Sequence[int], confidence: float = 0.95) -> tuple[Look, ...]:
    """The looks of a study that stops when it is decided.

    The intervals of all looks together are repeated confidence intervals (Jennison and Turnbull 1989): with
    probability ``confidence`` every one of them holds the true gain, so a verdict is false with at most
    ``1 - confidence``, whichever look it stopped at, and whichever other contrasts made it go on.

    Args:
        sizes: the numbers of seeds at which the study looks, rising.
        confidence: of the study.

    Raises:
        ValueError: for sizes that do not rise from at least 2, or a confidence outside (0, 1).
    """
    if not sizes or sizes[0] < 2 or any(b <= a for a, b in pairwise(sizes)):
        raise ValueError(f"looks need rising numbers of at least 2 seeds, not {list(sizes)}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence lies in (0, 1), not {confidence}")
    shares = np.diff((np.array([0, *sizes]) / sizes[-1]) ** SPENDING_POWER)
    levels = spending_levels(tuple(sizes), SPENT_SHARE * (1.0 - confidence))
    return tuple(
        Look(number, seeds, 1.0 - level, float(share))
        for number, (seeds, level, share) in enumerate(zip(sizes, levels, shares, strict=True), 1)
    )


@cache
def spending_levels(sizes: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Two-sided nominal level of each look, so that looks up to k together err with ``alpha (n_k / n_K)^2``.

    The error-spending boundaries of Lan and DeMets (1983) with the power family of Kim and DeMets (1987) for
    standardised means of normal gains, whose joint density is carried from look to look (Armitage, McPherson
    and Rowe 1969) on Gauss-Legendre nodes between the boundaries. The levels are then used with Student's t.
    """
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    spent = alpha * (np.array([0, *sizes]) / sizes[-1]) ** SPENDING_POWER
    nodes, mass = np.zeros(1), np.ones(1)  # before the first look the sum is 0 for certain
    before, levels = 0.0, []
    for size, due in zip(sizes, np.diff(spent), strict=True):
        carried, fresh = math.sqrt(before / size), math.sqrt(1.0 - before / size)
        bound = _boundary(carried * nodes, mass, fresh, float(due))
        levels.append(float(2.0 * ndtr(-bound)))
        reached = bound * points
        gap = (reached[:, None] - carried * nodes) / fresh
        density = np.exp(-0.5 * gap**2) @ mass / (fresh * math.sqrt(2.0 * math.pi))
        nodes, mass, before = reached, density * bound * weights, float(size)
    return tuple(levels)


def _boundary(
    centres: npt.NDArray[np.float64], mass: npt.NDArray[np.float64], fresh: float, due: float
) -> float:
    """The z beyond which, on either side, the probability ``due`` lies among those that did not stop."""

    def excess(z: float) -> float:
        return float((ndtr((centres - z) / fresh) + ndtr((-z - centres) / fresh)) @ mass) - due

    return float(brentq(excess, 0.0, _FAR, xtol=1e-10))


def standing(
    distilled: dict[int, Row], plain: dict[int, Row], looks: Sequence[Look], margin: float
) -> Standing:
    """Where a contrast stands: the first look that decided it, or the last complete one.

    Only result rows go in, so it gives the same however often the study was interrupted. Seeds are counted
    from 0: look k is made of the seeds below ``looks[k].seeds``, whatever else has run. A look is complete
    when all its runs have settled; those that failed or were excluded are missing pairs.

    Args:
        distilled, plain: result rows by seed.
        looks: from :func:`look_plan`.
        margin: the study's margin for accuracies.
    """
    about, reached = METRICS[PRIMARY_METRIC], Standing(looks[0], False, "undecided")
    for look in looks:
        settled = all(
            side.get(seed, {}).get("status") in SETTLED
            for side in (distilled, plain)
            for seed in range(look.seeds)
        )
        if not settled:
            break
        found = seen_at(look, pairs(distilled, plain, PRIMARY_METRIC))
        said: Verdict = "undecided"
        if found:
            gain = paired_gain(
                [d[PRIMARY_METRIC] for d, _ in found],
                [p[PRIMARY_METRIC] for _, p in found],
                confidence=look.confidence,
                resolution=resolution_of(found, PRIMARY_METRIC),
            )
            said = verdict(gain, about.margin_for(margin), about.higher_is_better)
        reached = Standing(look, True, said)
        if reached.decided:
            break
    return reached


def seen_at(look: Look, found: Sequence[tuple[Row, Row]]) -> list[tuple[Row, Row]]:
    """The pairs that a look is made of."""
    return [pair for pair in found if pair[0]["seed"] < look.seeds]
