"""Probes: students of the first seeds over twice the steps, and what a study concludes from them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distillab.api import conclude
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from distillab.study.planning.probes import probe_runs
from distillab.study.planning.summary import summarize_plan
from distillab.study.running import outcome
from distillab.study.spec.study import StudySpec
from support.studies import CPU, begin, dataset, plan, run_here, spec

ONE = {"probes": 1}
FULL = {"provenance": "full"}


@pytest.mark.parametrize(
    ("seeds", "probes", "expected"), [(4, "auto", 0), (5, "auto", 1), (4, 2, 2), (2, 9, 2), (6, 0, 0)]
)
def test_first_seeds_of_every_condition_are_probed(seeds: int, probes: Any, expected: int) -> None:
    made = plan(seeds=seeds, evidence={"probes": probes}, teacher=FULL)
    probed = Counter(cell.seed for cell in made.cells if cell.doubled)
    assert probed == dict.fromkeys(range(expected), 2 * 2)  # two sizes, two methods


def test_a_probe_differs_from_its_student_in_its_steps_alone() -> None:
    made = plan(seeds=2, evidence=ONE, teacher=FULL)
    for cell in (each for each in made.cells if each.doubled):
        once, twice = (made.jobs[run] for run in (cell.run_id, str(cell.doubled)))
        assert twice.recipe["steps"] == 2 * once.recipe["steps"]  # type: ignore[union-attr]
        keys = ("model", "method", "sets", "seeds")
        assert all(once.spec_dict()[key] == twice.spec_dict()[key] for key in keys)
    without = plan(seeds=2, evidence={"probes": 0}, teacher=FULL)
    assert [job.id for job in made.teachers] == [job.id for job in without.teachers]


def test_probes_change_no_other_run_and_stand_behind_all() -> None:
    without, with_them = plan(seeds=3, evidence={"probes": 0}), plan(seeds=3, evidence={"probes": 2})
    assert list(with_them.jobs)[: len(without.jobs)] == list(without.jobs)
    assert [cell.run for cell in with_them.cells] == [cell.run for cell in without.cells]


def test_a_level_of_twice_the_steps_is_the_probe() -> None:
    made = plan(factors={"steps": ["x1", "x2"]}, seeds=1, evidence=ONE, teacher=FULL)
    by_level = {(cell.levels["steps"], cell.method): cell for cell in made.cells}
    for method in ("ce", "kd"):
        assert by_level[1, method].doubled == by_level[2, method].run
    assert len(probe_runs(made.cells)) == 2  # those of x2


def test_the_key_is_no_part_of_a_study_unless_it_is_written() -> None:
    assert "probes" not in spec().canonical()["evidence"]
    assert spec(evidence={"probes": 3}).canonical()["evidence"]["probes"] == 3
    assert spec(evidence={"probes": 3}).identity == spec().identity


@pytest.mark.parametrize("value", [-1, 1.5, "many", True])
def test_impossible_numbers_of_probes_are_refused(value: Any) -> None:
    with pytest.raises(RequestError, match=r"evidence\.probes") as caught:
        spec(evidence={"probes": value})
    assert "\n" not in str(caught.value)


def test_students_that_match_compute_and_excluded_conditions_have_no_probe() -> None:
    made = plan(methods=["ce", "ce_long", "kd"], factors={}, seeds=1, evidence=ONE, teacher=FULL)
    assert {cell.method for cell in made.cells if cell.doubled} == {"ce", "kd"}
    made = plan(factors={"steps": ["x0.01", "x1"]}, seeds=1, evidence=ONE, teacher=FULL)
    assert {cell.levels["steps"] for cell in made.cells if cell.doubled} == {1}


def test_probes_of_a_sequential_study_run_before_its_first_interim_analysis() -> None:
    study = spec(seeds={"min": 5, "max": 7, "stop": "decided"}, teacher=FULL, factors={})
    made = plan(seeds={"min": 5, "max": 7, "stop": "decided"}, teacher=FULL, factors={})
    seen = summarize_plan(study, dataset(), made, CPU)
    assert (seen.runs["student"], seen.least_students, seen.probes) == (2 * 7 + 2, 2 * 5 + 2, 2)


def test_plan_states_the_cost_of_probes_and_the_length_of_every_condition() -> None:
    changes: dict[str, Any] = {"teacher": FULL, "evidence": ONE, "recipe": {"steps": 12, "batch_size": 8}}
    study, made = spec(**changes), plan(**changes)
    seen = summarize_plan(study, dataset(), made, CPU)
    assert seen.probes == 4 and 0 < seen.probe_seconds < sum(seen.seconds.values())
    lengths = [(each.levels["size"], each.steps, each.epochs) for each in seen.lengths]
    assert lengths == [(5, 12, 6), (10, 12, 3)]


def test_probes_fit_what_is_left_of_the_budget() -> None:
    roomy = plan(seeds=1, evidence=ONE, teacher={**FULL, "outputs": {"budget": "8 GB"}})
    used = plan(seeds=1, evidence={"probes": 0}, teacher={**FULL, "outputs": {"budget": "8 GB"}}).stored_bytes
    tight = plan(seeds=1, evidence=ONE, teacher={**FULL, "outputs": {"budget": used}})
    assert tight.stored_bytes == used < roomy.stored_bytes
    assert {cell.run for cell in tight.cells} == {cell.run for cell in roomy.cells}


# -- whole studies -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study whose students are starved in eight steps and converged in eighty."""
    folder = begin(
        tmp_path_factory.mktemp("lengths"),
        data={"source": "digits", "classes": 2, "val": 0.5},
        factors={"steps": [8, 80]},
        students=["convnet3"],
        teacher={"model": "convnet3", "provenance": "full", "recipe": {"steps": 80}},
        seeds=5,
        recipe={"batch_size": 16, "lr": 0.02},
        evidence={"probes": 3},
    )
    run_here(folder)
    return folder


def test_starved_conditions_are_marked_and_converged_ones_are_not(finished: StudyFolder) -> None:
    rows = [row for row in read_rows(finished.effects_file) if row["metric"] == "accuracy"]
    marks = {row["factor.steps"]: row["converged"] for row in rows}
    assert marks == {8.0: False, 80.0: True}, rows


def test_probes_are_no_rows_of_the_results(finished: StudyFolder) -> None:
    rows = read_rows(finished.results_file)
    assert len(rows) == 2 * 2 * 5
    assert [row["seed"] for row in rows if row["val_score_doubled"] is not None] == 4 * [0, 1, 2]
    assert all(0 <= row["val_score"] <= 1 for row in rows)
    assert {(row["factor.steps"], row["steps"]) for row in rows} == {(8.0, 8), (80.0, 80)}
    assert (outcome(finished).done, outcome(finished).probes) == (len(rows), 12)


def test_the_first_screen_and_the_table_carry_the_mark(finished: StudyFolder) -> None:
    conclude(finished)
    page = (finished.path / "report.html").read_text()
    assert "Early training in 1 of 2 comparisons" in page
    assert "of 2 comparisons is of early training" in page or "Early training: " in page
    assert "long enough: " in page and "◔ early training: ce: " in page


def test_study_spec_keeps_probes_when_written_and_read(tmp_path: Path) -> None:
    folder = begin(tmp_path, evidence={"probes": 2})
    again: StudySpec = StudyFolder.open(folder.path).spec
    assert again.evidence.probes == 2
