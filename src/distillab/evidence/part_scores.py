"""The tables ``labels.parquet`` and ``groups.parquet``: how good each run is on each part of the test set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa

from distillab.evidence.exits import PLACE
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.schema import write_table
from distillab.evidence.table_schema import run_columns, table_schema, text_columns

ScoredPart = Literal["label", "group"]
PartScores = Mapping[str, tuple[float, int]]
"""The score on each label or group by its name, and its number of test examples."""


def part_scores_schema(part: ScoredPart, factors: Mapping[str, bool], *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``labels.parquet`` or ``groups.parquet``, one row per finished student and part.

    ``n_test`` counts the examples of the primary test set that have the label or are in the group. ``score``
    is the metric on them, null where it is undefined, as balanced accuracy in a group that lacks a class,
    and for a label that metrics leave out.

    Args:
        part: What the rows are about.
        factors: The factors of the study, and whether their levels are names.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> part_scores_schema("group", {}).names[-4:]
        ['group', 'metric', 'n_test', 'score']
    """
    return table_schema(
        f"{part}s",
        run_columns(["run_id", "dataset"], factors, tuned=tuned)
        | text_columns(part, "metric")
        | {"n_test": pa.int64(), "score": pa.float64()},
    )


def part_rows(
    part: ScoredPart, metric: str, rows: Iterable[Row], scores: Iterable[PartScores | None]
) -> list[Row]:
    """Return a row per finished student and label or group.

    Args:
        part: What the scores are about.
        metric: The name of the metric.
        rows: Result rows.
        scores: For each of them the scores by part; None for runs that are not done.

    Example:
        >>> [row] = part_rows("label", "label_auc", [{"run_id": "a", "method": "kd"}], [{"Mass": (0.75, 20)}])
        >>> row["method"], row["label"], row["metric"], row["n_test"], row["score"]
        ('kd', 'Mass', 'label_auc', 20, 0.75)
    """
    found = list[Row]()
    names = (*PLACE, "setting")
    for row, each in zip(rows, scores, strict=True):
        place = {key: value for key, value in row.items() if key in names or key.startswith(FACTOR)}
        for name, (score, count) in (each or {}).items():
            found.append({**place, part: name, "metric": metric, "n_test": count, "score": score})
    return found


def write_part_scores(
    part: ScoredPart, rows: Sequence[Row], path: Path, factors: Mapping[str, bool], *, tuned: bool
) -> None:
    """Write ``labels.parquet`` or ``groups.parquet``, if there are rows.

    Args:
        part: What the rows are about.
        rows: What :func:`part_rows` returns.
        path: The file.
        factors: The factors of the study, and whether their levels are names.
        tuned: Whether the study tunes its methods.
    """
    if rows:
        write_table(rows, part_scores_schema(part, factors, tuned=tuned), path)
