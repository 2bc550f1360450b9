"""Running a study: what is done is not done again, what fails is kept, and the tables tell."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from distillab import cli
from distillab.artefacts import load_logits
from distillab.errors import DiskFullError, RequestError
from distillab.evidence.results import Measurements, write_tables
from distillab.factors import Manipulation, Size
from distillab.models import InputSpec, build_model
from distillab.report.collect.study import collect
from distillab.report.page.page import _run_counts
from distillab.study.folder import StudyFolder
from distillab.study.ledger.ledger import Job, Ledger
from distillab.study.planning.plan import make_plan
from distillab.study.planning.summary import summarize_plan
from distillab.study.running import job_runner as jobs
from distillab.study.running import worker
from distillab.study.running.job_runner import JobRunner
from distillab.study.running.reproduce import reproduce
from distillab.study.running.run import outcome
from distillab.study.running.worker import work
from distillab.study.status import standing
from distillab.study.store import Store
from support.studies import CPU, Undisturbed, artefacts, numbers, rows_of, run_here, spec, write_study


def begun(path: Path, **changes: Any) -> StudyFolder:
    return StudyFolder.begin(path / "dir", spec(path, **changes), CPU)


def states(folder: StudyFolder) -> dict[str, str]:
    with folder.ledger() as ledger:
        return {name: state for name, (state, _, _) in ledger.states().items()}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs that are really begun while the test runs."""
    tried: list[str] = []
    real = JobRunner.make

    def spy(self: JobRunner, jobs: list[Job], drafts: Path) -> Any:
        tried.extend(job.id for job in jobs)
        return real(self, jobs, drafts)

    monkeypatch.setattr(JobRunner, "make", spy)
    return tried


# -- an undisturbed study ------------------------------------------------------------------------------------


def test_every_cell_of_the_design_is_a_row_in_planned_order(undisturbed: Undisturbed) -> None:
    with undisturbed.folder.ledger() as ledger:
        cells = ledger.cells()
    assert len(undisturbed.rows) == len(cells) == 16
    for row, cell in zip(undisturbed.rows, cells, strict=True):
        assert row["status"] == "done"
        assert row["run_id"] == cell.run_id
        assert row["factor.size"] == cell.levels["size"]
        assert all(row[name] == getattr(cell, name) for name in ("provenance", "method", "seed", "student"))
        assert row["n_train"] == 4 * cell.levels["size"]
        assert 0 <= row["accuracy"] <= 1
        assert row["train_seconds"] > 0


def test_a_row_says_what_the_stored_logits_say(undisturbed: Undisturbed) -> None:
    folder = undisturbed.folder
    test = folder.dataset.eval["test"]
    with folder.ledger() as ledger:
        cells = ledger.cells()
    for row, cell in zip(undisturbed.rows, cells, strict=True):
        student = load_logits(folder.store.folder("student", cell.run_id) / "logits.safetensors")
        said = load_logits(folder.store.folder("outputs", str(cell.outputs)) / "logits.safetensors")["test"]
        record = folder.store.run_record("student", cell.run_id)
        last, chosen = (student[f"test.{which}"].argmax(1) for which in ("last", "selected"))
        assert row["accuracy"] == pytest.approx((last == test.labels).mean())
        assert row["accuracy_selected"] == pytest.approx((chosen == test.labels).mean())
        assert row["agreement"] == pytest.approx((last == said.argmax(1)).mean())
        assert row["teacher_accuracy"] == pytest.approx((said.argmax(1) == test.labels).mean())
        teacher = folder.store.run_record("teacher", str(cell.teacher_run))
        assert row["teacher_accuracy"] == pytest.approx(teacher.accuracy["test"])
        assert (row["params"], row["macs"], row["epochs"]) == (record.params, record.macs, record.epochs)
        assert row["n_test"] == len(test)


def test_a_plain_run_stands_under_every_provenance_with_the_same_numbers(undisturbed: Undisturbed) -> None:
    plain = [row for row in undisturbed.rows if row["method"] == "ce"]
    by_run: dict[str, list[Any]] = {}
    for row in plain:
        by_run.setdefault(row["run_id"], []).append((row["accuracy"], row["nll"], row["ece"]))
    assert len(by_run) == 4
    assert all(len(found) == 2 and found[0] == found[1] for found in by_run.values())


def test_class_accuracies_are_those_of_the_last_weights(undisturbed: Undisturbed) -> None:
    measured = Measurements(undisturbed.folder)
    test = undisturbed.folder.dataset.eval["test"]
    for cell, row in zip(measured.cells, undisturbed.rows, strict=True):
        accuracies = measured.per_class(cell)
        assert accuracies is not None
        assert [count for _, count in accuracies.values()] == test.counts.tolist()
        shares = [accuracy for accuracy, _ in accuracies.values()]
        assert np.average(shares, weights=test.counts) == pytest.approx(row["accuracy"])


def test_the_outcome_and_the_standing_are_told(undisturbed: Undisturbed) -> None:
    ended = outcome(undisturbed.folder)
    assert (ended.done, ended.failed, ended.excluded, ended.open, ended.failures) == (12, 0, 0, 0, ())
    told = standing(undisturbed.folder.path)
    assert told["share_done"] == 1
    assert told["jobs"] == {"teacher": {"done": 5}, "outputs": {"done": 8}, "student": {"done": 12}}
    assert told["failures"] == []


def test_students_are_tested_on_the_sets_of_their_condition_and_teachers_on_those_that_were_read(
    tmp_path: Path,
) -> None:
    factors = {"size": {"levels": [5], "roles": ["val", "eval"]}}
    folder = begun(tmp_path, factors=factors, seeds=1, teacher={"provenance": "full"})
    rows = run_here(folder)
    assert [row["n_test"] for row in rows] == [20, 20]
    with folder.ledger() as ledger:
        cell = ledger.cells()[-1]
    store, dataset = folder.store, folder.dataset
    shapes = {
        kind: len(
            next(iter(load_logits(store.folder(kind, getattr(cell, key)) / "logits.safetensors").values()))
        )
        for kind, key in (("student", "run"), ("outputs", "outputs"), ("teacher", "teacher_run"))
    }
    assert shapes == {"student": 20, "outputs": 20, "teacher": len(dataset.eval["test"])}
    # A share of 20 val images is no share of all of them, but for none and all.
    score = store.run_record("teacher", str(cell.teacher_run)).curve[-1].val_accuracy
    assert 0 < score < 1
    assert score * len(dataset.val) == pytest.approx(round(score * len(dataset.val)))
    assert score * 20 != pytest.approx(round(score * 20))


def test_no_draft_is_left(undisturbed: Undisturbed) -> None:
    assert [path for path in (undisturbed.folder.store.root / "drafts").rglob("*") if path.is_file()] == []


def test_a_second_study_gives_the_same_numbers(
    undisturbed: Undisturbed, tmp_path: Path, ran: list[str]
) -> None:
    """Also when the caller's torch has other threads and another random state."""
    threads = torch.get_num_threads()
    torch.manual_seed(99)
    torch.set_num_threads(2)
    try:
        folder = begun(tmp_path, study="the same by another name", notes="as before")
        rows = run_here(folder)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert [row | {"study": "small"} for row in numbers(rows)] == numbers(undisturbed.rows)
    assert sorted(ran) == sorted(states(folder))


# -- again, and further --------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(undisturbed: Undisturbed, ran: list[str]) -> None:
    before = artefacts(undisturbed.folder)
    for executor in ("inline", "processes"):  # which has nothing to start a process for
        again = StudyFolder.begin(undisturbed.folder.path, spec(notes="a later thought"), CPU)
        assert numbers(run_here(again, executor)) == numbers(undisturbed.rows)
    assert ran == []
    assert artefacts(undisturbed.folder) == before
    assert again.spec.notes == "a later thought"


def test_a_folder_of_another_study_is_refused(
    undisturbed: Undisturbed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = undisturbed.folder.study_file.read_text()
    other = write_study(tmp_path / "other.yaml", seeds=3)
    assert cli._main(["run", str(other), "--out", str(undisturbed.folder.path)]) == 2
    told = capsys.readouterr().err
    assert "another study" in told
    assert str(undisturbed.folder.path) in told
    assert len(told.splitlines()) == 1
    assert undisturbed.folder.study_file.read_text() == before


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no study here"):
        StudyFolder.open(tmp_path)


@pytest.mark.parametrize("place", ["a file", "inside a file"])
def test_a_place_that_cannot_hold_a_study_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" if place == "a file" else tmp_path / "file" / "deeper"
    with pytest.raises(RequestError, match="cannot write there"):
        StudyFolder.begin(path, spec(), CPU)
    assert (tmp_path / "file").read_text() == "in the way"


def npz_study(tmp_path: Path, undisturbed: Undisturbed) -> dict[str, Any]:
    train = undisturbed.folder.dataset.train
    np.savez(tmp_path / "images.npz", images=train.images[:200], labels=train.labels[:200])
    return {
        "data": {"source": "npz", "path": "images.npz"},
        "factors": {},
        "seeds": 1,
        "teacher": {"provenance": "full"},
    }


def test_a_study_goes_on_without_its_source(undisturbed: Undisturbed, tmp_path: Path, ran: list[str]) -> None:
    changes = npz_study(tmp_path, undisturbed)
    begun(tmp_path, **changes)
    (tmp_path / "images.npz").unlink()
    rows = run_here(begun(tmp_path, **changes))
    assert [row["status"] for row in rows] == ["done", "done"]
    assert len(ran) == 4


def test_a_study_that_was_killed_before_its_plan_was_written_is_planned_again(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "dir")
    folder.path.mkdir()
    folder._write_study(spec())
    with folder.ledger():
        pass  # an empty ledger, as after a kill between its making and its filling
    begun(tmp_path)
    assert len(states(folder)) == 25


# -- failures ------------------------------------------------------------------------------------------------


def test_a_run_that_diverges_is_kept_as_failed_and_the_study_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ran: list[str]
) -> None:
    methods = ["ce", "kd", {"kd": {"kd_weight": 1e40}}]  # more than float32 holds
    path = write_study(
        tmp_path / "study.yaml", methods=methods, factors={"size": [5]}, teacher={"provenance": "full"}
    )
    command = ["run", str(path), "--out", str(tmp_path / "dir"), "--executor", "inline"]
    assert cli._main(command) == 1
    told = capsys.readouterr()
    assert "4 runs done, 2 failed" in told.out
    assert told.err.count("DivergenceError: the loss is not finite") == 2
    folder = StudyFolder.open(tmp_path / "dir")
    rows = rows_of(folder)
    bad = [row for row in rows if row["method"].startswith("kd(kd_weight=")]
    assert [row["status"] for row in bad] == ["failed", "failed"]
    assert {row["accuracy"] for row in bad} == {None}
    assert {row["status"] for row in rows if row not in bad} == {"done"}
    assert "DivergenceError" in folder.report_file.read_text()
    assert not any(folder.store.has("student", row["run_id"]) for row in bad)

    assert len(ran) == 1 + 2 + 6
    assert cli._main(command) == 1
    assert len(ran) == 9  # a failed run is not tried again by itself ...
    assert cli._main([*command, "--retry-failed"]) == 1
    assert len(ran) == 9 + 2  # ... but when it is asked for
    assert [row["status"] for row in rows_of(folder) if row["method"] != "ce"].count("failed") == 2


def test_what_needs_a_failed_teacher_fails_with_its_cause_and_is_retried_with_it(
    undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path)
    real = jobs.train_teacher

    def broken(draft: Path, model: str, sets: Any, *args: Any, **keys: Any) -> Any:
        if len(sets.train) > 100:  # the one full teacher
            raise RuntimeError("out of luck")
        return real(draft, model, sets, *args, **keys)

    monkeypatch.setattr(jobs, "train_teacher", broken)
    rows = run_here(folder)
    failed = [row for row in rows if row["status"] == "failed"]
    assert [(row["method"], row["provenance"]) for row in failed] == [("kd", "full")] * 4
    with folder.ledger() as ledger:
        errors = {failure.kind: failure.error for failure in ledger.failures()}
        assert errors["teacher"].startswith("RuntimeError: out of luck (test_run.py:")
        assert "which failed: RuntimeError: out of luck" in errors["student"]
        monkeypatch.undo()
        before = artefacts(folder)
        assert ledger.retry_failed() == 9  # the teacher, four outputs, four students
    assert numbers(run_here(folder)) == numbers(undisturbed.rows)
    assert before.items() <= artefacts(folder).items()


def test_weights_that_changed_since_the_plan_fail_the_run(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    save_file(build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8)).state_dict(), weights)
    teacher = {"provenance": "external", "weights": "w.safetensors"}
    folder = begun(tmp_path, teacher=teacher, factors={}, seeds=1)
    save_file(build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8)).state_dict(), weights)
    rows = run_here(folder)
    assert {row["method"]: row["status"] for row in rows} == {"ce": "done", "kd": "failed"}
    with folder.ledger() as ledger:
        assert "does not hold the weights" in ledger.failures()[0].error


def test_an_external_teacher_teaches(tmp_path: Path) -> None:
    save_file(
        build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8)).state_dict(),
        tmp_path / "w.safetensors",
    )
    teacher = {"provenance": ["external", "full"], "weights": "w.safetensors"}
    rows = run_here(begun(tmp_path, teacher=teacher, factors={}, seeds=1))
    assert [row["status"] for row in rows] == ["done"] * 4
    assert len({row["teacher_kl"] for row in rows if row["method"] == "kd"}) == 2


def test_a_run_is_what_its_weights_are_wherever_they_lie(tmp_path: Path) -> None:
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8))
    found = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        save_file(network.state_dict(), tmp_path / place / "w.safetensors")
        folder = begun(
            tmp_path / place,
            teacher={"provenance": "external", "weights": str(tmp_path / place / "w.safetensors")},
            factors={},
            seeds=1,
        )
        found.append([row["run_id"] for row in run_here(folder)])
    assert found[0] == found[1]


def test_classes_are_told_by_their_size_wherever_it_was_asked_how_unequal_they_are(tmp_path: Path) -> None:
    factors = {"imbalance": [1, 2]}
    rows = run_here(begun(tmp_path, factors=factors, teacher={"provenance": "full"}, seeds=1))
    assert [(row["factor.imbalance"], row["tail_accuracy"] is None) for row in rows] == [
        (1, True),
        (1, True),
        (2, False),
        (2, False),
    ]


def test_excluded_cells_are_rows_without_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            Size,
            "check",
            lambda self, before, after: Manipulation("size", "images a class", self.level, 5, 0),
        )
        folder = begun(tmp_path, seeds=1, teacher={"provenance": "full"})
    rows = run_here(folder)
    assert [(row["factor.size"], row["status"]) for row in rows] == [
        (5, "done"),
        (5, "done"),
        (10, "excluded"),
        (10, "excluded"),
    ]
    assert {(row["run_id"], row["accuracy"]) for row in rows[2:]} == {("", None)}
    assert outcome(folder).excluded == 2
    contents = collect(folder, write_tables(folder))
    assert _run_counts(contents)["excluded"] == 2


# -- stops ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stops_after(count: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store raises when it is written to for the (count + 1)-th time."""
    real, written = Store.drafts, []

    @contextlib.contextmanager
    def drafts(self: Store) -> Iterator[Path]:
        written.append(self)
        with real(self) as folder:
            if len(written) > count:
                raise error
            yield folder

    with monkeypatch.context() as patch:
        patch.setattr(Store, "drafts", drafts)
        yield


@pytest.mark.parametrize("count", [0, 11])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), DiskFullError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["full disk", "Ctrl-C"],
)
def test_a_study_that_is_stopped_keeps_what_is_done_and_goes_on(
    undisturbed: Undisturbed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ran: list[str],
    count: int,
    error: BaseException,
    told: type[BaseException],
) -> None:
    folder = begun(tmp_path)
    with stops_after(count, error, monkeypatch), pytest.raises(told):
        run_here(folder)
    ended = list(states(folder).values())
    assert (ended.count("done"), ended.count("queued"), len(ended)) == (count, 25 - count, 25)
    kept = artefacts(folder)
    assert numbers(run_here(folder)) == numbers(undisturbed.rows)
    assert kept.items() <= artefacts(folder).items()
    assert len(ran) == len(set(ran)) == 25
    assert not any((folder.store.root / "drafts").glob("*/*"))


def test_a_ledger_that_finds_the_disk_full_says_so_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: list[str]
) -> None:
    folder = begun(tmp_path, factors={}, seeds=1, methods=["ce"])

    def full(self: Ledger, job: str, seconds: float) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch, pytest.raises(DiskFullError):
        patch.setattr(Ledger, "done", full)
        run_here(folder)
    assert list(states(folder).values()) == ["queued"]
    assert {row["status"] for row in run_here(folder)} == {"done"}
    assert len(ran) == 1  # what was finished is in the store


def test_tables_can_be_written_of_a_study_that_is_half_done(tmp_path: Path) -> None:
    folder = begun(tmp_path, seeds=1)
    left = iter(range(6))
    work(folder, "cpu", stop=lambda: next(left, None) is None)
    write_tables(folder)
    found = [row["status"] for row in rows_of(folder)]
    assert 0 < found.count("done") < 8
    assert found.count("done") + found.count("queued") == 8


def test_a_long_job_keeps_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat is a thread of its own; here it beats as often as it can."""
    folder = begun(tmp_path, factors={}, seeds=1, methods=["ce"])
    beats = threading.Semaphore(0)
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.001)
    beat, make = Ledger.beat, JobRunner.make

    def counted(self: Ledger, job: str) -> None:
        beat(self, job)
        beats.release()

    def slow(self: JobRunner, jobs: list[Job], drafts: Path) -> Any:
        with folder.ledger() as ledger:
            seen = set()
            for _ in range(3):
                assert beats.acquire(timeout=60)
                seen |= set(ledger.db.execute("SELECT heartbeat FROM jobs"))
        assert len(seen) > 1
        return make(self, jobs, drafts)

    monkeypatch.setattr(Ledger, "beat", counted)
    monkeypatch.setattr(JobRunner, "make", slow)
    run_here(folder)
    assert set(states(folder).values()) == {"done"}


def test_a_missed_beat_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(tmp_path, factors={}, seeds=1, methods=["ce"])
    missed = threading.Event()
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.001)
    make = JobRunner.make

    def locked(self: Ledger, job: str) -> None:
        missed.set()
        raise sqlite3.OperationalError("database is locked")

    def slow(self: JobRunner, jobs: list[Job], drafts: Path) -> Any:
        assert missed.wait(timeout=60)
        return make(self, jobs, drafts)

    monkeypatch.setattr(Ledger, "beat", locked)
    monkeypatch.setattr(JobRunner, "make", slow)
    assert {row["status"] for row in run_here(folder)} == {"done"}


# -- looks at a study ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["student", "teacher"])
def test_a_run_can_be_done_again_to_the_bit(undisturbed: Undisturbed, kind: str) -> None:
    with undisturbed.folder.ledger() as ledger:
        name = next(
            (cell.run_id if kind == "student" else str(cell.teacher_run)) for cell in ledger.cells()[2:]
        )
    before = artefacts(undisturbed.folder)
    comparison = reproduce(undisturbed.folder, name, "cpu")
    assert comparison.agrees
    assert comparison.difference == 0
    assert comparison.accuracy_before == comparison.accuracy_now
    assert artefacts(undisturbed.folder) == before


def test_only_trainings_that_have_finished_are_done_again(undisturbed: Undisturbed, tmp_path: Path) -> None:
    with undisturbed.folder.ledger() as ledger:
        outputs = str(ledger.cells()[0].outputs)
    with pytest.raises(RequestError, match="not a training"):
        reproduce(undisturbed.folder, outputs, "cpu")
    with pytest.raises(RequestError, match="no run"):
        reproduce(undisturbed.folder, "nobody", "cpu")
    folder = begun(tmp_path, factors={}, seeds=1)
    with pytest.raises(RequestError, match="has not finished"):
        reproduce(folder, next(iter(states(folder))), "cpu")


def test_a_plan_is_summed_up(undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillab.training.numerics.benchmark.TRIAL_SECONDS", 0.01)
    dataset, asked = undisturbed.folder.dataset, spec(methods=["kd", "self", "random_teacher"])
    seen = summarize_plan(asked, dataset, make_plan(asked, dataset, CPU), CPU)
    assert (seen.conditions, seen.cells, seen.arms, seen.seeds) == (2, 16, 4, 2)
    assert seen.images == {
        "train": len(dataset.train),
        "val": len(dataset.val),
        "test": len(dataset.eval["test"]),
    }
    assert seen.runs["student"] == 4 + 8 + 4 + 4
    assert all(seconds > 0 for seconds in seen.seconds.values())
    assert list(seen.recipes) == [20, 40]
