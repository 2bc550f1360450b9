"""What a simulated adviser may see of a context, and the measured gains of other seeds that judge it.

A pilot and the truth must not share networks: the noise of their seeds would be the same, advice would look
righter than it is, and intervals that are calibrated on it would be too narrow for new data. The seeds of
each context are therefore split, in as many ways as there are seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from distillab.advise.prior import Prior, mean_variances
from distillab.base import EvidenceBase
from distillab.evidence.verdicts import Verdict, verdict_of

TRUTH_CONFIDENCE = 0.8  # of the interval that a truth must have on one side of the margin to count as decided
LEAST_TRUTH_PAIRS = 5
LEAST_JUDGING = 2  # pairs that a truth rests on
_JUDGING_SHARE = 0.4  # of the seeds

Truths = Mapping[tuple[str, int, str], "Truth"]
"""The measured gain by context, part and method."""


@dataclass(frozen=True)
class Truth:
    """The measured gain of a method in a context.

    Attributes:
        gain: Mean paired difference on test.
        variance: The variance of its error.
        verdict: Where its interval lies relative to the margin; ``undecided`` truths judge no verdict.
        pairs: Number of pairs.
    """

    gain: float
    variance: float
    verdict: Verdict
    pairs: int


@dataclass(frozen=True)
class SeedSplit:
    """One way to split the seeds of a context.

    Attributes:
        pilot: Seeds that pilots may use.
        judging: Seeds that the truth rests on.
    """

    pilot: tuple[int, ...]
    judging: tuple[int, ...]


def split_seeds(seeds: Sequence[int]) -> list[SeedSplit]:
    """Return the parts of a context, one per seed.

    Four of ten seeds judge, and at least two.

    Args:
        seeds: The seeds of the context, at least three.

    Example:
        >>> split_seeds([0, 1, 2, 3, 4])[:2]
        [SeedSplit(pilot=(0, 1, 2), judging=(3, 4)), SeedSplit(pilot=(1, 2, 3), judging=(0, 4))]
    """
    ordered = sorted(seeds)
    judging = max(LEAST_JUDGING, round(_JUDGING_SHARE * len(ordered)))
    found = []
    for turn in range(len(ordered)):
        turned = ordered[turn:] + ordered[:turn]
        found.append(SeedSplit(tuple(sorted(turned[:-judging])), tuple(sorted(turned[-judging:]))))
    return found


def parts_of(base: EvidenceBase, prior: Prior, least_pairs: int) -> dict[str, list[SeedSplit]]:
    """Return the parts of every context that has a method with enough pairs.

    Args:
        base: The base.
        prior: Its prior, for the methods.
        least_pairs: The fewest pairs of a method.
    """
    seeds: dict[str, set[int]] = {}
    for method in prior.methods:
        for pairs in base.pairs(method):
            if len(pairs) >= least_pairs:
                seeds.setdefault(pairs.context, set()).update(pairs.seeds.tolist())
    return {context: split_seeds(sorted(found)) for context, found in seeds.items()}


def measured_truths(
    base: EvidenceBase, prior: Prior, parts: Mapping[str, Sequence[SeedSplit]], margin: float
) -> Truths:
    """Return the gains on test of the seeds that judge.

    The interval of a truth takes the spread of pairs half from its own context and half from all contexts,
    since a few pairs say little of their spread.

    Args:
        base: The base.
        prior: Its prior, for the methods.
        parts: The parts of each context.
        margin: Margin of practical equivalence, as a fraction.
    """
    found: dict[tuple[str, int, str], Truth] = {}
    for method in prior.methods:
        every = base.pairs(method)
        for pairs, variance in zip(every, mean_variances(every) if every else (), strict=True):
            for place, part in enumerate(parts.get(pairs.context, ())):
                chosen = pairs.differences[np.isin(pairs.seeds, part.judging)]
                if len(chosen) >= LEAST_JUDGING:
                    of_mean = float(variance) * len(pairs) / len(chosen)
                    truth = _truth(float(chosen.mean()), of_mean, margin, len(chosen))
                    found[pairs.context, place, method] = truth
    return found


def _truth(gain: float, variance: float, margin: float, pairs: int) -> Truth:
    half = float(ndtri(0.5 + TRUTH_CONFIDENCE / 2)) * variance**0.5
    return Truth(gain, variance, verdict_of(gain - half, gain + half, margin, True), pairs)
