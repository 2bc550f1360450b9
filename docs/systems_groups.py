"""The tables of docs/systems/ by group of the test set, such as the site of a record.

Beside every score stands that of the rule that knows the group alone (:mod:`distillab.data.group_rule`), from
``docs/results/systems/NAME-group-rule.csv``. Intervals that are computed here are Student's, over seeds, at a
level of 95 %: they are for new trainings and for the same test examples.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from generated import table
from systems_rows import (
    mean_of_runs,
    percent,
    points,
    primary_of,
    rows_of,
    study_values,
    with_interval,
)

from distillab.data.examples import Examples
from distillab.data.group_rule import classes_by_group
from distillab.evidence import Row
from distillab.tasks import Task

RULE = "group-rule"
COLUMNS = ("left_out", "group", "metric", "n_test", "score")
ALONE = "group alone, %"


def group_rules(train: Examples, test: Examples, task: Task, left_out: Sequence[str] = ()) -> list[Row]:
    """Return how good it is to predict the class of each test example from its group alone.

    Args:
        train: The training examples, as they were read.
        test: The test set, as it was read.
        task: The task: its primary metric says whether classes count equally.
        left_out: Groups of which a study has no training example in turn.

    Returns:
        A row per metric of all test examples, a row per group, and a row per group that is left out, for its
        own test examples under the rule of the other groups. ``score`` is NaN for a group that lacks a class
        of the test set. There are no rows without groups, and for a task that is not judged by accuracy or
        balanced accuracy.
    """
    if task.primary not in ("accuracy", "balanced_accuracy") or train.groups is None or test.groups is None:
        return []
    balanced, one_hot = task.primary == "balanced_accuracy", np.eye(len(train.classes), dtype=np.float32)
    counts = np.bincount(test.groups, minlength=len(test.group_names))
    rule = one_hot[classes_by_group(train, balanced=balanced)[test.groups]]
    measured = task.measure(rule, test.targets, groups=test.groups)
    names = (task.primary, task.worst_group, f"group_{task.primary}")
    rows: list[Row] = [
        {"left_out": "", "group": "", "metric": name, "n_test": len(test), "score": measured[name]}
        for name in names
    ]
    for name in ("", *left_out):
        others = train.select(np.flatnonzero(train.groups != test.group_names.index(name))) if name else train
        logits = one_hot[classes_by_group(others, balanced=balanced)[test.groups]]
        scores = task.per_group(logits, test.targets, test.groups)
        rows += [
            {
                "left_out": name,
                "group": test.group_names[number],
                "metric": task.primary,
                "n_test": int(counts[number]),
                "score": score,
            }
            for number, score in scores.items()
            if name in ("", test.group_names[number])
        ]
    return rows


def left_out_of(study: str) -> list[str]:
    """Return the groups that a study leaves out of training, one by one."""
    factor = study_values(study).get("factors", {}).get("groups", {})
    return factor["levels"] if isinstance(factor, dict) and factor.get("kind") == "without" else []


def write_rules(rows: Sequence[Row], path: Path) -> None:
    """Write the scores of rules as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"score": "" if math.isnan(row["score"]) else row["score"]} for row in rows)


def of_rule(study: str, metric: str, group: str = "", left_out: str = "") -> str:
    """Return the score of the rule in percent; empty where the study has none or it is undefined."""
    place = {"left_out": left_out, "group": group, "metric": metric}
    found = [row["score"] for row in rows_of(study, RULE) if all(row[key] == place[key] for key in place)]
    return percent(float(found[0])) if found and found[0] else ""


def _by_seed(rows: Sequence[Row], method: str, group: str) -> dict[int, float]:
    """Return the scores of a method within a group, by seed; none where the score is undefined."""
    return {
        row["seed"]: row["score"]
        for row in rows
        if (row["method"], row["group"]) == (method, group) and row["score"] is not None
    }


def _means_by_seed(rows: Sequence[Row], method: str) -> dict[int, float]:
    """Return the mean score of the groups whose score is defined, by seed."""
    each = [_by_seed(rows, method, group) for group in sorted({row["group"] for row in rows})]
    defined = [scores for scores in each if scores]
    return {seed: float(np.mean([scores[seed] for scores in defined])) for seed in defined[0]}


def _declared(study: str) -> tuple[list[str], list[str]]:
    """Return the baselines and the methods of the declared contrasts."""
    evidence = study_values(study).get("evidence", {})
    return evidence.get("baselines", ["ce"]), evidence.get("contrasts", [])


def by_group(study: str) -> str:
    """Return the primary metric in every group and over all: of the rule, and of the declared methods."""
    rows, metric = rows_of(study, "groups"), primary_of(study)
    results = [row for row in rows_of(study, "results") if row["status"] == "done"]
    methods = [name for names in _declared(study) for name in names]
    sizes = {row["group"]: row["n_test"] for row in rows}
    lines = [
        (
            group,
            str(sizes[group]),
            of_rule(study, metric, group),
            *(with_interval(list(_by_seed(rows, name, group).values())) for name in methods),
        )
        for group in sorted(sizes)
    ]
    defined = [group for group in sizes if _by_seed(rows, methods[0], group)]
    alone = [row for row in rows_of(study, RULE) if row["group"] in defined and not row["left_out"]]
    lines.append(
        (
            "mean of the groups above with a score",
            str(sum(sizes[group] for group in defined)),
            percent(float(np.mean([float(row["score"]) for row in alone]))) if alone else "",
            *(with_interval(list(_means_by_seed(rows, name).values())) for name in methods),
        )
    )
    lines.append(
        (
            "all records at once",
            str(sum(sizes.values())),
            of_rule(study, metric),
            *(with_interval([row[metric] for row in results if row["method"] == name]) for name in methods),
        )
    )
    return table(("group", "test examples", ALONE, *(f"`{name}`, %" for name in methods)), lines)


def new_sites(study: str) -> str:
    """Return the gains at each level of `groups` on the group that the level leaves out of training."""
    metric = primary_of(study)
    groups = [row for row in rows_of(study, "groups") if row["group"] == row["factor.groups"]]
    head = ("left out", "test examples", ALONE, "method", "plain, %", "distilled, %")
    lines = []
    for row in rows_of(study, "effects"):
        group = str(row["factor.groups"])
        if row["metric"] == f"{metric}.{group}":
            scores = (_by_seed(groups, row[name], group) for name in ("baseline", "method"))
            lines.append(
                (
                    group,
                    str(next(each["n_test"] for each in groups if each["group"] == group)),
                    of_rule(study, metric, group, left_out=group),
                    f"`{row['method']}`",
                    *(with_interval(list(each.values())) for each in scores),
                    points(row),
                    str(row["n_pairs"]),
                    str(row.get("verdict_family") or row["verdict"]),
                )
            )
    return table((*head, "gain, points", "pairs", "verdict"), lines)


def recalls(study: str) -> str:
    """Return the gains of the declared contrasts in sensitivity and specificity, over all test examples."""
    results = [row for row in rows_of(study, "results") if row["status"] == "done"]
    head = ("metric", "method", "plain, %", "distilled, %", "gain, points", "pairs", "verdict")
    lines = [
        (
            metric,
            f"`{row['method']}`",
            percent(mean_of_runs(results, row | {"method": row["baseline"]}, metric)),
            percent(mean_of_runs(results, row, metric)),
            points(row),
            str(row["n_pairs"]),
            str(row.get("verdict_family") or row["verdict"]),
        )
        for metric in ("sensitivity", "specificity")
        for row in rows_of(study, "effects")
        if row["metric"] == metric and row["method"] in _declared(study)[1]
    ]
    return table(head, lines)
