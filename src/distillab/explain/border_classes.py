"""The table ``explanation_classes.parquet``: how much of the attribution lies on the border, by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.table_schema import number_columns, run_columns, table_schema, text_columns
from distillab.explain.agreement import PerImage
from distillab.explain.study_maps import Explained

_MEASURED = ("border_share", "teacher_border_share", "border_area")
_KEPT = ("run_id", "study", "dataset", "provenance", "teacher", "student", "setting", "method", "seed")


def explanation_classes_schema(factors: Mapping[str, bool], *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``explanation_classes.parquet``, one row per run, attribution and class.

    ``class`` is the class that is explained, and ``n_images`` the images of which it is. ``border_share`` and
    ``teacher_border_share`` are means over them of the share of the attribution on the border, null if no map
    has evidence for the class; ``border_area`` is the share of the image that is border.

    Args:
        factors: The factors of the study, and whether their levels are names.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> explanation_classes_schema({}).names[-5:]
        ['class', 'n_images', 'border_share', 'teacher_border_share', 'border_area']
    """
    return table_schema(
        "explanation classes",
        run_columns(["run_id", "study", "dataset"], factors, tuned=tuned)
        | text_columns("teacher_run", "attribution", "class")
        | {"n_images": pa.int64()}
        | number_columns(_MEASURED),
    )


def class_rows(row: Row, student: Explained, teacher: Explained, classes: Sequence[str]) -> list[Row]:
    """Return a row for each class that is explained in some image, in the order of the classes.

    Args:
        row: The row of ``explanations.parquet``.
        student: The explanation of the student.
        teacher: That of its teacher, of the same images and classes.
        classes: Names of the classes.
    """
    kept = {key: value for key, value in row.items() if key in _KEPT or key.startswith(FACTOR)}
    kept |= {key: row[key] for key in ("teacher_run", "attribution", "border_area")}
    found = []
    for label in np.unique(student.classes).tolist():
        mine = student.classes == label
        found.append(
            {
                **kept,
                "class": classes[label],
                "n_images": int(mine.sum()),
                "border_share": _mean(student.values["border_share"][mine]),
                "teacher_border_share": _mean(teacher.values["border_share"][mine]),
            }
        )
    return found


def _mean(values: PerImage) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
