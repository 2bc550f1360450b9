"""A contrast: the pairs of two methods in a cell, as differences in one metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from distillab.evidence.draws import FloatArray
from distillab.evidence.gains import PairedDifferences
from distillab.evidence.pairs import Row, resolution_of, teachers_of
from distillab.tasks import Metric

Contributions = Callable[[Row], FloatArray]
"""What each test example adds to the primary metric of the run of a row: float64 ``[m]``."""


def differences_of(
    paired: Sequence[tuple[Row, Row]], metric: Metric, contributions: Contributions | None = None
) -> PairedDifferences:
    """Return the differences between the runs of some pairs.

    Args:
        paired: (distilled, plain) rows, at least one pair.
        metric: The metric.
        contributions: For the primary metric, to cover new test examples. None takes them as fixed.

    Example:
        >>> from distillab.tasks import Classification
        >>> paired = [({"accuracy": 0.8}, {"accuracy": 0.7}), ({"accuracy": 0.9}, {"accuracy": 0.7})]
        >>> differences_of(paired, Classification.metrics["accuracy"]).values.round(2).tolist()
        [0.1, 0.2]
    """
    return PairedDifferences.of(
        [after[metric.name] for after, _ in paired],
        [before[metric.name] for _, before in paired],
        resolution=resolution_of(paired, metric),
        teachers=teachers_of(paired),
        contributions=np.stack([contributions(after) - contributions(before) for after, before in paired])
        if contributions
        else None,
    )
