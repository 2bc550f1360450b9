"""The figures of README.md."""

from __future__ import annotations

from collections.abc import Iterator

from support.figures.results import CORN, distilled
from support.figures.tables import decided

WORDS = {2: "two", 7: "seven", 9: "nine", 10: "ten"}


def fragments() -> Iterator[str]:
    """Yield the passages of the page that hold figures."""
    rows = [*distilled(CORN, "full"), *distilled(CORN, "same")]
    left = [row for row in rows if row["verdict_family"] != "undecided"]
    assert {(row["factor.label_noise"], row["provenance"]) for row in left} == {(0.6, "full")}
    low, high = (WORDS[each] for each in sorted(round(100 * row["gain"]) for row in left))
    yield "With 60 % wrong labels and a teacher trained on the correct labels"
    yield (
        f"distillation gains {low} and {high} points: the {WORDS[len(left)]} verdicts of "
        f"{WORDS[decided(rows)]} that hold after correction for {left[0]['n_tests']} tests"
    )
