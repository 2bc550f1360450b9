"""Students against their teachers: paired by seed and example, flagged only beyond the margin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.api import Study
from distillab.evidence.against_teacher import lead_sentences, students_against_teacher
from distillab.evidence.contrast import ExampleValues
from distillab.evidence.pairs import Row
from distillab.evidence.schema import read_rows
from distillab.report.page.run_tables import against_teacher_table
from distillab.tasks import Classification

TASK = Classification()


def row(student: str, seed: int, accuracy: float | None, teacher: float | None = 0.80, **more: Any) -> Row:
    return {
        "dataset": "d",
        "provenance": "full",
        "teacher": "t",
        "student": student,
        "method": "kd",
        "seed": seed,
        "status": "done",
        "accuracy": accuracy,
        "nll": 0.5,
        "teacher_accuracy": teacher,
        "teacher_run": f"t{seed}",
        "n_test": 1000,
        "run_id": f"{student}{seed}",
        **more,
    }


def compared(*rows: Row, **more: Any) -> list[Row]:
    return students_against_teacher(rows, TASK, margin=0.005, **more)


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [(0.85, "exceeds"), (0.75, "below"), (0.801, "equal"), (0.8045, "undecided")]
)
def test_verdict_needs_the_interval_beyond_the_margin(accuracy: float, verdict: str) -> None:
    [found] = compared(*(row("s", seed, accuracy + 0.002 * (seed % 2)) for seed in range(6)))
    assert found["verdict"] == verdict
    assert found["difference"] == pytest.approx(accuracy + 0.001 - 0.8)


def test_fewer_than_five_pairs_are_undecided() -> None:
    [found] = compared(*(row("s", seed, 0.95) for seed in range(4)))
    assert found["verdict"] == "undecided"


def test_single_pair_has_no_interval() -> None:
    [found] = compared(row("s", 0, 0.95))
    assert (found["ci_low"], found["ci_high"], found["n_pairs"]) == (None, None, 1)


def test_runs_without_a_teacher_or_a_result_are_left_out() -> None:
    rows = [
        row("s", 0, 0.9),
        row("s", 1, 0.9, teacher=None),
        row("s", 2, None),
        row("s", 3, 0.9, status="failed"),
    ]
    assert compared(*rows)[0]["n_pairs"] == 1
    assert compared(row("s", 0, 0.9, teacher=None)) == []


def test_teachers_differ_by_seed() -> None:
    """A student that always follows its own teacher is equal to it, however much the teachers differ."""
    [found] = compared(*(row("s", seed, 0.6 + 0.05 * seed, teacher=0.6 + 0.05 * seed) for seed in range(6)))
    assert found["difference"] == pytest.approx(0)
    assert found["verdict"] == "equal"


def test_interval_covers_the_draw_of_test_examples() -> None:
    rng = np.random.default_rng(0)
    shared = rng.random(100) < 0.3  # examples on which every student beats the teacher
    own = {f"s{seed}": np.where(shared, 1.0, 0.5) for seed in range(6)}
    gain = float(own["s0"].mean()) - 0.5
    rows = [row("s", seed, 0.5 + gain, teacher=0.5) for seed in range(6)]
    [fixed] = compared(*rows)
    [drawn] = compared(
        *rows,
        student_values=lambda each: ExampleValues(own[each["run_id"]], np.arange(100)),
        teacher_values=lambda each: ExampleValues(np.full(100, 0.5), np.arange(100)),
    )
    assert drawn["ci_high"] - drawn["ci_low"] > 5 * (fixed["ci_high"] - fixed["ci_low"])
    assert drawn["difference"] == pytest.approx(fixed["difference"])


def test_sentences_are_for_several_students() -> None:
    ahead = [row("a", seed, 0.9 + 0.001 * seed) for seed in range(6)]
    behind = [row("b", seed, 0.7 + 0.001 * seed) for seed in range(6)]
    assert lead_sentences(compared(*ahead), TASK) == ()
    [sentence] = lead_sentences(compared(*ahead, *behind), TASK)
    assert sentence.startswith("a (kd) exceeds its teacher by 10.2 points of accuracy (")
    assert lead_sentences(compared(*behind, *(r | {"student": "c"} for r in behind)), TASK) == (
        "No student exceeds its teacher beyond doubt.",
    )


def test_page_flags_students_that_exceed_their_teacher() -> None:
    rows = compared(*(row("a", seed, 0.9 + 0.001 * seed) for seed in range(6)))
    [cells] = against_teacher_table(rows, TASK).rows
    assert "▲ exceeds teacher" in [cell.text for cell in cells]


def test_study_of_several_students_writes_the_table(tmp_path: Path) -> None:
    study = Study(
        study="five",
        data={"source": "digits", "classes": 3},
        teacher={"model": "densenet169_mini", "provenance": "full", "replicates": 1, "recipe": {"steps": 2}},
        students=["convnet3", "xception_mini"],
        methods=["ce", "kd"],
        seeds=2,
        recipe={"steps": 2, "batch_size": 8, "views": "none"},
        evidence={"probes": 0},
    )
    finished = study.run(tmp_path / "out", executor="inline", workers=1)
    rows = read_rows(tmp_path / "out" / "against_teacher.parquet")
    assert {(each["student"], each["method"]) for each in rows} == {
        (student, method) for student in ("convnet3", "xception_mini") for method in ("ce", "kd")
    }
    for each in rows:
        of_cell = [
            r
            for r in finished.tables.results
            if (r["student"], r["method"]) == (each["student"], each["method"])
        ]
        lead = np.mean([r["accuracy"] - r["teacher_accuracy"] for r in of_cell])
        assert each["difference"] == pytest.approx(lead)
        assert each["loss"] == pytest.approx(np.mean([r["nll"] for r in of_cell]))
    assert "Students against their teachers" in finished.report.read_text(encoding="utf-8")
