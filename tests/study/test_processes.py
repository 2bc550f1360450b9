"""The processes executor: workers that die are replaced, and jobs that kill them fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab.errors import DiskFullError, WorkerStartError
from distillab.study.folder import StudyFolder
from distillab.study.running.executors.processes import processes
from support import dying_workers
from support.jobs import make_job
from support.studies import check_share, states_of, write_study


def folder_with(path: Path, *names: str) -> StudyFolder:
    folder = StudyFolder(path)
    write_study(folder.study_file)
    with folder.ledger() as ledger:
        ledger.create({}, [make_job(name, cost=1.0) for name in names], [], [])
    return folder


def test_job_that_kills_its_workers_fails_and_others_are_done(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "before", dying_workers.POISON, "after")
    shares: list[float] = []
    body = dying_workers.die_of_poison
    processes(folder, workers=1, device="cpu", on_progress=shares.append, body=body)
    assert states_of(folder) == {"before": "done", dying_workers.POISON: "failed", "after": "done"}
    with folder.ledger() as ledger:
        assert "died 3 times" in ledger.failures()[0].error
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_any_number_of_deadly_jobs_fails_without_ending_the_study(tmp_path: Path) -> None:
    """One student too large for the machine, at every seed."""
    deadly = [f"{dying_workers.POISON} {number}" for number in range(3)]
    folder = folder_with(tmp_path, *deadly, "after")
    body = dying_workers.die_of_poison
    processes(folder, workers=1, device="cpu", on_progress=check_share, body=body, max_restarts=3)
    assert states_of(folder) == dict.fromkeys(deadly, "failed") | {"after": "done"}


@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk_is_reported_however_fast_workers_end(tmp_path: Path, workers: int) -> None:
    folder = folder_with(tmp_path, "one", "two")
    body = dying_workers.find_the_disk_full
    with pytest.raises(DiskFullError, match=str(tmp_path)):
        processes(folder, workers=workers, device="cpu", on_progress=check_share, body=body)
    assert set(states_of(folder).values()) == {"queued"}


def test_workers_that_die_at_once_end_the_study(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "one")
    body = dying_workers.die_at_once
    with pytest.raises(RuntimeError, match="the last exit code was 3"):
        processes(folder, workers=1, device="cpu", on_progress=check_share, body=body, max_restarts=1)
    assert states_of(folder) == {"one": "queued"}


@pytest.mark.parametrize("workers", [1, 2])
def test_same_error_at_three_starts_ends_the_study(tmp_path: Path, workers: int) -> None:
    folder = folder_with(tmp_path, "one", "two")
    body = dying_workers.fail_alike
    with pytest.raises(WorkerStartError) as caught:
        processes(folder, workers=workers, device="cpu", on_progress=check_share, body=body)
    assert "3 times alike: ImportError: no module named 'networks' (dying_workers.py:" in str(caught.value)
    assert "in fail_alike" in caught.value.worker_traceback
    assert states_of(folder) == {"one": "queued", "two": "queued"}


def test_same_exit_code_at_three_starts_ends_the_study(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "one")
    with pytest.raises(WorkerStartError, match="3 times alike: ended with exit code 3"):
        processes(folder, workers=1, device="cpu", on_progress=check_share, body=dying_workers.die_at_once)


def test_different_errors_at_starts_are_tried_longer(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "one")
    body = dying_workers.fail_differently
    with pytest.raises(RuntimeError, match=r"5 workers died; the last had OSError: process \d+ cannot start"):
        processes(folder, workers=1, device="cpu", on_progress=check_share, body=body, max_restarts=4)


def test_study_goes_on_with_the_workers_that_start(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "one", "two", "three")
    body = dying_workers.fail_beside_one_at_work
    processes(folder, workers=2, device="cpu", on_progress=check_share, body=body)
    assert set(states_of(folder).values()) == {"done"}
    assert len((tmp_path / "failed").read_text()) == 3  # and no fourth start


def test_no_process_starts_when_no_job_is_open(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    shares: list[float] = []
    body = dying_workers.die_at_once
    processes(folder, workers=4, device="cpu", on_progress=shares.append, body=body, max_restarts=0)
    assert states_of(folder) == {}
    assert shares == []
