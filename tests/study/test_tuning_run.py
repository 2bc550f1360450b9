"""Tuning in a study that runs: trials, then the choice, then the runs under it, whatever interrupts it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.api import Study, conclude
from distillab.artefacts import LOGITS, load_logits
from distillab.evidence.schema import read_rows
from distillab.sources import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob
from distillab.study.job_parts import RunStart
from distillab.study.ledger import JobState
from distillab.study.planning.outline import make_plan
from distillab.study.running import outcome, run_jobs
from distillab.study.running.reproduce import reproduce
from distillab.study.running.tuning import choose_settings
from distillab.study.running.worker import work
from distillab.study.spec.study import parse_study
from distillab.study.status import study_status
from support.damage import forget_digests
from support.studies import CPU, check_share, numbers, states_of
from support.tuning import tuned_study

BAD, GOOD = 0.00005, 0.05


@dataclass(frozen=True)
class Tuned:
    """A finished study with tuning."""

    folder: StudyFolder
    rows: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    trials: list[dict[str, Any]]

    @classmethod
    def of(cls, folder: StudyFolder) -> Tuned:
        files = folder.results_file, folder.effects_file, folder.tuning_file
        return cls(folder, *map(read_rows, files))


def run(out: Path, **changes: Any) -> Tuned:
    ended = Study(**tuned_study(**changes)).run(out, executor="inline", device="cpu")
    return Tuned.of(ended.folder)


def begin(out: Path, **changes: Any) -> StudyFolder:
    return StudyFolder.begin(out, parse_study(tuned_study(**changes), Path.cwd(), "study.yaml"), CPU)


def run_open(folder: StudyFolder) -> None:
    run_jobs(folder, executor="inline", workers=1, device="cpu", on_progress=check_share)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return run(tmp_path_factory.mktemp("tuned") / "dir")


# -- an undisturbed study ------------------------------------------------------------------------------------


def test_tuning_leaves_a_learning_rate_that_is_far_too_small(tuned: Tuned) -> None:
    by_setting = {
        setting: [
            row["accuracy"] for row in tuned.rows if row["setting"] == setting and row["method"] == "ce"
        ]
        for setting in ("default", "tuned")
    }
    assert {row["tuned_lr"] for row in tuned.rows if row["setting"] == "tuned"} == {GOOD}
    assert np.mean(by_setting["tuned"]) > np.mean(by_setting["default"]) + 0.2


def test_tables_hold_both_settings_of_both_arms(tuned: Tuned) -> None:
    cells = [(row["setting"], row["method"], row["seed"]) for row in tuned.rows]
    assert cells == [(s, m, seed) for s in ("default", "tuned") for m in ("ce", "kd") for seed in (0, 1)]
    assert {row["status"] for row in tuned.rows} == {"done"}
    default = [row for row in tuned.rows if row["setting"] == "default"]
    assert all(row["tuned_lr"] is row["tuned_steps"] is row["tuned_keys"] is None for row in default)
    chosen = [row for row in tuned.rows if row["setting"] == "tuned"]
    assert {(row["tuned_steps"], row["tuned_length"], row["tuned_keys"]) for row in chosen} == {
        (12, 1.0, "{}")
    }
    accuracy = [row for row in tuned.effects if row["metric"] == "accuracy"]
    assert [(row["setting"], row["method"], row["n_pairs"]) for row in accuracy] == [
        ("default", "kd", 2),
        ("tuned", "kd", 2),
    ]
    # Each setting is a family of its own: the second look at the same question is not counted as a test.
    assert {row["n_tests"] for row in accuracy} == {1}


def test_trials_are_in_a_table_of_their_own(tuned: Tuned) -> None:
    assert len(tuned.trials) == 2 * 2 * 2  # methods, settings and seeds
    assert {row["seed"] for row in tuned.trials} == {1_000_000, 1_000_001}
    assert {(row["lr"], row["is_default"], row["chosen"]) for row in tuned.trials} == {
        (BAD, True, False),
        (GOOD, False, True),
    }
    assert not {row["run_id"] for row in tuned.trials} & {row["run_id"] for row in tuned.rows}
    for row in tuned.trials:
        curve = tuned.folder.store.run_record("student", row["run_id"]).curve
        assert row["val_score"] == curve[-1].val_accuracy


def test_no_test_set_is_evaluated_in_tuning(tuned: Tuned) -> None:
    for row in tuned.trials:
        record = tuned.folder.store.run_record("student", row["run_id"])
        assert record.accuracy == record.tested == {}
        logits = load_logits(tuned.folder.store.folder("student", row["run_id"]) / LOGITS)
        assert {name.split(".")[0] for name in logits} == {"val"}


def test_trial_and_tuned_run_can_be_reproduced(tuned: Tuned) -> None:
    for row in (tuned.trials[-1], tuned.rows[-1]):
        comparison = reproduce(tuned.folder, row["run_id"], "cpu")
        assert comparison.agrees
        assert comparison.difference == 0.0


def test_resumed_study_that_is_finished_does_nothing(tuned: Tuned) -> None:
    before = states_of(tuned.folder)
    again = run(tuned.folder.path)
    assert states_of(tuned.folder) == before
    assert numbers(again.rows) == numbers(tuned.rows)
    assert again.trials == tuned.trials


def test_status_and_outcome_count_trials(tuned: Tuned) -> None:
    status = study_status(tuned.folder.path)
    assert status.as_dict()["tuning"] == {"done": 8, "runs": 8, "chosen": True}
    assert status.share_done == 1.0
    assert outcome(tuned.folder).done == 16
    assert outcome(tuned.folder).complete


# -- interruptions -------------------------------------------------------------------------------------------


def half_of_the_trials(folder: StudyFolder) -> None:
    left = iter(range(5))
    work(folder, "cpu", stop=lambda: next(left, None) is None)


def between_the_stages(folder: StudyFolder) -> None:
    run_open(folder)
    status = study_status(folder.path)
    assert status.tuning is not None
    assert status.tuning.text == "tuning 8 of 8 runs"


def chosen_but_not_run(folder: StudyFolder) -> None:
    run_open(folder)
    assert choose_settings(folder)
    assert choose_settings(folder)  # by another process, at the same time


@pytest.mark.parametrize("interrupted", [half_of_the_trials, between_the_stages, chosen_but_not_run])
def test_interrupted_study_ends_the_same(interrupted: Any, tuned: Tuned, tmp_path: Path) -> None:
    folder = begin(tmp_path / "dir")
    interrupted(folder)
    conclude(folder)  # a report of what has run so far
    again = run(tmp_path / "dir")
    assert numbers(again.rows) == numbers(tuned.rows)
    assert again.effects == tuned.effects
    assert again.trials == tuned.trials
    assert states_of(again.folder) == states_of(tuned.folder)


def test_labels_of_test_examples_cannot_influence_the_choice(tuned: Tuned, tmp_path: Path) -> None:
    folder = begin(tmp_path / "dir")
    file = folder.store.folder("data", folder.dataset.digest) / "eval.test.npz"
    held = dict(np.load(file))
    before = held["labels"].copy()
    held["labels"] = np.roll(before, len(before) // 2)
    assert (held["labels"] != before).any()
    forget_digests(file.parent)
    np.savez(file, **held)
    folder = StudyFolder.open(folder.path)
    run_open(folder)
    assert choose_settings(folder)
    assert folder.tuning == tuned.folder.tuning


# -- failures ------------------------------------------------------------------------------------------------


def test_trial_that_diverges_is_a_result_and_not_chosen(tmp_path: Path) -> None:
    ended = run(
        tmp_path / "dir", tune={"lr": [1e30], "budget": 2, "seeds": 1}, recipe={"lr": 0.05, "steps": 3}
    )
    diverged = [row for row in ended.trials if row["lr"] == 1e30]
    assert {(row["status"], row["val_score"], row["chosen"]) for row in diverged} == {("failed", None, False)}
    assert {row["tuned_lr"] for row in ended.rows if row["setting"] == "tuned"} == {0.05}
    found = outcome(ended.folder)
    assert found.complete
    assert (found.failed, found.failures) == (0, ())
    # The default setting was chosen, and its runs are those of the default rows.
    runs = {s: [r["run_id"] for r in ended.rows if r["setting"] == s] for s in ("default", "tuned")}
    assert runs["default"] == runs["tuned"]


def test_group_with_a_failed_trial_waits_until_it_is_tried_again(tuned: Tuned, tmp_path: Path) -> None:
    folder = begin(tmp_path / "dir")
    record = folder.tuning
    assert record is not None
    broken = next(trial.run for trial in record.trials if trial.method == "kd")
    assert broken is not None
    with folder.ledger() as ledger:
        ledger.fail(broken, "RuntimeError: out of memory")
    ended = run(tmp_path / "dir")
    assert {row["method"] for row in ended.rows if row["setting"] == "tuned"} == {"ce"}
    assert [failure.id for failure in outcome(ended.folder).failures] == [broken]
    with ended.folder.ledger() as ledger:
        ledger.retry_failed()
    again = run(tmp_path / "dir")
    assert numbers(again.rows) == numbers(tuned.rows)


# -- with sequential stopping, and for the whole study -------------------------------------------------------


def test_sequential_stopping_follows_tuning(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "methods": ["ce", {"label_smoothing": {"smoothing": 0.0}}],
        "seeds": {"min": 5, "max": 6, "stop": "decided"},
        "recipe": {"steps": 2, "lr": BAD},
        "tune": {"lr": [GOOD], "budget": 2, "seeds": 1, "default_runs": False},
    }
    ended = run(tmp_path / "dir", **changes)
    assert {row["setting"] for row in ended.rows} == {"tuned"}
    # Label smoothing by 0 is plain training: equivalent at the first look.
    states = {(row["method"], row["seed"] < 5): row["status"] for row in ended.rows}
    assert set(states.values()) <= {JobState.DONE, JobState.SPARED}
    assert {state for (_, first), state in states.items() if first} == {JobState.DONE}
    assert {row["verdict"] for row in ended.effects if row["metric"] == "accuracy"} <= {
        "equivalent",
        "undecided",
    }
    with ended.folder.ledger() as ledger:
        assert ledger.tally()["student"].get(JobState.HELD, 0) == 0


def test_one_setting_serves_all_conditions_of_the_study(tmp_path: Path) -> None:
    tune = {"lr": [GOOD], "budget": 2, "seeds": 1, "per": "study", "default_runs": False}
    ended = run(tmp_path / "dir", factors={"size": [8, 12]}, seeds=1, tune=tune)
    assert len(ended.trials) == 2 * 2 * 2  # methods, settings and conditions
    assert {(row["factor.size"], row["tuned_lr"]) for row in ended.rows} == {(8.0, GOOD), (12.0, GOOD)}
    assert json.loads(ended.rows[0]["tuned_keys"]) == {}


def test_the_first_seeds_are_compared_and_others_can_follow(tmp_path: Path) -> None:
    folder = begin(tmp_path, seeds=[4, 7, 9], evidence={"probes": 0})
    run_open(folder)
    seeds: list[set[int]] = []
    for wanted in (1, 2, 1, None):
        assert choose_settings(folder, wanted) == (wanted is None or wanted > len(seeds[-1] if seeds else ()))
        run_open(folder)
        with folder.ledger() as ledger:
            seeds.append({cell.seed for cell in ledger.cells() if cell.setting == "tuned"})
    assert seeds == [{4}, {4, 7}, {4, 7}, {4, 7, 9}]
    assert not choose_settings(folder)


# -- students that start from the study's teacher ------------------------------------------------------------


FROM_TEACHER: dict[str, Any] = {
    "students": ["convnet3", {"model": "convnet3", "start": "teacher", "name": "begun"}],
    "teacher": {"model": "convnet3", "provenance": "full", "recipe": {"steps": 20, "lr": 0.05}},
}


def test_every_trial_of_a_student_that_starts_from_the_teacher_starts_there() -> None:
    spec = parse_study(tuned_study(**FROM_TEACHER), Path.cwd(), "study.yaml")
    made = make_plan(spec, load_dataset(spec.source()), CPU)
    begun = [trial for trial in made.trials if trial.student == "begun"]
    assert {(trial.method, trial.number) for trial in begun} == {(m, n) for m in ("ce", "kd") for n in (0, 1)}
    for trial in made.trials:
        job = made.jobs[str(trial.run)]
        assert isinstance(job, StudentJob)
        assert (job.start is not None) == (trial.student == "begun")
        if isinstance(job.start, RunStart):
            assert made.jobs[job.start.job].kind == "teacher" and job.start.job in job.needs


def test_students_that_start_from_the_teacher_are_compared_from_there(tmp_path: Path) -> None:
    found = run(tmp_path / "dir", **FROM_TEACHER)
    assert {row["status"] for row in found.rows} == {"done"}
    starts = set()
    for row in found.rows:
        job = found.folder.job(row["run_id"])
        assert isinstance(job, StudentJob)
        if row["student"] == "begun":
            assert isinstance(job.start, RunStart) and job.start.kind == "teacher"
            starts.add((row["seed"], job.start.job))
    assert len(starts) == 2, "the plain student, the distilled one, and all settings start from one teacher"
    gains = [row for row in found.effects if row["student"] == "begun" and row["metric"] == "accuracy"]
    assert [row["setting"] for row in gains] == ["default", "tuned"]
    assert {row["n_pairs"] for row in gains} == {2}
