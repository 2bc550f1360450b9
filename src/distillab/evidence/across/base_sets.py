"""Means over base sets: each base set counts once, and intervals come from resampling whole base sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from distillab.evidence.draws import FloatArray
from distillab.evidence.families import verdict_level
from distillab.evidence.gains import guarded_interval, sign_flip_p
from distillab.evidence.verdicts import Verdict, verdict_of

LEAST_FOR_VERDICT = 6  # the smallest number of which a sign-flip test can give p < 0.05
FEW_BASE_SETS = 12  # below, intervals are stated to rest on few base sets
RESAMPLES = 9_999


@dataclass(frozen=True)
class MeanAcross:
    """A mean over base sets with its uncertainty.

    Attributes:
        mean: The mean over base sets of the mean over the contexts of each.
        ci_low: Lower end of the interval for new base sets; infinite below two base sets.
        ci_high: Upper end of that interval.
        p_value: Two-sided sign-flip p-value over base sets.
        p_verdict: Smallest error rate at which there is a verdict, whichever it is; 1 if there is none.
        verdict: ``helps``, ``harms``, ``equivalent`` or ``undecided``, against the margin.
        n_base_sets: Number of base sets.
        n_contexts: Number of contexts.
        undecided_because: Why there is no verdict; empty if there is one.

    Example:
        >>> MeanAcross(0.01, 0.004, 0.016, 0.03, 0.04, "undecided", 6, 40).n_base_sets
        6
    """

    mean: float
    ci_low: float
    ci_high: float
    p_value: float
    p_verdict: float
    verdict: Verdict
    n_base_sets: int
    n_contexts: int
    undecided_because: str = ""


@dataclass(frozen=True)
class BaseSetMeans:
    """The mean of a quantity over the contexts of each base set.

    Attributes:
        names: Names of the base sets, sorted.
        values: Their means, float64 ``[G]``.
        sizes: Number of contexts of each, int64 ``[G]``.

    Example:
        >>> found = BaseSetMeans.of([0.01, 0.03, 0.00], ["mnist", "mnist", "usps"])
        >>> found.names, found.values.tolist(), found.sizes.tolist()
        (('mnist', 'usps'), [0.02, 0.0], [2, 1])
    """

    names: tuple[str, ...]
    values: FloatArray
    sizes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.ArrayLike, base_sets: Sequence[str]) -> BaseSetMeans:
        """Return the means of some contexts.

        Args:
            values: One per context, float ``[n]``.
            base_sets: The base set of each context.

        Raises:
            ValueError: Lengths differ, there is no context, or a value is NaN or infinite.
        """
        found = np.asarray(values, dtype=np.float64)
        if found.ndim != 1 or len(found) != len(base_sets) or not len(found):
            raise ValueError(f"{found.shape} values and {len(base_sets)} base sets do not match")
        if not np.isfinite(found).all():
            raise ValueError("a value is NaN or infinite; contexts without a result cannot be averaged")
        names, of = np.unique(np.asarray(base_sets, dtype=str), return_inverse=True)
        sizes = np.bincount(of)
        return cls(tuple(names.tolist()), np.bincount(of, found) / sizes, np.asarray(sizes, dtype=np.int64))

    @property
    def mean(self) -> float:
        """The mean over base sets, each of which counts once."""
        return float(self.values.mean())

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the cluster bootstrap interval of the mean: whole base sets are drawn with replacement.

        Quantiles are taken at the expanded level ``Phi(-sqrt(G / (G - 1)) t)``, with t the quantile of
        Student's t with G - 1 degrees of freedom, because percentile intervals of few values are too narrow
        (Hesterberg 2015, What teachers should know about the bootstrap, section 5). Below 6 base sets, which
        have too few resamples, it is Student's t (:func:`distillab.evidence.gains.guarded_interval`).
        """
        number = len(self.values)
        if number < LEAST_FOR_VERDICT:
            low, high = guarded_interval(self.values, confidence=confidence)
            return float(low), float(high)
        level = expanded_level(confidence, number)
        places = np.array([level, 1.0 - level]) * (len(self._resampled) - 1)
        ends = np.interp(places, np.arange(len(self._resampled)), self._resampled)
        return float(ends[0]), float(ends[1])

    def verdict_level(self, margin: float) -> float:
        """Return the smallest error rate at which there is a verdict against a margin; 1 if there is none.

        A verdict needs the bootstrap interval and sign-flip tests of the distances from the margin. The
        bootstrap of few base sets never reaches beyond the smallest and the largest of them, however high the
        confidence; the sign-flip test cannot give a p-value below 2 / 2^G.
        """
        if len(self.values) < LEAST_FOR_VERDICT:
            return 1.0
        by_interval = verdict_level(self.interval, margin)
        if abs(self.mean) > margin:
            beyond = self.values - np.sign(self.mean) * margin
            by_flips = sign_flip_p(beyond)
        else:  # two one-sided tests
            by_flips = max(sign_flip_p(self.values - margin), sign_flip_p(self.values + margin))
        return max(by_interval, by_flips)

    def summary(
        self, margin: float, *, higher_is_better: bool = True, confidence: float = 0.95
    ) -> MeanAcross:
        """Return the mean with interval, p-value and verdict.

        Args:
            margin: Half width of the region of practical equivalence.
            higher_is_better: Whether larger values are better.
            confidence: Coverage of the interval; 1 - confidence is the error rate of the verdict.

        Example:
            >>> gains = [0.02, 0.03, 0.02, 0.04, 0.03, 0.02, 0.03]
            >>> found = BaseSetMeans.of(gains, list("abcdefg")).summary(margin=0.005)
            >>> round(found.mean, 3), round(found.p_value, 3), found.verdict
            (0.027, 0.016, 'helps')
        """
        low, high = self.interval(confidence)
        level, alpha = self.verdict_level(margin), 1.0 - confidence
        verdict: Verdict = "undecided"
        if level <= alpha:
            verdict = verdict_of(low, high, margin, higher_is_better)
        because = ""
        if verdict == "undecided":
            few = len(self.values) < LEAST_FOR_VERDICT
            because = few_base_sets(len(self.values)) if few else "the interval allows several verdicts"
        return MeanAcross(
            self.mean,
            low,
            high,
            sign_flip_p(self.values),
            level,
            verdict,
            len(self.values),
            int(self.sizes.sum()),
            because,
        )

    @cached_property
    def _resampled(self) -> FloatArray:
        """Means of resampled base sets, sorted, float64 ``[RESAMPLES]``."""
        weights = cluster_weights(len(self.values), RESAMPLES)
        return np.sort(weights @ self.values / len(self.values))


def few_base_sets(number: int) -> str:
    """Return why there is no verdict on a mean over so few base sets.

    Example:
        >>> few_base_sets(3)
        'fewer than 6 base sets (3)'
    """
    return f"fewer than {LEAST_FOR_VERDICT} base sets ({number})"


@lru_cache(maxsize=16)
def cluster_weights(clusters: int, resamples: int) -> FloatArray:
    """Return how often each cluster occurs in each resample, float64 ``[resamples, clusters]``.

    The draws are the same every time.

    Example:
        >>> cluster_weights(5, resamples=3).sum(axis=1).tolist()
        [5.0, 5.0, 5.0]
    """
    rng = np.random.default_rng(clusters)
    drawn: npt.NDArray[Any] = rng.multinomial(clusters, np.full(clusters, 1.0 / clusters), size=resamples)
    weights = drawn.astype(np.float64)
    weights.flags.writeable = False  # it is shared by all callers
    return weights


def expanded_level(confidence: float, number: int) -> float:
    """Return the quantile level at which a percentile interval of a mean is as wide as Student's t makes it.

    Args:
        confidence: Nominal coverage of the interval.
        number: Independent values behind the mean, at least 2.

    Example:
        >>> round(expanded_level(0.95, 8), 4), round(expanded_level(0.95, 1000), 4)
        (0.0057, 0.0248)
    """
    t = stdtrit(number - 1, 0.5 + confidence / 2.0)
    return float(ndtr(-np.sqrt(number / (number - 1.0)) * t))
