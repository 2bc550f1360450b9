"""Differences of gains between levels in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from distillab.evidence.comparisons import Comparisons, grouped
from distillab.evidence.families import EXPLORATORY, family_verdict
from distillab.evidence.level_effects import TREND
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.wording import amount, describe_level
from distillab.printable import counted
from distillab.tasks import Metric

MOST_DIFFERENCES = 3
DIFFERENT = ("larger", "smaller")


def level_sentences(level_effects: Sequence[Row], study: Comparisons) -> list[str]:
    """Return how much the gain of each method differs between the ends of each factor, one sentence each.

    The ends are the reference level and the level that the study has last. A level between them whose
    difference has another verdict, larger or smaller, has a sentence of its own. Controls are left out, and
    differences that a study with declared contrasts does not declare.

    Example:
        >>> from distillab.evidence.comparisons import compare
        >>> from distillab.tasks import Classification
        >>> row = {"factor": "label_noise", "level": "0.6", "reference": "0", "factor.label_noise": 0.6}
        >>> row |= {"method": "kd", "baseline": "ce", "metric": "accuracy", "n_pairs": 10}
        >>> row |= {"difference": 0.061, "ci_low": 0.02, "ci_high": 0.102}
        >>> row |= {"verdict": "larger", "verdict_family": "larger"}
        >>> study = compare([], Classification(), baseline="ce", controls=[], margin=0.01, confidence=0.95)
        >>> print(*level_sentences([row], study))
        The gain of kd at label noise 0.6 is 6.1 points larger than at 0 [2.0, 10.2], 10 pairs.
    """
    controls = {row["method"] for row in study.controls}
    shown = [
        row
        for row in level_effects
        if row["metric"] == study.metric.name
        and row["baseline"] == study.baseline
        and row["level"] != TREND
        and row["n_pairs"]
        and row["method"] not in controls
        and row.get("undecided_because") != EXPLORATORY
    ]
    held = [name for name in dict.fromkeys(name for row in shown for name in row) if name.startswith(FACTOR)]
    described: list[Row] = []
    for factor, rows in grouped(shown, ["factor"]).items():
        others = [name for name in held if name != f"{FACTOR}{factor[0]}"]
        for of_setting in grouped(rows, ["method", *study.settings, *others]).values():
            described += _between_ends(of_setting)
    sentences = [describe_difference(row, study) for row in described[:MOST_DIFFERENCES]]
    if len(described) > MOST_DIFFERENCES:
        rest = counted(len(described) - MOST_DIFFERENCES, "more difference")
        sentences.append(f"{rest} between levels {'is' if rest.startswith('1 ') else 'are'} in the table.")
    return sentences


def _between_ends(rows: Sequence[Row]) -> list[Row]:
    """Return the row of the last level, and the largest one with another verdict of larger or smaller."""
    *between, last = rows
    other = [row for row in between if family_verdict(row) in DIFFERENT and _differs(row, last)]
    return [last, *sorted(other, key=lambda row: -abs(row["difference"]))[:1]]


def _differs(row: Row, other: Row) -> bool:
    return bool(family_verdict(row) != family_verdict(other))


def describe_difference(row: Row, study: Comparisons) -> str:
    """Return one row of ``level_effects.parquet`` as a sentence."""
    metric, own = study.metric, f"{FACTOR}{row['factor']}"
    here = describe_level(own, row[own], study.phrases)
    there = str(row["reference"])  # in short: "5" beside "20 examples per class"
    where = [describe_level(name, row[name], study.phrases) for name in study.factors if name != own]
    where += [study.setting(row)] if study.settings else []
    gain = f"gain of {row['method']}" + (f" ({', '.join(where)})" if where else "")
    low, high = (
        "none" if row[end] is None else amount(row[end], metric, sign=False) for end in ("ci_low", "ci_high")
    )
    interval = f"[{low}, {high}], {counted(row['n_pairs'], 'pair')}"
    size = amount(abs(row["difference"]), metric, sign=False)
    verdict = family_verdict(row)
    if verdict in DIFFERENT:
        return f"The {gain} at {here} is {size} {metric.unit} {verdict} than at {there} {interval}."
    if verdict == "equivalent":
        signed = f"{amount(row['difference'], metric)} {metric.unit} {interval}"
        return f"The {gain} is practically the same at {here} as at {there}: {signed}."
    larger = f"{size} {metric.unit} {_direction(row, metric)} at {row['level']}"
    observed = "no difference" if float(size) == 0 else larger
    return f"It is undecided whether the {gain} differs between {_between(here, row)}: {observed} {interval}."


def _between(here: str, row: Row) -> str:
    """Return both levels, what they have in common once: ``label noise 0 and 0.6``, ``5 and 20 examples``."""
    level, reference = str(row["level"]), str(row["reference"])
    head = here.removesuffix(level)
    return f"{head}{reference} and {level}" if head != here else f"{reference} and {here}"


def _direction(row: Row, metric: Metric) -> str:
    """Return whether the gain at the level is the larger one, in the direction of improvement."""
    return "larger" if (row["difference"] > 0) == metric.higher_is_better else "smaller"
