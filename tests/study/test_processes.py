"""The processes executor, with workers that die."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab.errors import DiskFullError
from distillab.study.folder import StudyFolder
from distillab.study.running.executors import processes as module
from distillab.study.running.executors.processes import processes
from support import dying_workers as doomed
from support.jobs import make_job
from support.studies import silent, write_study


def folder_with(path: Path, *names: str) -> StudyFolder:
    path.mkdir(exist_ok=True)
    folder = StudyFolder(path)
    write_study(folder.study_file)
    with folder.ledger() as ledger:
        ledger.create({}, [make_job(name, cost=1.0) for name in names], [], [])
    return folder


def states(folder: StudyFolder) -> dict[str, str]:
    with folder.ledger() as ledger:
        return {name: state for name, (state, _, _) in ledger.states().items()}


def test_a_job_that_kills_its_workers_is_given_up_and_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_work", doomed.die_of_poison)
    folder = folder_with(tmp_path, "before", doomed.POISON, "after")
    shares: list[float] = []
    processes(folder, workers=1, device="cpu", watch=shares.append)
    assert states(folder) == {"before": "done", doomed.POISON: "failed", "after": "done"}
    with folder.ledger() as ledger:
        assert "died 3 times" in ledger.failures()[0].error
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_jobs_that_kill_are_all_given_up_however_many_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One student too large for the machine, at every seed, does not end the study."""
    monkeypatch.setattr(module, "_work", doomed.die_of_poison)
    monkeypatch.setattr(module, "MOST_RESTARTS", 3)
    deadly = [f"{doomed.POISON} {number}" for number in range(3)]
    folder = folder_with(tmp_path, *deadly, "after")
    processes(folder, workers=1, device="cpu", watch=silent)
    assert states(folder) == dict.fromkeys(deadly, "failed") | {"after": "done"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_told_however_fast_the_workers_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(module, "_work", doomed.find_the_disk_full)
    folder = folder_with(tmp_path, "one", "two")
    with pytest.raises(DiskFullError, match=str(tmp_path)):
        processes(folder, workers=workers, device="cpu", watch=silent)
    assert set(states(folder).values()) == {"queued"}


def test_workers_that_die_whatever_they_do_end_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_work", doomed.die_at_once)
    monkeypatch.setattr(module, "MOST_RESTARTS", 1)
    folder = folder_with(tmp_path, "one")
    with pytest.raises(RuntimeError, match="the last exit code was 3"):
        processes(folder, workers=1, device="cpu", watch=silent)
    assert states(folder) == {"one": "queued"}


def test_no_process_is_started_when_nothing_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoProcesses:
        def Process(self, **_: object) -> None:  # noqa: N802 - the name that multiprocessing gives it
            raise AssertionError("a process was started")

    monkeypatch.setattr(module, "workers_context", NoProcesses)
    with pytest.raises(AssertionError, match="a process was started"):  # the trap works
        processes(folder_with(tmp_path / "some", "one"), workers=4, device="cpu", watch=silent)
    shares: list[float] = []
    folder = folder_with(tmp_path / "none")
    processes(folder, workers=4, device="cpu", watch=shares.append)
    assert states(folder) == {}
    assert shares == []


def test_workers_do_not_pardon_what_another_worker_died_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle worker may find a dead one before their parent does; the job must be blamed all the same."""
    from distillab.study.ledger.ledger import Ledger
    from distillab.study.running import worker

    blamed = []

    class Idle:
        def __init__(self, *_: object) -> None:
            pass

    def reclaim(self: Ledger, *, blame: bool = False) -> int:
        blamed.append(blame)
        self.fail("one", "given up")
        return 1

    folder = folder_with(tmp_path, "one")
    monkeypatch.setattr(worker, "JobRunner", Idle)
    monkeypatch.setattr(Ledger, "claim", lambda self: [])
    monkeypatch.setattr(Ledger, "reclaim", reclaim)
    worker.work(folder, "cpu", stop=lambda: False)
    assert blamed == [True]
