"""What a reader must know before relying on an answer."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

from scipy import stats

from distillab.evidence.comparisons import Comparisons, grouped
from distillab.evidence.estimand import few_teachers
from distillab.evidence.families import EXPLORATORY
from distillab.evidence.gains import MAX_ENUMERATED, smallest_p
from distillab.evidence.pairs import Row
from distillab.evidence.power import pairs_needed
from distillab.evidence.wording import amount, listed
from distillab.printable import counted
from distillab.study.spec.seeds import LEAST_PAIRS


def caveats(study: Comparisons, tests: int) -> list[str]:
    """Return the caveats: tests and their correction, few or weak teachers, comparisons without a pair.

    Args:
        study: The comparisons of a study.
        tests: How many tests it made, those of differences between levels included.
    """
    return [*_testing(study, tests), *few_teachers(study), *_teachers(study), *_without_pairs(study)]


def what_would_decide(study: Comparisons) -> list[str]:
    """Return how many pairs the undecided comparisons need, given the observed spread.

    The spread is the median, over the undecided comparisons, of the standard deviation that their intervals
    imply. Comparisons of fewer than 5 pairs are counted instead: their spread is not known well enough. The
    result is empty if all comparisons are decided.
    """
    return [*_too_few_pairs(study), *_pairs_for_the_spread(study)]


def _too_few_pairs(study: Comparisons) -> list[str]:
    few = [row for row in study.main if row["n_pairs"] < LEAST_PAIRS]
    if not few:
        return []
    total = counted(len(study.main), "comparison")
    have = "has" if len(few) == 1 else "have"
    return [f"A verdict needs at least {LEAST_PAIRS} pairs; {len(few)} of {total} {have} fewer."]


def _pairs_for_the_spread(study: Comparisons) -> list[str]:
    spreads = [
        (row["ci_high"] - row["ci_low"]) / 2 * math.sqrt(row["n_pairs"]) / _critical(row, study)
        for row in study.main
        if row["verdict"] == "undecided"
        and row["n_pairs"] >= LEAST_PAIRS
        and None not in (row["ci_low"], row["ci_high"])
    ]
    if not spreads or study.margin == 0:
        return []
    spread, unit = statistics.median(spreads), study.metric.unit
    # A verdict needs an interval beyond the margin: of a gain of twice the margin, the half beyond it must be
    # detected.
    needed = pairs_needed(spread, study.margin, alpha=study.alpha)
    return [
        "In the undecided comparisons, gains vary between seeds by about "
        f"{amount(spread, study.metric, sign=False)} {unit} (standard deviation). With {needed} pairs, a "
        f"gain of {amount(2 * study.margin, study.metric, sign=False)} {unit} would be shown to exceed the "
        "margin with a probability of 0.8."
    ]


def _critical(row: Row, study: Comparisons) -> float:
    alpha = 1.0 - row["confidence"] if row.get("confidence") else study.alpha
    return float(stats.t.ppf(1 - alpha / 2, row["n_pairs"] - 1))


def tests_made(effects: Sequence[Row], level_effects: Sequence[Row] = (), *, one_family: bool = False) -> int:
    """Return the number of distinct tests: the sizes of their families, or of their rows where unknown.

    Args:
        effects: Effect rows.
        level_effects: Differences between levels.
        one_family: Whether gains and differences are corrected together, as those that a study declares.

    Example:
        >>> row = {"metric": "accuracy", "baseline": "ce", "p_value": 0.2}
        >>> gains, differences = [row | {"n_tests": 3}] * 3, [row | {"n_tests": 2}] * 2
        >>> tests_made(gains, differences), tests_made(gains)
        (5, 3)
    """
    if one_family:
        return tests_made([*effects, *level_effects])
    if level_effects:
        return tests_made(effects) + tests_made(level_effects)
    families = grouped((row for row in effects if row["p_value"] is not None), ["metric", "baseline"])
    return sum(
        max((row.get("n_tests") or 0 for row in family), default=0) or len(family)
        for family in families.values()
    )


def _testing(study: Comparisons, tests: int) -> list[str]:
    """Return how many tests were made, how they are corrected, and what can survive the correction."""
    tested = [row for row in study.main if row["p_value"] is not None]
    if not tested:
        return ["No pair of runs has finished, so nothing was tested."]
    sentences = [
        f"{counted(tests, 'test')} made in total. P-values and verdicts are corrected "
        "with Holm's method within each metric and baseline; intervals are for single comparisons."
    ]
    sentences += _exploratory(study)
    if "look" in tested[0]:
        sentences.append(
            "Seeds were added until each comparison was decided. Intervals use the stricter levels of their "
            "looks, and p-values are divided by the error share of their look, so both are valid whenever "
            "the study stopped."
        )
    sentences += _reachable_p(tested, study)
    if any(row["n_pairs"] == 1 for row in tested):
        sentences.append(
            "A single pair does not show the variation between seeds: such comparisons have no interval "
            "and stay undecided."
        )
    return sentences


def _exploratory(study: Comparisons) -> list[str]:
    number = sum(row.get("undecided_because") == EXPLORATORY for row in study.effects)
    if not number:
        return []
    gains = f"{counted(number, 'gain')} {'is' if number == 1 else 'are'}"
    return [
        f"{gains} exploratory: the study does not declare them, so that they have no verdict and are not "
        "corrected."
    ]


def _reachable_p(tested: Sequence[Row], study: Comparisons) -> list[str]:
    """Return whether corrected p-values can reach the level, or how many verdicts survive the correction."""
    level = f"{study.alpha:g}"
    family = tests_made([row for row in study.effects if _same_family(row, tested[0])])
    most = max(row["n_pairs"] for row in tested)
    least = smallest_p(most)
    if most < LEAST_PAIRS:
        return []  # there is no verdict, and no p-value that a reader could rely on
    if least * family > study.alpha and "look" not in tested[0]:
        enough = (n for n in range(most, MAX_ENUMERATED + 2) if smallest_p(n) * family <= study.alpha)
        needed = next(enough, None)
        after = f" after correction for {family} tests" if family > 1 else ""
        remedy = f"at least {needed} pairs are needed" if needed else "more pairs do not help"
        return [
            f"With {counted(most, 'pair')} the smallest p-value of the sign-flip test is {least:.2g}, "
            f"so{after} none can reach {level}: {remedy}. Verdicts rest on corrected t intervals, not on "
            "these p-values."
        ]
    beyond = [row for row in tested if row["verdict"] in ("helps", "harms")]
    if not beyond:
        return []
    keeping = sum(row["p_adjusted"] is not None and row["p_adjusted"] <= study.alpha for row in beyond)
    verdicts = counted(len(beyond), "verdict")
    return [f"{keeping} of {verdicts} of help or harm keep p <= {level} after correction."]


def _same_family(row: Row, other: Row) -> bool:
    return bool(row["metric"] == other["metric"] and row["baseline"] == other["baseline"])


def _teachers(study: Comparisons) -> list[str]:
    """Return where the teacher is no better than the plain student, from at least 5 pairs."""
    weak: dict[str, list[str]] = defaultdict(list)
    for row in study.main:
        if row["n_pairs"] >= LEAST_PAIRS and _weak_teacher(row, study):
            place = study.place(row)
            if place not in weak[study.setting(row)]:
                weak[study.setting(row)].append(place)
    sentences = []
    for setting, places in weak.items():
        where = f" at {listed(places)}" if any(places) else ""
        which = f" ({setting})" if setting else ""
        sentences.append(
            f"The teacher is no better than the plain student{where}{which}, so it has little to teach there."
        )
    return sentences


def _weak_teacher(row: Row, study: Comparisons) -> bool:
    if study.of_teacher not in row:
        return row["gap_closed"] is None
    if row[study.of_teacher] is None or row.get("plain_mean") is None:
        return False
    return bool(row[study.of_teacher] - row["plain_mean"] <= study.margin)


def _without_pairs(study: Comparisons) -> list[str]:
    """Return how many comparisons have no finished pair."""
    missing = sum(not row["n_pairs"] for row in study.main + study.controls)
    if not missing:
        return []
    total = counted(len(study.main) + len(study.controls), "comparison")
    have, their = ("has", "its") if missing == 1 else ("have", "their")
    return [
        f"{missing} of {total} {have} no finished pair: {their} runs failed, were excluded or are pending."
    ]
