"""Probes of studies that tune, which follow the choice of settings, and probes that are added later."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from distillab.api import Study
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob
from distillab.study.ledger import JobState
from distillab.study.planning.probes import probe_runs
from distillab.study.planning.summary import summarize_plan
from distillab.study.running import outcome, run_jobs
from distillab.study.running.probes import add_probes, with_probes_of
from distillab.study.spec.study import parse_study
from distillab.study.status import study_status
from support.studies import CPU, check_share, dataset, numbers, plan, spec, states_of, study
from support.tuning import tuned_study

ONE, TWO = {"evidence": {"probes": 1}}, {"evidence": {"probes": 2}}
PLAIN: dict[str, Any] = {
    "teacher": {"model": "convnet3", "provenance": "full"},
    "students": ["convnet3"],
    "factors": {"size": [5]},
    "seeds": 2,
}


@dataclass(frozen=True)
class Ended:
    """A study that ran to its end."""

    folder: StudyFolder
    rows: list[dict[str, Any]]
    effects: list[dict[str, Any]]


def run(values: dict[str, Any], out: Path) -> Ended:
    folder = Study(**values).run(out, executor="inline", device="cpu").folder
    return Ended(folder, read_rows(folder.results_file), read_rows(folder.effects_file))


def begin(values: dict[str, Any], out: Path) -> StudyFolder:
    return StudyFolder.begin(out, parse_study(values, Path.cwd(), "study.yaml"), CPU)


def run_open(folder: StudyFolder) -> None:
    run_jobs(folder, executor="inline", workers=1, device="cpu", on_progress=check_share)


def probed(rows: list[dict[str, Any]]) -> Counter[Any]:
    return Counter((row.get("setting"), row["seed"]) for row in rows if row["val_score_doubled"] is not None)


# -- the plan ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 0.4, 0.5])
def test_probes_have_twice_the_steps_of_the_chosen_setting(length: float) -> None:
    tune = {"lr": [0.3], "length": [length], "methods": {"kd": {"temperature": [2]}}, "budget": 2}
    most = plan(tune=tune, teacher={"provenance": "same"}, recipe={"lr": 0.05, "steps": 7}, **ONE).most_tuned
    assert most is not None
    cells = [cell for cell in most.cells if cell.doubled]
    found = Counter((cell.setting, cell.seed) for cell in cells)
    assert found == {("default", 0): 4, ("tuned", 0): 4}  # two sizes, two methods
    for cell in cells:
        once, twice = (most.jobs[run] for run in (cell.run_id, str(cell.doubled)))
        assert isinstance(once, StudentJob)
        assert isinstance(twice, StudentJob)
        assert {**once.recipe, "steps": 2 * once.recipe["steps"]} == dict(twice.recipe)
        assert (once.method, once.sets, once.seeds) == (twice.method, twice.sets, twice.seeds)


def test_probes_change_no_other_run_of_a_tuned_study() -> None:
    tune = {"lr": [0.02, 0.3], "budget": 3}
    without, with_them = (
        plan(tune=tune, evidence={"probes": k}, recipe={"lr": 0.05, "steps": 7}) for k in (0, 1)
    )
    assert list(with_them.jobs) == list(without.jobs)
    assert with_them.cells == without.cells
    before, after = without.at_most, with_them.at_most
    assert list(after.jobs)[: len(before.jobs)] == list(before.jobs)
    assert [cell.run for cell in after.cells] == [cell.run for cell in before.cells]


def test_plan_counts_the_probes_of_default_and_tuned_runs() -> None:
    changes: dict[str, Any] = {"tune": {"lr": [0.02, 0.3], "length": [1, 2], "budget": 3}, **ONE}
    made, few = plan(**changes), plan(**{**changes, "evidence": {"probes": 0}})
    seen = summarize_plan(spec(**changes), dataset(), made, CPU)
    plain = 2 * 2 * 1  # sizes and settings; the plain student has one run for both provenances
    assert seen.probes == plain + 2 * 2 * 2 == len(probe_runs(made.at_most.cells))
    assert seen.runs["student"] == few.at_most.count("student") + seen.probes
    assert seen.probe_seconds > 0
    assert seen.stored_bytes >= few.at_most.stored_bytes


# -- a study that tunes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return run(tuned_study(**ONE), tmp_path_factory.mktemp("tuned") / "dir")


def test_tuned_and_default_rows_have_the_scores_of_their_probes(tuned: Ended) -> None:
    assert probed(tuned.rows) == {("default", 0): 2, ("tuned", 0): 2}
    assert len(tuned.rows) == 2 * 2 * 2  # settings, methods and seeds: probes are no rows
    ended = outcome(tuned.folder)
    assert (ended.done, ended.probes) == (len(tuned.rows) + 8, 4)  # the 8 are trials
    assert study_status(tuned.folder.path).jobs["student"] == {JobState.DONE: 20}


def test_effects_of_each_setting_are_judged_by_its_own_probes(tuned: Ended) -> None:
    accuracy = {row["setting"]: row for row in tuned.effects if row["metric"] == "accuracy"}
    for setting, row in accuracy.items():
        for side, method in (("plain", "ce"), ("distilled", "kd")):
            [change] = [
                each["val_score_doubled"] - each["val_score"]
                for each in tuned.rows
                if (each["setting"], each["method"], each["seed"]) == (setting, method, 0)
            ]
            assert row[f"doubling_{side}"] == pytest.approx(change)
        assert "probe" in row["convergence_note"]
    assert accuracy["default"]["doubling_plain"] != accuracy["tuned"]["doubling_plain"]


def test_interrupted_tuned_study_gets_the_same_probes(tuned: Ended, tmp_path: Path) -> None:
    folder = begin(tuned_study(**ONE), tmp_path / "dir")
    run_open(folder)  # the trials and the default runs
    again = run(tuned_study(**ONE), tmp_path / "dir")
    assert numbers(again.rows) == numbers(tuned.rows)
    assert again.effects == tuned.effects
    assert states_of(again.folder) == states_of(tuned.folder)


def test_more_probes_of_a_finished_tuned_study_are_added(tuned: Ended) -> None:
    before = states_of(tuned.folder)
    again = run(tuned_study(**TWO), tuned.folder.path)
    assert probed(again.rows) == {(name, seed): 2 for name in ("default", "tuned") for seed in (0, 1)}
    assert before.items() <= states_of(again.folder).items()
    assert len(states_of(again.folder)) > len(before)
    assert states_of(run(tuned_study(**TWO), tuned.folder.path).folder) == states_of(again.folder)


# -- a study without tuning ----------------------------------------------------------------------------------


def test_more_probes_of_a_finished_study_are_added(tmp_path: Path) -> None:
    fresh = run(study(**PLAIN, **TWO), tmp_path / "fresh")
    first = run(study(**PLAIN, evidence={"probes": 0}), tmp_path / "dir")
    assert probed(first.rows) == {}
    again = run(study(**PLAIN, **TWO), tmp_path / "dir")
    assert numbers(again.rows) == numbers(fresh.rows)
    assert states_of(again.folder) == states_of(fresh.folder)
    fewer = run(study(**PLAIN, **ONE), tmp_path / "dir")  # what has run stays
    assert numbers(fewer.rows) == numbers(fresh.rows)
    assert add_probes(fewer.folder) == 0


@pytest.mark.parametrize("earlier", [True, False])
def test_the_default_number_adds_no_probes_to_a_folder(earlier: bool, tmp_path: Path) -> None:
    values = study(**{**PLAIN, "seeds": 5, "evidence": {"probes": 0}})
    folder = begin(values, tmp_path / "dir")
    if earlier:
        with folder.ledger() as ledger:
            ledger.db.execute("DELETE FROM meta WHERE key = 'probed'")
    again = begin({**values, "evidence": {}}, tmp_path / "dir")
    assert add_probes(again) == 0
    more = begin({**values, "evidence": {"probes": 3}}, tmp_path / "dir")
    assert add_probes(more) == 3 * 2
    with more.ledger() as ledger:
        assert Counter(cell.seed for cell in ledger.cells() if cell.doubled) == {0: 2, 1: 2, 2: 2}
    assert add_probes(begin({**values, "evidence": {"probes": 3}}, tmp_path / "dir")) == 0


def test_runs_that_another_version_planned_get_no_probes(tmp_path: Path) -> None:
    planned = plan(**PLAIN, **ONE).cells
    other = [replace(cell, run=f"{cell.run}x", doubled=None) for cell in planned]
    assert with_probes_of(other, planned) == tuple(other)
    folder = begin(study(**PLAIN, evidence={"probes": 0}), tmp_path / "dir")
    with folder.ledger() as ledger:
        ledger.add([], other, [], {})
    again = begin(study(**PLAIN, **ONE), tmp_path / "dir")
    with pytest.raises(RequestError, match=r"evidence\.probes: probes cannot be added") as caught:
        add_probes(again)
    assert "\n" not in str(caught.value)
