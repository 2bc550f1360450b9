"""How far data lie from what has been studied, and which studied contexts are nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distillab.evidence.draws import FloatArray

LIMIT_QUANTILE = 0.95  # of the leave-one-base-out distances, beyond which data count as not studied
NEAREST_SHOWN = 5


@dataclass(frozen=True)
class Distance:
    """The distance of a context from those that were studied.

    Attributes:
        value: Root mean square of the standardized differences to the nearest context of the base; infinite
            if the two have no feature in common.
        limit: The 95 % quantile of such distances of studied contexts from other base sets than their own.
        nearest: Positions of the nearest contexts, nearest first.
        distances: Their distances.
        farthest_feature: The feature in which the context differs most from its nearest one.

    Example:
        >>> Distance(2.0, 1.5, (3, 1), (2.0, 2.2), "log n_train").outside
        True
    """

    value: float
    limit: float
    nearest: tuple[int, ...]
    distances: tuple[float, ...]
    farthest_feature: str = ""

    @property
    def outside(self) -> bool:
        """True if the context lies outside of what was studied."""
        return self.value > self.limit


class Support:
    """The region that was studied, in standardized features.

    Features are standardized over the contexts; a distance is taken over the features that both contexts
    have. The limit compares each context with those of other base sets, as a new data set would be.

    Args:
        values: Features of the studied contexts, float ``[contexts, features]``; NaN where unknown.
        groups: The base set of each.
        names: Names of the features.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> support = Support(rng.normal(size=(40, 3)), [f"b{i % 8}" for i in range(40)], ["a", "b", "c"])
        >>> support.distance(np.zeros(3)).outside, support.distance(np.array([0.0, 99.0, 0.0])).outside
        (False, True)
    """

    def __init__(self, values: FloatArray, groups: Sequence[str], names: Sequence[str]) -> None:
        with np.errstate(invalid="ignore"):
            self._center = np.nanmean(values, axis=0)
            self._scale = np.maximum(np.nanstd(values, axis=0), 1e-9)
        self._values = (values - self._center) / self._scale
        self._groups = np.array([str(group) for group in groups])
        self._names = tuple(names)
        self.limit = self._limit()

    def distance(self, features: FloatArray) -> Distance:
        """Return how far a context is from those that were studied.

        Args:
            features: Its features, float ``[features]``; NaN where unknown.
        """
        point = (features - self._center) / self._scale
        found = _distances(point, self._values)
        order = np.argsort(found, kind="stable")[:NEAREST_SHOWN]
        differences = np.abs(self._values[order[0]] - point)
        known = np.isfinite(differences)
        farthest = self._names[int(np.where(known, differences, -1.0).argmax())] if known.any() else ""
        return Distance(
            float(found[order[0]]),
            self.limit,
            tuple(map(int, order)),
            tuple(float(each) for each in found[order]),
            farthest,
        )

    def _limit(self) -> float:
        nearest = []
        for place, point in enumerate(self._values):
            others = self._values[self._groups != self._groups[place]]
            if len(others):
                nearest.append(float(_distances(point, others).min()))
        finite = [each for each in nearest if np.isfinite(each)]
        return float(np.quantile(finite, LIMIT_QUANTILE)) if finite else 0.0


def _distances(point: FloatArray, others: FloatArray) -> FloatArray:
    """Return root mean squares of differences over the features that both have, infinite without any."""
    squares = (others - point) ** 2
    known = np.isfinite(squares)
    counts = known.sum(axis=1)
    sums = np.where(known, squares, 0.0).sum(axis=1)
    return np.where(counts > 0, np.sqrt(sums / np.maximum(counts, 1)), np.inf)
