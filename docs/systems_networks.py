"""The tables of docs/systems/ about networks: which one is chosen, and how good and fast networks are."""

from __future__ import annotations

import numpy as np
from generated import table
from systems_rows import STUDIES, levels_of, percent, rows_of, study_values, with_interval, with_used_columns

from distillab.evidence import Row
from distillab.evidence.selection import select_students
from distillab.study.spec.study import parse_study

TEACHERS = "factor.teacher_capacity"


def selection(study: str) -> str:
    """Return every student of every teacher and method, and which one is chosen on val, as `report` does."""
    file = STUDIES / f"{study}.yaml"
    spec = parse_study(study_values(study), file.parent, file.name)
    task = spec.task_config()
    rows = select_students(
        rows_of(study, "results"),
        task,
        margin=task.metrics[task.primary].margin_for(spec.evidence.margin),
        plain=[each.label for each in spec.method_specs() if not each.distils],
    )
    head = ("condition", "teacher", "student", "method", "parameters", "val, %", "test, %", "chosen on val")
    return with_used_columns(
        head,
        [
            (
                "" if TEACHERS in row else levels_of(row),
                f"`{row['teacher']}`" if row["teacher"] else "none",
                f"`{row['student']}`",
                f"`{row['method']}`",
                f"{row['params']:,}",
                percent(row["val_score"]),
                percent(row["score"]),
                "chosen" if row["chosen"] else "",
            )
            for row in rows
        ],
    )


def teacher_scores(study: str) -> str:
    """Return how good each network of an ensemble of teachers is, and the ensemble, over seeds."""
    found: dict[str, list[Row]] = {}
    for row in rows_of(study, "teacher-scores"):
        found.setdefault(row["network"], []).append(row)
    head = ("network", "parameters", "val, %", "test, %", "mean weight", "with a weight, of seeds")
    lines = []
    for name, rows in sorted(found.items(), key=lambda each: each[1][0]["in_ensemble"], reverse=True):
        weights = [float(row["weight"]) for row in rows]
        used = (f"{np.mean(weights):.2f}", f"{sum(weight > 0 for weight in weights)} of {len(rows)}")
        lines.append(
            (
                f"`{name}`",
                f"{int(rows[0]['params']):,}",
                *(with_interval([float(row[key]) for row in rows]) for key in ("val_score", "score")),
                *(used if rows[0]["in_ensemble"] == "True" else ("", "")),
            )
        )
    return table(head, lines)


def speed(study: str) -> str:
    """Return what students keep of their teachers' accuracy, and how much faster and smaller they are."""
    head = ("teacher", "student", "method", "retention, %", "speed-up", "compression")
    return with_used_columns(
        head,
        [
            (
                f"`{row['teacher']}`",
                f"`{row['student']}`",
                f"`{row['method']}`",
                "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * value for value in _ends(row, "retention"))),
                "{:.1f} [{:.1f}, {:.1f}]".format(*_ends(row, "speed_up")),
                "{:.1f} [{:.1f}, {:.1f}]".format(*_ends(row, "compression")),
            )
            for row in rows_of(study, "speed")
        ],
    )


def _ends(row: Row, name: str) -> tuple[float, float, float]:
    """Return a measure with the ends of its interval."""
    return float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"])
