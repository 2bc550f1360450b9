"""Which student to ship: the smallest that is as good on val, whatever the test set says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.evidence.pairs import Row
from distillab.evidence.selection import choice_sentences, select_students, selection_schema
from distillab.tasks import Classification, Metric

TASK = Classification()
ACCURACY: Metric = TASK.metrics["accuracy"]


def row(student: str, params: int, val: float, seed: int = 0, /, **more: Any) -> Row:
    method, teacher = more.get("method", "kd"), more.get("teacher", "t")
    names = {"dataset": "d", "provenance": "full", "teacher": teacher, "student": student, "method": method}
    level = more.get("factor.teacher_capacity", "")
    run = f"{student} {teacher + level if method == 'kd' else ''} {method} {seed}"
    scores = {"val_score": val, "accuracy": val - 0.02, "teacher_accuracy": 0.96, "params": params}
    return {**names, "run_id": run, "seed": seed, "status": "done", **scores, **more}


def chosen(*rows: Row, margin: float = 0.005) -> list[Row]:
    return [each for each in select_students(rows, TASK, margin=margin) if each["chosen"]]


def test_the_smallest_within_the_margin_is_chosen() -> None:
    rows = [row("small", 10, 0.89), row("middle", 20, 0.897), row("large", 90, 0.9)]
    assert [each["student"] for each in chosen(*rows)] == ["middle"]
    assert [each["student"] for each in chosen(*rows, margin=0.02)] == ["small"]
    assert [each["student"] for each in chosen(*rows, margin=0.0)] == ["large"]


def test_the_test_set_takes_no_part() -> None:
    rows = [row("a", 10, 0.90, accuracy=0.1), row("b", 10, 0.89, accuracy=0.99)]
    [found] = chosen(*rows)
    assert (found["student"], found["score"]) == ("a", 0.1)
    assert found["retention"] == pytest.approx(0.1 / 0.96)


def test_means_are_over_the_seeds_that_all_have() -> None:
    rows = [
        row("a", 10, 0.80, 0),
        row("a", 10, 0.99, 1),
        row("b", 10, 0.85, 0),
        row("b", 10, 0.9, 1, status="failed"),
    ]
    [found] = chosen(*rows)
    assert (found["student"], found["n_runs"], found["val_score"]) == ("b", 1, 0.85)


def test_teachers_are_chosen_from_the_levels_of_their_factor() -> None:
    levels = {"small": 0.88, "large": 0.91}
    rows = [
        row("a", 10, val, teacher="small | large", **{"factor.teacher_capacity": name})
        for name, val in levels.items()
    ]
    [found] = chosen(*rows)
    assert found["teacher"] == "large"
    conditions = [{**each, "factor.size": float(size)} for each in rows for size in (10, 20)]
    assert [each["factor.size"] for each in chosen(*conditions)] == [10.0, 20.0]


def test_a_plain_run_of_several_teachers_is_there_once_and_without_one() -> None:
    plain = [row("a", 10, 0.95, teacher=name, method="ce") for name in ("t", "u")]
    rows = [*plain, *(row("a", 10, 0.9, teacher=name) for name in ("t", "u"))]
    every = select_students(rows, TASK, margin=0.005)
    assert [each["method"] for each in every].count("ce") == 1
    [found] = [each for each in every if each["chosen"]]
    assert (found["teacher"], found["teacher_score"], found["retention"]) == (None, None, None)
    [sentence] = choice_sentences([found], ACCURACY, margin=0.005)
    assert sentence.startswith("Chosen on val is a by ce, the smallest network within 0.5 points")


def test_plain_students_name_no_teacher() -> None:
    rows = [row("a", 10, 0.9), row("b", 10, 0.95, method="ce")]
    [found] = [each for each in select_students(rows, TASK, margin=0.0, plain=["ce"]) if each["chosen"]]
    assert (found["teacher"], found["retention"]) == (None, pytest.approx(0.93 / 0.96))


def test_one_network_leaves_no_choice() -> None:
    assert select_students([row("a", 10, 0.9), row("a", 10, 0.8, method="ce")], TASK, margin=0.005) == []
    assert select_students([row("a", 10, 0.9, status="queued"), row("b", 10, 0.9)], TASK, margin=0.005) == []


def test_an_arm_that_failed_is_left_out() -> None:
    rows = [row("a", 10, 0.9), row("b", 20, 0.95), row("c", 5, 0.99, status="failed")]
    assert [each["student"] for each in chosen(*rows)] == ["b"]
    assert chosen(*rows, row("d", 5, 0.9, status="running")) == []


def test_rows_are_those_of_the_schema() -> None:
    found = select_students(
        [row("a", 10, 0.9, **{"factor.size": 5.0}), row("b", 10, 0.9, **{"factor.size": 5.0})],
        TASK,
        margin=0.0,
    )
    assert set(found[0]) == set(selection_schema(["size"]).names)


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 100)), min_size=2, max_size=8), st.integers(0, 20)
)
def test_no_smaller_network_is_as_good(networks: list[tuple[int, int]], margin: int) -> None:
    rows = [row(f"s{i}", params, val / 100) for i, (params, val) in enumerate(networks)]
    [found] = chosen(*rows, margin=margin / 100)
    best = max(val for _, val in networks)
    as_good = [params for params, val in networks if best - val <= margin]
    assert found["params"] == min(as_good)
