"""Error rates of verification: how well scores tell trials of one identity from the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.tasks.arrays import Values

_WINDOW = 0.1  # share of the trials around the threshold from which slopes are estimated


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """The errors of a verifier at every threshold that matters, from the lowest to the highest.

    A trial is accepted if its score is at least the threshold.

    Attributes:
        thresholds: float64 ``[K + 1]``: every score that occurs, and infinity.
        misses: Share of the trials of one identity that are rejected, float64 ``[K + 1]``, rising from 0 to
            1.
        false_alarms: Share of the other trials that are accepted, float64 ``[K + 1]``, falling from 1 to 0.

    Example:
        >>> curve = ErrorCurve.of(np.array([0.9, 0.6, 0.7, 0.1]), np.array([True, True, False, False]))
        >>> curve.misses.tolist(), curve.false_alarms.tolist()
        ([0.0, 0.0, 0.5, 0.5, 1.0], [1.0, 0.5, 0.5, 0.0, 0.0])
        >>> curve.equal_error_rate, curve.min_cost(0.5)
        (0.5, 0.5)
    """

    thresholds: Values
    misses: Values
    false_alarms: Values

    @classmethod
    def of(cls, scores: Values, same: npt.NDArray[np.bool_]) -> ErrorCurve:
        """Return the curve of some trials.

        Args:
            scores: float ``[T]``, larger for what is more alike; equal scores are decided alike.
            same: Whether each trial is of one identity, bool ``[T]``.

        Raises:
            ValueError: No trial is of one identity, or all are.
        """
        if same.all() or not same.any():
            raise ValueError("error rates need trials of one identity and others")
        found, place = np.unique(scores, return_inverse=True)
        of_same = np.bincount(place[same], minlength=len(found))
        of_others = np.bincount(place[~same], minlength=len(found))
        misses = np.concatenate([[0], np.cumsum(of_same)]) / of_same.sum()
        accepted = 1 - np.concatenate([[0], np.cumsum(of_others)]) / of_others.sum()
        return cls(np.append(found.astype(np.float64), np.inf), misses, accepted)

    @property
    def crossing(self) -> tuple[int, float]:
        """The place of the last threshold with fewer misses than false alarms, and how far the equal error
        rate lies between it and the next one, in [0, 1]."""
        gap = self.false_alarms - self.misses
        place = int(np.flatnonzero(gap > 0)[-1])
        return place, float(gap[place] / (gap[place] - gap[place + 1]))

    @property
    def equal_error_rate(self) -> float:
        """The error rate at which misses and false alarms are equal, on the line between two thresholds."""
        place, share = self.crossing
        return float(self.misses[place] + share * (self.misses[place + 1] - self.misses[place]))

    def min_cost(self, prior: float) -> float:
        """Return the minimum of the normalized detection cost over thresholds.

        It is (p m + (1 - p) f) / min(p, 1 - p) with misses m and false alarms f, both of cost 1: 1 for the
        better of accepting and of rejecting all.

        Source: NIST, "2018 Speaker recognition evaluation plan", section 3.1.

        Args:
            prior: p, the probability that a trial is of one identity.
        """
        cost = prior * self.misses + (1 - prior) * self.false_alarms
        return float(cost.min() / min(prior, 1 - prior))

    def weight_of_misses(self) -> float:
        """Return how much the equal error rate moves with the misses at its threshold; with the false alarms
        it moves by 1 less that.

        Where misses rise by f and false alarms fall by g around the threshold, it is g / (f + g).
        """
        place, _ = self.crossing
        level = self.equal_error_rate
        low = int(np.searchsorted(self.misses, level - _WINDOW / 2, "right")) - 1
        high = int(np.searchsorted(self.misses, level + _WINDOW / 2, "left"))
        low, high = max(min(low, place), 0), min(max(high, place + 1), len(self.misses) - 1)
        rise = self.misses[high] - self.misses[low]
        fall = self.false_alarms[low] - self.false_alarms[high]
        return float(fall / (rise + fall))


def verification_contributions(
    scores: Values, same: npt.NDArray[np.bool_], pairs: npt.NDArray[np.int64], number: int
) -> Values:
    """Return what each example adds to one less the equal error rate, float64 ``[number]``.

    Summed over the examples of an identity, they are what the identity adds: to first order, how much the
    rate would change without its trials. Misses and false alarms at the threshold are weighted by
    :meth:`ErrorCurve.weight_of_misses`. A trial of one identity is shared by its two examples; of other
    trials each identity has the whole, since without either there is no such trial. The mean of the
    contributions is the score.

    Args:
        scores: float ``[T]``.
        same: Whether each trial is of one identity, bool ``[T]``.
        pairs: The two examples of each trial, int64 ``[T, 2]``.
        number: Number of examples.
    """
    curve = ErrorCurve.of(scores, same)
    threshold = curve.thresholds[curve.crossing[0] + 1]
    weight = curve.weight_of_misses()
    misses = _excess((scores < threshold)[same], pairs[same], number) / 2
    false_alarms = _excess((scores >= threshold)[~same], pairs[~same], number)
    found: Values = 1 - curve.equal_error_rate - number * (weight * misses + (1 - weight) * false_alarms)
    return found


def _excess(wrong: npt.NDArray[np.bool_], pairs: npt.NDArray[np.int64], number: int) -> Values:
    """Return by how much the trials of each example are worse than the mean, ``[number]``."""
    worse = wrong - wrong.mean()
    sums = [np.bincount(pairs[:, side], weights=worse, minlength=number) for side in (0, 1)]
    found: Values = (sums[0] + sums[1]) / len(wrong)
    return found
