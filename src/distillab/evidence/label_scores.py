"""The table ``labels.parquet`` of a multi-label study: how well each run predicts each label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from distillab.evidence.exits import PLACE
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.schema import write_table
from distillab.evidence.table_schema import run_columns, table_schema, text_columns
from distillab.tasks import Task

LabelScores = Mapping[str, tuple[float, int]]
"""The score of each label, and the number of test examples that have it."""


def labels_schema(factors: Mapping[str, bool], *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``labels.parquet``, one row per finished student and label.

    ``n_test`` counts the examples of the primary test set that have the label, and ``score`` is the AUC of
    the label there, null for a label that metrics leave out.

    Args:
        factors: The factors of the study, and whether their levels are names.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> labels_schema({}).names[-4:]
        ['label', 'metric', 'n_test', 'score']
    """
    return table_schema(
        "labels",
        run_columns(["run_id", "dataset"], factors, tuned=tuned)
        | text_columns("label", "metric")
        | {"n_test": pa.int64(), "score": pa.float64()},
    )


def label_rows(rows: Iterable[Row], scores: Iterable[LabelScores | None], task: Task) -> list[Row]:
    """Return a row per finished student and label; none for tasks with one class per example.

    Args:
        rows: Result rows.
        scores: For each of them the score of each label and the number of test examples that have it; None
            for runs that are not done.
        task: The task of the study.

    Example:
        >>> from distillab.tasks import MultiLabel
        >>> [row] = label_rows([{"run_id": "a", "method": "kd"}], [{"Mass": (0.75, 20)}], MultiLabel())
        >>> row["method"], row["label"], row["metric"], row["n_test"], row["score"]
        ('kd', 'Mass', 'label_auc', 20, 0.75)
    """
    found = list[Row]()
    if task.targets.complete:
        return found
    for row, each in zip(rows, scores, strict=True):
        names = (*PLACE, "setting")
        place = {key: value for key, value in row.items() if key in names or key.startswith(FACTOR)}
        for label, (score, count) in (each or {}).items():
            facts = {"label": label, "metric": task.class_metric.name, "n_test": count, "score": score}
            found.append({**place, **facts})
    return found


def write_labels(rows: Sequence[Row], path: Path, factors: Mapping[str, bool], *, tuned: bool) -> None:
    """Write ``labels.parquet``, if there are rows.

    Args:
        rows: What :func:`label_rows` returns.
        path: The file.
        factors: The factors of the study, and whether their levels are names.
        tuned: Whether the study tunes its methods.
    """
    if rows:
        write_table(rows, labels_schema(factors, tuned=tuned), path)
