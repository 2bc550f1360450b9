"""Sequential stopping: later seeds run only where they are needed, whatever interrupts the study."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distillab.api import Study, conclude
from distillab.errors import RequestError
from distillab.evidence import stopping
from distillab.evidence.measurements import Measurements
from distillab.evidence.results import write_tables
from distillab.evidence.schema import read_rows
from distillab.evidence.stopping import interim_analysis
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.job import Job
from distillab.study.ledger import Ledger
from distillab.study.planning.outline import make_plan
from distillab.study.planning.summary import summarize_plan
from distillab.study.running import outcome, run_jobs
from distillab.study.running.worker import work
from distillab.study.status import study_status
from support.jobs import make_job
from support.ledgers import states_by_id
from support.studies import CPU, check_share, numbers, run_here, spec, states_of, study

# Label smoothing by 0 is plain training: its gain is 0 at every seed, equivalent at the first look.
SAME, OTHER = "label_smoothing(smoothing=0)", "label_smoothing(smoothing=0.9)"
CHANGES: dict[str, Any] = {
    "teacher": {"provenance": "same"},
    "methods": ["ce", {"label_smoothing": {"smoothing": 0.0}}, {"label_smoothing": {"smoothing": 0.9}}],
    "factors": {"size": [5]},
    "seeds": {"min": 5, "max": 7, "stop": "decided"},
    "evidence": {"margin": 0.01, "probes": 0},
}


@dataclass(frozen=True)
class Stopped:
    """A finished study and what it left."""

    folder: StudyFolder
    rows: list[dict[str, Any]]
    effects: list[dict[str, Any]]

    @classmethod
    def of(cls, folder: StudyFolder) -> Stopped:
        return cls(folder, read_rows(folder.results_file), read_rows(folder.effects_file))

    def states(self) -> dict[str, str]:
        with self.folder.ledger() as ledger:
            return states_by_id(ledger)


def run(out: Path, **changes: Any) -> Stopped:
    ended = Study(**study(**CHANGES | changes)).run(out, executor="inline", device="cpu")
    return Stopped.of(ended.folder)


def begin(out: Path, **changes: Any) -> StudyFolder:
    return StudyFolder.begin(out, spec(**CHANGES | changes), CPU)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    return run(tmp_path_factory.mktemp("stopped") / "dir")


# -- the request ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ({"min": 4, "max": 9, "stop": "decided"}, "seeds.min: 4 is not accepted (allowed: at least 5)"),
        ({"min": 5, "max": 5, "stop": "decided"}, "max must be greater than min: 5 and 5"),
        ({"min": 5, "max": 9, "stop": "never"}, "stop: 'never' is not accepted (allowed: 'decided')"),
        ({"min": 5, "max": 9}, "key 'stop' is missing"),
        ({"min": 5, "mxa": 9, "stop": "decided"}, "unknown key 'mxa', did you mean 'max'?"),
        ({"min": "few", "max": 9, "stop": "decided"}, "min: 'few' is not accepted (allowed: a whole number)"),
    ],
)
def test_invalid_range_is_one_line_of_error(seeds: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as error:
        spec(seeds=seeds)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("least", [5, 6, 9])
@pytest.mark.parametrize("more", [1, 2, 4, 15, 40])
def test_looks_rise_from_min_to_max(least: int, more: int) -> None:
    looks = spec(seeds={"min": least, "max": least + more, "stop": "decided"}).looks
    assert (looks[0], looks[-1]) == (least, least + more)
    assert len(looks) == min(5, more + 1)
    assert list(looks) == sorted(set(looks))


def test_study_with_a_range_can_be_written_and_read_again() -> None:
    first = spec(**CHANGES)
    again = spec(**CHANGES | {"seeds": first.canonical()["seeds"]})
    assert first.canonical()["seeds"] == CHANGES["seeds"]
    assert again.identity == first.identity != spec(**CHANGES | {"seeds": 7}).identity
    assert spec(seeds=3).canonical()["seeds"] == [0, 1, 2]


def test_range_plans_the_runs_of_its_maximum() -> None:
    plans = [
        make_plan(each, load_dataset(each.source()), CPU)
        for each in (spec(**CHANGES), spec(**CHANGES | {"seeds": 7}))
    ]
    assert list(plans[0].jobs) == list(plans[1].jobs)


def test_plan_shows_its_least_and_its_most_cost(stopped: Stopped) -> None:
    planned, dataset = stopped.folder.spec, stopped.folder.dataset
    seen = summarize_plan(planned, dataset, make_plan(planned, dataset, CPU), CPU)
    assert (seen.looks, seen.runs["student"], seen.least_students) == ((5, 6, 7), 21, 15)
    assert seen.least_seconds == pytest.approx(5 / 7 * sum(seen.seconds.values()))


# -- an undisturbed study ------------------------------------------------------------------------------------


def test_decided_method_gets_no_further_seeds_and_the_other_goes_on(stopped: Stopped) -> None:
    seeds: dict[tuple[str, str], list[int]] = {}
    for row in stopped.rows:
        seeds.setdefault((row["method"], row["status"]), []).append(row["seed"])
    assert seeds == {
        ("ce", "done"): [0, 1, 2, 3, 4, 5, 6],
        (SAME, "done"): [0, 1, 2, 3, 4],
        (SAME, "spared"): [5, 6],
        (OTHER, "done"): [0, 1, 2, 3, 4, 5, 6],
    }
    effects = {row["method"]: row for row in stopped.effects if row["metric"] == "accuracy"}
    same, other = effects[SAME], effects[OTHER]
    assert (same["n_pairs"], same["look"], same["verdict"]) == (5, 1, "equivalent")
    assert (other["n_pairs"], other["look"]) == (7, 3)
    levels = {look.number: look.confidence for look in stopping.looks_of(stopped.folder)}
    assert all(row["confidence"] == levels[row["look"]] > 0.95 for row in stopped.effects)


def test_spared_runs_never_run_and_have_no_numbers(stopped: Stopped) -> None:
    spared = [row for row in stopped.rows if row["status"] == "spared"]
    assert len(spared) == 2
    for row in spared:
        assert row["accuracy"] is None
        assert not stopped.folder.store.has("student", row["run_id"])


def test_all_metrics_use_the_pairs_of_the_deciding_look(stopped: Stopped) -> None:
    accuracy = [row for row in stopped.effects if row["metric"] == "accuracy"]
    pairs = {row["method"]: (row["n_pairs"], row["look"]) for row in accuracy}
    measured = [row for row in stopped.effects if row["n_pairs"]]
    assert len(measured) > len(pairs)
    assert all((row["n_pairs"], row["look"]) == pairs[row["method"]] for row in measured)


def test_runs_equal_those_of_a_study_with_fixed_seeds(stopped: Stopped, tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path / "dir", spec(**CHANGES | {"seeds": 7}), CPU)
    fixed = {row["run_id"]: row for row in numbers(run_here(folder))}
    done = [row for row in numbers(stopped.rows) if row["status"] == "done"]
    assert done == [fixed[row["run_id"]] for row in done]
    assert not {"look", "confidence"} & set(read_rows(folder.effects_file)[0])


def test_outcome_status_and_report_count_spared_runs(stopped: Stopped) -> None:
    ended = outcome(stopped.folder)
    assert (ended.done, ended.spared, ended.held, ended.open, ended.failed) == (19, 2, 0, 0, 0)
    status = study_status(stopped.folder.path)
    assert status.share_done == 1.0
    assert status.jobs["student"] == {"done": 19, "spared": 2}
    page = stopped.folder.report_file.read_text()
    assert "Seeds saved: <b>2 of 14</b>" in page
    assert "<b>2 of 21</b> student runs were not needed" in page


def test_only_the_first_look_runs_if_it_decides_everything(tmp_path: Path) -> None:
    ended = run(tmp_path / "dir", evidence={"margin": 0.9}, methods=["ce", "kd"])
    assert {row["status"] for row in ended.rows if row["seed"] < 5} == {"done"}
    assert {row["status"] for row in ended.rows if row["seed"] >= 5} == {"spared"}
    # Teachers and their outputs of the later seeds are spared with the students.
    assert sorted(set(ended.states().values())) == ["done", "spared"]
    with ended.folder.ledger() as ledger:
        assert ledger.tally()["teacher"] == {"done": 5, "spared": 2}


# -- interruptions -------------------------------------------------------------------------------------------


def first_look(folder: StudyFolder) -> None:
    run_jobs(folder, executor="inline", workers=1, device="cpu", on_progress=check_share)


def half_of_the_first(folder: StudyFolder) -> None:
    left = iter(range(6))
    work(folder, "cpu", stop=lambda: next(left, None) is None)


def look_without_runs(folder: StudyFolder) -> None:
    first_look(folder)
    assert interim_analysis(folder)


def half_of_the_second(folder: StudyFolder) -> None:
    look_without_runs(folder)
    left = iter(range(2))
    work(folder, "cpu", stop=lambda: next(left, None) is None)


@pytest.mark.parametrize("interrupted", [first_look, look_without_runs, half_of_the_second])
def test_interrupted_study_ends_the_same(interrupted: Any, stopped: Stopped, tmp_path: Path) -> None:
    interrupted(begin(tmp_path / "dir"))
    again = run(tmp_path / "dir")
    assert numbers(again.rows) == numbers(stopped.rows)
    assert again.effects == stopped.effects
    assert again.states() == stopped.states()


def test_nothing_is_decided_before_the_first_look(tmp_path: Path) -> None:
    folder = begin(tmp_path / "dir")
    half_of_the_first(folder)
    ended = conclude(folder)
    assert {row["verdict"] for row in ended.tables.effects} == {"undecided"}
    assert {row["look"] for row in ended.tables.effects} == {None}
    assert ended.outcome.held == 6
    assert "not finished" in folder.report_file.read_text()


def test_analysis_with_open_jobs_or_repeated_changes_nothing(tmp_path: Path) -> None:
    folder = begin(tmp_path / "dir")
    before = states_of(folder)
    assert interim_analysis(folder)
    assert states_of(folder) == before
    first_look(folder)
    assert interim_analysis(folder)
    after = states_of(folder)
    assert interim_analysis(folder)
    assert states_of(folder) == after != before
    assert {"held", "spared", "queued", "done"} == set(after.values())


def test_later_of_two_simultaneous_analyses_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one read the results before the faster one finished the study."""
    folder = begin(tmp_path / "dir")
    first_look(folder)
    real = stopping.runs_needed
    ended: list[dict[str, str]] = []

    def overtaken(*args: Any) -> tuple[set[str], set[str]]:
        needed = real(*args)
        monkeypatch.setattr(stopping, "runs_needed", real)
        while interim_analysis(folder):
            first_look(folder)
        ended.append(states_of(folder))
        return needed

    monkeypatch.setattr(stopping, "runs_needed", overtaken)
    assert not interim_analysis(folder)
    assert states_of(folder) == ended[0]


def test_narrower_margin_queues_spared_runs_again(stopped: Stopped, tmp_path: Path) -> None:
    shutil.copytree(stopped.folder.path, tmp_path / "dir")
    again = run(tmp_path / "dir", evidence={"margin": 0.0})
    assert {row["status"] for row in again.rows} == {"done"}


# -- failures ------------------------------------------------------------------------------------------------


def job(name: str, *needs: str) -> Job:
    return make_job(name, *needs, cost=1.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "ledger.sqlite") as made:
        made.create(
            {}, [job("teacher"), job("a", "teacher"), job("b", "teacher"), job("c")], [], [], first=["a"]
        )
        yield made


def test_jobs_that_the_first_runs_do_not_need_are_held(ledger: Ledger) -> None:
    assert states_by_id(ledger) == {"teacher": "queued", "a": "queued", "b": "held", "c": "held"}
    assert ledger.tally()["student"] == {"queued": 2, "held": 2}
    assert [each.id for each in ledger.claim()] == ["teacher"]
    ledger.done("teacher", 1.0)
    assert [each.id for each in ledger.claim()] == ["a"]
    assert ledger.admit(["b", "c"], ["b", "c"]) == 1  # another worker is still busy
    assert states_by_id(ledger)["b"] == "held"
    ledger.done("a", 1.0)
    assert ledger.claim() == []
    assert ledger.admit(["b"], ["b"]) == 1
    assert states_by_id(ledger) == {"teacher": "done", "a": "done", "b": "queued", "c": "spared"}
    assert ledger.progress() == (2.0, 3.0)  # spared jobs are no work
    assert [each.id for each in ledger.claim()] == ["b"]


def test_held_run_of_a_failed_teacher_fails_at_its_look_and_can_be_retried(ledger: Ledger) -> None:
    ledger.fail("teacher", "it broke")
    assert states_by_id(ledger) == {"teacher": "failed", "a": "failed", "b": "held", "c": "held"}
    assert ledger.admit(["b"], ["b", "c"]) == 0
    assert ledger.states()["b"][0] == "failed"
    assert "teacher, which failed: it broke" in str(ledger.states()["b"][2])
    assert states_by_id(ledger)["c"] == "held"
    assert ledger.retry_failed() == 3
    for name in ("teacher", "a", "b"):
        assert [each.id for each in ledger.claim()] == [name]
        ledger.done(name, 1.0)


def test_study_whose_runs_all_fail_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("no teacher today")

    monkeypatch.setattr("distillab.study.running.job_runner.train_teacher", broken)
    ended = run(tmp_path / "dir", teacher={"provenance": "full"}, methods=["ce", "kd"])
    by_method = {(row["method"], row["status"]) for row in ended.rows}
    assert {pair for pair in by_method if pair[0] == "kd"} == {("kd", "failed")}
    assert ("ce", "done") in by_method
    assert outcome(ended.folder).open == outcome(ended.folder).held == 0


def test_tables_written_again_are_the_same(stopped: Stopped) -> None:
    tables = write_tables(stopped.folder)
    assert read_rows(stopped.folder.effects_file) == stopped.effects
    assert [row["status"] for row in tables.results] == [row["status"] for row in stopped.rows]
    assert len(Measurements(stopped.folder).rows()) == len(stopped.rows)
