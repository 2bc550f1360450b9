"""Methods compared over base sets by their ranks: the data of a critical-difference diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import stats

from distillab.evidence.gains import NO_DIFFERENCE
from distillab.evidence.verdicts import holm


@dataclass(frozen=True)
class RankedPair:
    """The comparison of two methods over base sets.

    Attributes:
        first: The method with the better mean rank.
        second: The other one.
        p_value: Two-sided Wilcoxon signed-rank p-value; 1 if all differences are zero.
        p_adjusted: After Holm's correction over all pairs.

    Example:
        >>> RankedPair("kd", "ce", p_value=0.01, p_adjusted=0.03).first
        'kd'
    """

    first: str
    second: str
    p_value: float
    p_adjusted: float


@dataclass(frozen=True)
class CriticalDifference:
    """Mean ranks of methods, and which of them differ.

    Attributes:
        methods: The methods, the best mean rank first.
        mean_ranks: Their mean ranks over base sets; 1 is the best.
        p_friedman: P-value of the hypothesis that all methods have the same rank distribution.
        pairs: All pairs of methods.
        cliques: Maximal groups of neighboring methods in which no pair differs.
        n_base_sets: Number of base sets.

    Example:
        >>> scores = {"ce": [0.7, 0.6, 0.8], "kd": [0.8, 0.7, 0.9]}
        >>> found = critical_difference(scores)
        >>> found.methods, found.mean_ranks, found.cliques
        (('kd', 'ce'), (1.0, 2.0), (('kd', 'ce'),))
    """

    methods: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    p_friedman: float
    pairs: tuple[RankedPair, ...]
    cliques: tuple[tuple[str, ...], ...]
    n_base_sets: int


def critical_difference(
    scores: Mapping[str, npt.ArrayLike], *, higher_is_better: bool = True, alpha: float = 0.05
) -> CriticalDifference:
    """Return mean ranks, the Friedman test, and Wilcoxon signed-rank tests of all pairs (Holm).

    The layout is that of Demsar (JMLR 7, 2006), with pairwise tests in place of Nemenyi's critical distance,
    because that makes the outcome of a pair depend on which other methods are compared (Benavoli, Corani and
    Mangili, JMLR 17(5), 2016). If the Friedman test finds no difference, all methods are one clique. With two
    methods the Wilcoxon test alone decides.

    Args:
        scores: For each method one score per base set, float ``[G]``, in the same order.
        higher_is_better: Whether larger scores are better.
        alpha: Error rate of each family of tests.

    Raises:
        ValueError: Fewer than two methods, lengths differ, or a score is not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = critical_difference({name: rng.normal(size=12) + i for i, name in enumerate("abc")})
        >>> found.methods
        ('c', 'b', 'a')
    """
    names = list(scores)
    table = np.array([np.asarray(scores[name], dtype=np.float64) for name in names]).T
    if len(names) < 2 or table.ndim != 2 or not len(table) or not np.isfinite(table).all():
        raise ValueError("at least two methods with a finite score for every base set are needed")
    ranked = stats.rankdata(-table if higher_is_better else table, axis=1)
    order = np.argsort(ranked.mean(axis=0), kind="stable")
    methods = tuple(names[i] for i in order)
    raw = [
        (names[i], names[j], _wilcoxon_p(table[:, i] - table[:, j]))
        for i, j in combinations(order.tolist(), 2)
    ]
    adjusted = holm([p for _, _, p in raw])
    pairs = tuple(RankedPair(*pair, float(p)) for pair, p in zip(raw, adjusted, strict=True))
    p_friedman = _friedman_p(table, raw[0][2])
    return CriticalDifference(
        methods,
        tuple(float(mean) for mean in ranked.mean(axis=0)[order]),
        p_friedman,
        pairs,
        _cliques(methods, pairs, alpha) if p_friedman <= alpha else (methods,),
        len(table),
    )


def _friedman_p(table: npt.NDArray[np.float64], p_of_two: float) -> float:
    if table.shape[1] < 3:
        return p_of_two
    if np.ptp(table, axis=1).max() < NO_DIFFERENCE:
        return 1.0
    return float(stats.friedmanchisquare(*table.T).pvalue)


def _wilcoxon_p(differences: npt.NDArray[np.float64]) -> float:
    """Return the two-sided p-value; zero differences count half for each side (Pratt 1959)."""
    if (np.abs(differences) < NO_DIFFERENCE).all():
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="pratt").pvalue)


def _cliques(
    methods: Sequence[str], pairs: Sequence[RankedPair], alpha: float
) -> tuple[tuple[str, ...], ...]:
    """Return the maximal runs of neighbors without a significant pair, of at least two methods."""
    differ = {frozenset((pair.first, pair.second)) for pair in pairs if pair.p_adjusted <= alpha}
    found: list[tuple[int, int]] = []
    for start in range(len(methods)):
        end = start
        while end + 1 < len(methods) and not any(
            frozenset((methods[i], methods[end + 1])) in differ for i in range(start, end + 1)
        ):
            end += 1
        if end > start and not any(low <= start and end <= high for low, high in found):
            found.append((start, end))
    return tuple(tuple(methods[start : end + 1]) for start, end in found)
