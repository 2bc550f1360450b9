"""The figures in the text of the pages of heart sounds and of Chinese text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from systems_rows import percent, points, primary_of, rows_of

Row = dict[str, Any]
T7 = "kd(temperature=7)"
LABELS = "kd(ce_weight=0.9, kd_weight=0.1, temperature=7)"


def heart_sounds() -> Iterator[str]:
    """Yield what the teacher is worth, the gains within sites, and the extremes at new sites."""
    [plain] = [row for row in rows_of("heart-sounds", "against-teacher") if row["method"] == "ce"]
    teacher, student = percent(plain["teacher_score"]), percent(plain["score"])
    yield f"the teacher has {teacher} % and the plain student {student} %"
    yield f"{points(plain, ('difference', 'ci_low', 'ci_high'))} points, is {plain['verdict']}"
    within = {name: gain("heart-sounds", name, "group_balanced_accuracy") for name in (T7, LABELS)}
    assert {row["verdict_family"] for row in within.values()} == {"undecided"}
    yield f"the change is {points(within[T7])} points, with most of it on the labels {points(within[LABELS])}"
    plain_means, means = new_site_means("ce"), [*new_site_means(T7), *new_site_means(LABELS)]
    (low, at), (high, other) = min(plain_means), max(plain_means)
    yield f"between {percent(low)} % at {at} and {percent(high)} % at {other}"
    assert (min(means)[1], max(means)[1]) == (at, other), "the same two sites"
    yield f"between {percent(min(means)[0])} % and {percent(max(means)[0])} % at the same two sites"


def new_site_means(method: str) -> list[tuple[float, str]]:
    """Return the mean score of a method at each site that is left out, and the site."""
    found: dict[str, list[float]] = {}
    for row in rows_of("heart-sounds-new-site", "groups"):
        if row["method"] == method and row["group"] == row["factor.groups"]:
            found.setdefault(row["group"], []).append(row["score"])
    return [(float(np.mean(scores)), site) for site, scores in found.items()]


def chinese_text() -> Iterator[str]:
    """Yield the accuracies of plain training over one and two times the steps, and the gain of the last."""
    scores = {
        (row["student"], row["method"]): row["score"] for row in rows_of("chinese-text", "against-teacher")
    }
    longer, once = scores["textcnn_small in two stages", "ce_throughout"], scores["textcnn_small", "ce"]
    yield f"has {percent(longer)} %, where the first student has {percent(once)} %"
    last = gain("chinese-text", "kd", baseline="ce_throughout", student="textcnn_small fine-tuned first")
    yield f"changes accuracy by {points(last)}, which is {last['verdict_family']}"


def gain(study: str, method: str, metric: str = "", **place: str) -> Row:
    """Return the gain of a method in a metric, the primary one if none is given."""
    place |= {"method": method, "metric": metric or primary_of(study)}
    rows = rows_of(study, "effects")
    [found] = [row for row in rows if all(row[name] == value for name, value in place.items())]
    return found
