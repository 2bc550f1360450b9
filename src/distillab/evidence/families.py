"""Families of comparisons: the p-values of verdicts, and corrections that hold for all of a family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from distillab.evidence.pairs import Row
from distillab.evidence.verdicts import holm, verdict_of

TestKey = tuple[Any, ...]
"""What a test rests on: its runs and their values."""
FamilyTest = tuple[TestKey, Row]
"""A row with what its test rests on."""
Declared = Callable[[Row], bool]
"""Whether a study declares the contrast of a row."""

EXPLORATORY = "exploratory: not among the contrasts that the study declares"
NOT_TOGETHER = "the verdict does not hold together with the others"

IntervalAt = Callable[[float], tuple[float, float]]
"""The confidence interval of a gain, for a confidence."""

LARGEST_LEVEL = 0.999  # intervals at almost no confidence are points
SMALLEST_LEVEL = 1e-9
_HALVINGS = 30


def verdict_level(interval: IntervalAt, margin: float) -> float:
    """Return the smallest error rate at which the interval of a gain gives a verdict; 1 if none does.

    It is the p-value of the verdict, whichever it is: the interval at one minus this error rate is the widest
    that gives one. Intervals grow with their confidence, so the level is found by bisection.

    Example:
        >>> from statistics import NormalDist
        >>> def interval(confidence: float) -> tuple[float, float]:
        ...     half = 0.01 * NormalDist().inv_cdf(0.5 + confidence / 2)
        ...     return 0.03 - half, 0.03 + half
        >>> round(verdict_level(interval, margin=0.005), 4)  # 2.5 standard errors beyond the margin
        0.0124
    """

    def decides(level: float) -> bool:
        return verdict_of(*interval(1.0 - level), margin, True) != "undecided"

    low, high = np.log(SMALLEST_LEVEL), np.log(LARGEST_LEVEL)
    if not decides(LARGEST_LEVEL):
        return 1.0
    if decides(SMALLEST_LEVEL):
        return SMALLEST_LEVEL
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if decides(float(np.exp(middle))) else (middle, high)
    return float(np.exp(high))


def adjust(tests: Iterable[FamilyTest], alpha: float, declared: Declared | None = None) -> None:
    """Fill in what depends on all comparisons with the same metric and baseline: their family.

    Holm's method corrects the p-values (``p_adjusted``), and apart from them the verdicts
    (``verdict_family``): together, the verdicts of a family contain an error with a probability of at most
    ``alpha``. Rows that rest on the same runs and values are one test, and ``n_tests`` is the number of
    tests. Contrasts that a study does not declare are in no family: they have no corrected p-value, and their
    ``verdict_family`` is undecided. Comparisons at default and at tuned settings are families of their own.

    Example:
        >>> row = {"metric": "accuracy", "baseline": "ce", "p_value": 0.02, "p_verdict": 0.03}
        >>> rows = [row | {"verdict": "helps"}, row | {"verdict": "harms"}]
        >>> adjust([((number,), row) for number, row in enumerate(rows)], alpha=0.05)
        >>> rows[0]["p_adjusted"], rows[0]["verdict_family"], rows[0]["n_tests"]
        (0.04, 'undecided', 2)
    """
    families: dict[TestKey, list[FamilyTest]] = defaultdict(list)
    for test, row in tests:
        if declared is None or declared(row):
            families[row["metric"], row["baseline"], row.get("setting")].append((test, row))
        else:
            row |= {"verdict_family": "undecided", "undecided_because": EXPLORATORY}
    for family in families.values():
        adjusted = _holm({test: row["p_value"] for test, row in family})
        of_verdicts = _holm({test: row["p_verdict"] for test, row in family})
        for test, row in family:
            row["p_adjusted"] = adjusted[test]
            row["n_tests"] = len(adjusted)
            row["verdict_family"] = row["verdict"] if of_verdicts[test] <= alpha else "undecided"
            if row["verdict_family"] != row["verdict"]:
                row["undecided_because"] = NOT_TOGETHER


def family_verdict(row: Row) -> Any:
    """Return the verdict of a row that holds together with its family.

    Tables of older versions have only the verdict of the row alone.

    Example:
        >>> family_verdict({"verdict": "helps", "verdict_family": "undecided"})
        'undecided'
    """
    return row.get("verdict_family") or row["verdict"]


def _holm(p_values: dict[TestKey, float]) -> dict[TestKey, float]:
    return dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))
