"""What the intervals of a study are about: draws of seeds, of teachers and of test examples."""

from __future__ import annotations

from collections.abc import Sequence

from distillab.evidence.comparisons import Comparisons
from distillab.evidence.pairs import Row
from distillab.evidence.wording import listed
from distillab.printable import counted


def estimand(study: Comparisons, *, same_views: bool = False) -> str:
    """Return the sentence on the first screen that states what the intervals of the main comparisons cover.

    It is empty without pairs, and for tables of older versions, which do not state the teachers.

    Args:
        study: The comparisons.
        same_views: Whether all seeds have the same views of the examples.

    Example:
        >>> from distillab.evidence.comparisons import compare
        >>> from distillab.tasks import Classification
        >>> row = {"method": "kd", "baseline": "ce", "metric": "accuracy", "verdict": "helps"}
        >>> row |= {"n_teachers": 1, "n_pairs": 6, "ci_low": 0.01, "ci_high": 0.03, "ci_low_same_test": 0.02}
        >>> keys = {"baseline": "ce", "controls": [], "margin": 0.01, "confidence": 0.95}
        >>> estimand(compare([row], Classification(), **keys))
        'Intervals cover new seeds and new test examples, with this one teacher.'
        >>> row |= {"ci_low_same_test": 0.01, "n_teachers": 6}
        >>> estimand(compare([row], Classification(), **keys))
        'Intervals cover new seeds, other teachers trained alike and new test examples.'
        >>> estimand(compare([row], Classification(), **keys), same_views=True)
        'Intervals cover new seeds, other teachers trained alike and new test examples, with these views.'
    """
    rows = [row for row in study.main if row["n_pairs"] > 1 and row.get("n_teachers")]
    if not rows:
        return ""
    teachers = _teachers(rows)
    covered = ["new seeds"]
    if teachers > 1:
        covered.append("other teachers trained alike")
    # Equal intervals cover new test examples too: their draw was estimated to add nothing.
    if any(row.get("ci_low_same_test") is not None for row in rows):
        covered.append(f"new {study.tested}")
        rest = ""
    else:
        rest = f", for the same {study.tested}"
    fixed = ["this one teacher"] * (teachers == 1) + ["these views"] * same_views
    given = f", with {listed(fixed)}" if fixed else ""
    return f"Intervals cover {listed(covered)}{given}{rest}."


def few_teachers(study: Comparisons) -> list[str]:
    """Return where pairs share teachers, so that they are not independent.

    Example:
        >>> from distillab.evidence.comparisons import compare
        >>> from distillab.tasks import Classification
        >>> row = {"method": "kd", "baseline": "ce", "metric": "accuracy", "verdict": "undecided"}
        >>> row |= {"n_pairs": 6, "n_teachers": 3}
        >>> print(*few_teachers(
        ...     compare([row], Classification(), baseline="ce", controls=[], margin=0.01, confidence=0.95)
        ... ))
        6 pairs learn from 3 teachers: intervals count the teachers as draws, not the pairs.
    """
    rows = [row for row in study.main if row["n_pairs"] > 1 and row.get("n_teachers")]
    alone = [row for row in rows if row["n_teachers"] == 1]
    shared = [row for row in rows if 1 < row["n_teachers"] < row["n_pairs"]]
    sentences = []
    if alone:
        total = len(study.main)
        where = f"{len(alone)} of {counted(total, 'comparison')}" if total > 1 else "The comparison"
        rest = "rests" if total == 1 or len(alone) == 1 else "rest"
        sentences.append(
            f"{where} {rest} on one teacher, so that intervals do not cover the variation between teachers."
        )
    if shared:
        fewest = min(shared, key=lambda row: float(row["n_teachers"]))
        sentences.append(
            f"{counted(fewest['n_pairs'], 'pair')} learn from {counted(fewest['n_teachers'], 'teacher')}: "
            "intervals count the teachers as draws, not the pairs."
        )
    return sentences


def _teachers(rows: Sequence[Row]) -> int:
    """Return the smallest number of teachers behind a comparison."""
    return min(int(row["n_teachers"]) for row in rows)
