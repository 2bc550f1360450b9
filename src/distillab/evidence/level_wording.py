"""Differences of gains between levels in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from distillab.evidence.comparisons import Comparisons, grouped
from distillab.evidence.families import EXPLORATORY, family_verdict
from distillab.evidence.level_effects import TREND
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.wording import amount, describe_level, factor_name
from distillab.printable import counted

MOST_DIFFERENCES = 3


def level_sentences(level_effects: Sequence[Row], study: Comparisons) -> list[str]:
    """Return how much the gain of each method differs between the ends of each factor, one sentence each.

    The ends are the reference level and the level that the study has last. Controls are left out, and
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
    groups: dict[tuple[object, ...], Row] = {}
    for factor, rows in grouped(shown, ["factor"]).items():
        others = [name for name in held if name != f"{FACTOR}{factor[0]}"]
        for key, of_setting in grouped(rows, ["method", *study.settings, *others]).items():
            groups[(factor, key)] = of_setting[-1]
    sentences = [describe_difference(row, study) for row in list(groups.values())[:MOST_DIFFERENCES]]
    if len(groups) > MOST_DIFFERENCES:
        rest = counted(len(groups) - MOST_DIFFERENCES, "more difference")
        sentences.append(f"{rest} between levels {'is' if rest.startswith('1 ') else 'are'} in the table.")
    return sentences


def describe_difference(row: Row, study: Comparisons) -> str:
    """Return one row of ``level_effects.parquet`` as a sentence."""
    metric, own = study.metric, f"{FACTOR}{row['factor']}"
    here = describe_level(own, row[own], study.phrases)
    there = _reference(here, row)
    where = [describe_level(name, row[name], study.phrases) for name in study.factors if name != own]
    where += [study.setting(row)] if study.settings else []
    gain = f"gain of {row['method']}" + (f" ({', '.join(where)})" if where else "")
    low, high = (
        "none" if row[end] is None else amount(row[end], metric, sign=False) for end in ("ci_low", "ci_high")
    )
    interval = f"[{low}, {high}], {counted(row['n_pairs'], 'pair')}"
    size = amount(abs(row["difference"]), metric, sign=False)
    verdict = family_verdict(row)
    if verdict in ("larger", "smaller"):
        return f"The {gain} at {here} is {size} {metric.unit} {verdict} than at {there} {interval}."
    signed = f"{amount(row['difference'], metric)} {metric.unit} {interval}"
    if verdict == "equivalent":
        return f"The {gain} is practically the same at {here} as at {there}: {signed}."
    return f"Whether the {gain} differs between {here} and {there} is undecided: {signed}."


def _reference(here: str, row: Row) -> str:
    """Return the reference level in short where the level itself ends with its number: ``0``."""
    return row["reference"] if here == f"{factor_name(row['factor'])} {row['level']}" else _full(here, row)


def _full(here: str, row: Row) -> str:
    head, level, tail = here.partition(str(row["level"]))
    return f"{head}{row['reference']}{tail}" if level else str(row["reference"])
