"""What a reader must know before believing the answer."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

from scipy import stats

from distillab.evidence.comparisons import Comparisons, grouped
from distillab.evidence.gains import MOST_ENUMERATED, smallest_p
from distillab.evidence.pairs import Row
from distillab.evidence.power import pairs_needed
from distillab.evidence.wording import amount, count, listed
from distillab.tasks.classification import METRICS


def caveats(study: Comparisons) -> list[str]:
    """Tests made and corrected for, teachers with little to teach, comparisons without a finished pair."""
    return [*_testing(study), *_teachers(study), *_gaps(study)]


def what_would_decide(study: Comparisons) -> list[str]:
    """How many pairs the open comparisons ask for, from the spread that was seen; nothing if none is open.

    The spread is the median over the open comparisons of the standard deviation that their intervals imply.
    """
    spreads = [
        (row["ci_high"] - row["ci_low"]) / 2 * math.sqrt(row["n_pairs"]) / _critical(row, study)
        for row in study.main
        if row["verdict"] == "undecided" and None not in (row["ci_low"], row["ci_high"])
    ]
    if not spreads or study.margin == 0:
        return []
    spread = statistics.median(spreads)
    unit = METRICS[study.metric].unit
    # A verdict asks for an interval beyond the margin: what must be told from it is the other half of a gain
    # of twice the margin.
    needed = pairs_needed(spread, study.margin, alpha=study.alpha)
    return [
        f"Gains differ between seeds by about {amount(spread, study.metric, signed=False)} {unit} (sd) where "
        f"the evidence does not decide: {needed} pairs would show that a gain of "
        f"{amount(2 * study.margin, study.metric, signed=False)} {unit} is beyond the margin with a chance "
        "of 80 %."
    ]


def _critical(row: Row, study: Comparisons) -> float:
    alpha = 1.0 - row["confidence"] if row.get("confidence") else study.alpha
    return float(stats.t.ppf(1 - alpha / 2, row["n_pairs"] - 1))


def tests_made(effects: Sequence[Row]) -> int:
    """Distinct tests: the sizes of the families corrected for, or their rows where those are not known."""
    families = grouped((row for row in effects if row["p_value"] is not None), ["metric", "baseline"])
    return sum(family[0].get("n_tests") or len(family) for family in families.values())


def _testing(study: Comparisons) -> list[str]:
    """How many tests, how corrected, what survives, and whether anything could."""
    tested = [row for row in study.main if row["p_value"] is not None]
    if not tested:
        return ["No pair of runs has finished: nothing was tested."]
    level = f"{study.alpha:g}"
    found = [
        f"{count(tests_made(study.effects), 'test')} made in all; p-values are corrected by Holm's method "
        "within each metric and baseline, intervals and verdicts are for one comparison each."
    ]
    beyond = [row for row in tested if row["verdict"] in ("helps", "harms")]
    keeping = sum(row["p_adjusted"] is not None and row["p_adjusted"] <= study.alpha for row in beyond)
    family = tests_made([row for row in study.effects if _same_family(row, tested[0])])
    most = max(row["n_pairs"] for row in tested)
    least = smallest_p(most)
    sequential = "look" in tested[0]
    if sequential:
        found.append(
            "Seeds were added until a contrast was decided: intervals have the stricter levels of their "
            "looks, and p-values are divided by the share of their look; both hold however it stopped."
        )
    if least * family > study.alpha and not sequential:
        enough = (n for n in range(most, MOST_ENUMERATED + 2) if smallest_p(n) * family <= study.alpha)
        needed = next(enough, None)
        would = f"That would take {needed} pairs; until then" if needed else "More pairs would not change it:"
        corrected = f"; corrected for {family} tests," if family > 1 else ":"
        found.append(
            f"With {count(most, 'pair')} the smallest possible p-value is {least:.2g}{corrected} none can "
            f"reach {level}. {would} the intervals are the evidence."
        )
    elif beyond:
        verdicts = count(len(beyond), "verdict")
        found.append(f"{keeping} of the {verdicts} of help or harm keep p <= {level} after correction.")
    if any(row["n_pairs"] == 1 for row in tested):
        found.append(
            "One pair says nothing about chance: such comparisons have no interval and stay undecided."
        )
    return found


def _same_family(row: Row, other: Row) -> bool:
    return bool(row["metric"] == other["metric"] and row["baseline"] == other["baseline"])


def _teachers(study: Comparisons) -> list[str]:
    """Where the teacher is no better than the plainly trained student."""
    weak: dict[str, list[str]] = defaultdict(list)
    for row in study.main:
        if row["metric"] == "accuracy" and row["n_pairs"] and _no_better_teacher(row, study.margin):
            place = study.place(row)
            if place not in weak[study.setting(row)]:
                weak[study.setting(row)].append(place)
    sentences = []
    for setting, places in weak.items():
        where = f" at {listed(places)}" if any(places) else ""
        which = f" ({setting})" if setting else ""
        sentences.append(
            f"The teacher is not better than the plain student{where}{which}: it has little to teach there."
        )
    return sentences


def _no_better_teacher(row: Row, margin: float) -> bool:
    if "teacher_accuracy" not in row:
        return row["gap_closed"] is None
    if row["teacher_accuracy"] is None or row.get("plain_mean") is None:
        return False
    return bool(row["teacher_accuracy"] - row["plain_mean"] <= margin)


def _gaps(study: Comparisons) -> list[str]:
    missing = sum(not row["n_pairs"] for row in study.main + study.controls)
    if not missing:
        return []
    total = len(study.main) + len(study.controls)
    return [
        f"{missing} of {count(total, 'comparison')} rest on no finished pair: the runs failed, were excluded "
        "or are still to come."
    ]
