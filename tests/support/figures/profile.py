"""The figures of docs/profile.md that the committed tables hold."""

from __future__ import annotations

from collections.abc import Iterator

from support.figures.tables import Record, records

PLANTED = (
    ("symmetric", 0.0, "nothing"),
    ("symmetric", 0.02, "2 %, any class"),
    ("symmetric", 0.05, "5 %, any class"),
    ("symmetric", 0.1, "10 %, any class"),
    ("symmetric", 0.2, "20 %, any class"),
    ("pair", 0.1, "10 %, the next class"),
)
BEFORE_SHARE, BEFORE_ACCURACY = 0.03, 0.6


def fragments() -> Iterator[str]:
    """Yield the rows of the two tables of alarms."""
    for kind, planted, text in PLANTED:
        mine = [
            row
            for row in records("label-alarm")
            if row["kind"] == kind and float(row["planted"]) == planted and row["embedding"] == "patches"
        ]
        yield f"| {text} | {' | '.join(map(str, _labels(mine)))} |"
    for planted in ("nothing", "tint", "patch", "background", "frame"):
        name = "none" if planted == "nothing" else planted
        of_cue = [row for row in records("shortcut-alarm") if row["planted"] == name]
        sets = {row["dataset"] for row in of_cue}
        now, before = (
            len({row["dataset"] for row in of_cue if row[column] == "True"}) for column in ("alarm", "before")
        )
        yield f"| {planted} | {len(sets)} | {now} | {before} |"


def _labels(rows: list[Record]) -> tuple[int, int, int, int, int]:
    """Return how many runs there are, are judged, raise an alarm, are covered, and raised one before."""
    judged = [row for row in rows if row["judges"] == "True"]
    before = sum(
        float(row["contradicted"]) >= BEFORE_SHARE and float(row["probe_accuracy"]) >= BEFORE_ACCURACY
        for row in rows
    )
    alarms = sum(row["alarm"] == "True" for row in rows)
    return len(rows), len(judged), alarms, sum(row["covered"] == "True" for row in judged), before
