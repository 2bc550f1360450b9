"""Resuming a study: what is done is not run again, and a stop loses nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab import cli
from distillab.errors import DiskFullError, RequestError
from distillab.evidence.results import write_tables
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Ledger
from distillab.study.running.worker import work
from distillab.study.store import Store
from support.studies import (
    CPU,
    Undisturbed,
    artefacts,
    begin,
    numbers,
    rows_of,
    run_here,
    spec,
    states_of,
    write_study,
)


def test_done_jobs_are_not_run_again(undisturbed: Undisturbed, ran: list[str]) -> None:
    before = artefacts(undisturbed.folder)
    for executor in ("inline", "processes"):
        again = StudyFolder.begin(undisturbed.folder.path, spec(notes="a later thought"), CPU)
        assert numbers(run_here(again, executor)) == numbers(undisturbed.rows)
    assert ran == []
    assert artefacts(undisturbed.folder) == before
    assert again.spec.notes == "a later thought"


def test_folder_of_another_study_is_refused(
    undisturbed: Undisturbed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = undisturbed.folder.study_file.read_text()
    other = write_study(tmp_path / "other.yaml", seeds=3)
    assert cli.execute(["run", str(other), "--out", str(undisturbed.folder.path)]) == 2
    error = capsys.readouterr().err
    assert "another study" in error
    assert str(undisturbed.folder.path) in error
    assert len(error.splitlines()) == 1
    assert undisturbed.folder.study_file.read_text() == before


def test_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no study here"):
        StudyFolder.open(tmp_path)


@pytest.mark.parametrize("place", ["a file", "inside a file"])
def test_unwritable_place_is_refused(tmp_path: Path, place: str) -> None:
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


def test_study_resumes_without_its_source(undisturbed: Undisturbed, tmp_path: Path, ran: list[str]) -> None:
    changes = npz_study(tmp_path, undisturbed)
    begin(tmp_path, **changes)
    (tmp_path / "images.npz").unlink()
    rows = run_here(begin(tmp_path, **changes))
    assert [row["status"] for row in rows] == ["done", "done"]
    assert len(ran) == 4


def test_study_killed_before_its_plan_was_written_is_planned_again(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "dir")
    folder.path.mkdir()
    write_study(folder.study_file)
    with folder.ledger():
        pass  # an empty ledger, as after a kill between creating and filling it
    begin(tmp_path)
    assert len(states_of(folder)) == 26


@contextlib.contextmanager
def stops_after(count: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the store raise when it is written to for the (count + 1)-th time."""
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
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), DiskFullError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["full disk", "Ctrl-C"],
)
def test_stopped_study_keeps_what_is_done_and_resumes(
    undisturbed: Undisturbed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ran: list[str],
    count: int,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    folder = begin(tmp_path)
    with stops_after(count, error, monkeypatch), pytest.raises(raised):
        run_here(folder)
    ended = list(states_of(folder).values())
    assert (ended.count("done"), ended.count("queued"), len(ended)) == (count, 26 - count, 26)
    kept = artefacts(folder)
    assert numbers(run_here(folder)) == numbers(undisturbed.rows)
    assert kept.items() <= artefacts(folder).items()
    assert len(ran) == len(set(ran)) == 26
    assert not any((folder.store.root / "drafts").glob("*/*"))


def test_full_disk_at_the_ledger_loses_no_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: list[str]
) -> None:
    folder = begin(tmp_path, factors={}, seeds=1, methods=["ce"])

    def full(self: Ledger, job: str, seconds: float) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch, pytest.raises(DiskFullError):
        patch.setattr(Ledger, "done", full)
        run_here(folder)
    assert list(states_of(folder).values()) == ["queued"]
    assert {row["status"] for row in run_here(folder)} == {"done"}
    assert len(ran) == 1  # what was finished is in the store


def test_tables_of_an_unfinished_study_can_be_written(tmp_path: Path) -> None:
    folder = begin(tmp_path, seeds=1)
    left = iter(range(6))
    work(folder, "cpu", stop=lambda: next(left, None) is None)
    write_tables(folder)
    found = [row["status"] for row in rows_of(folder)]
    assert 0 < found.count("done") < 8
    assert found.count("done") + found.count("queued") == 8
