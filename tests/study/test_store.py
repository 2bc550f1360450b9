"""The store: every artifact in it is complete."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from safetensors import SafetensorError

from distillab.artefacts import RunRecord
from distillab.errors import DiskFullError
from distillab.integrity import DIGESTS
from distillab.study.store import Store, TrainedKind

NAME: tuple[TrainedKind, str] = ("student", "0123456789abcdef")
RECORD = RunRecord("resnet8", params=1, macs=1, epochs=1, n_train=1, seconds=0.5, accuracy={"test": 0.5})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(store: Store) -> list[str]:
    """All files under the store, drafts among them, but for the digests of others."""
    found = (path for path in store.root.rglob("*") if path.is_file() and path.name != DIGESTS)
    return sorted(str(path.relative_to(store.root)) for path in found)


def test_artifact_appears_when_it_is_complete(store: Store) -> None:
    with store.writing(*NAME) as draft:
        (draft / "weights").write_text("all of them")
        RECORD.write(draft)
        assert not store.has(*NAME)
    assert store.has(*NAME)
    assert store.run_record(*NAME) == RECORD
    assert files(store) == [
        "student/0123456789abcdef/record.json",
        "student/0123456789abcdef/weights",
    ]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), OSError(errno.EIO, "bad disk")])
def test_failed_write_leaves_nothing(store: Store, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, store.writing(*NAME) as draft:
        (draft / "weights").write_text("half of th")
        raise error
    assert caught.value is error
    assert not store.has(*NAME)
    assert files(store) == []


def test_first_of_two_writers_wins(store: Store) -> None:
    with store.writing(*NAME) as slow:
        (slow / "weights").write_text("same content")
        with store.writing(*NAME) as fast:
            (fast / "weights").write_text("same content")
        written = (store.folder(*NAME) / "weights").stat().st_ino
    assert (store.folder(*NAME) / "weights").stat().st_ino == written
    assert files(store) == ["student/0123456789abcdef/weights"]


def test_many_writers_of_one_artifact_do_not_interfere(store: Store) -> None:
    gate, errors = threading.Barrier(8), []

    def write() -> None:
        try:
            with store.writing(*NAME) as draft:
                (draft / "weights").write_text("same content")
                gate.wait()
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert files(store) == ["student/0123456789abcdef/weights"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_only_drafts_of_killed_writers_are_swept(store: Store) -> None:
    child = os.fork()
    if child == 0:
        with store.writing(*NAME) as draft:
            (draft / "weights").write_text("half of th")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert not store.has(*NAME)
    assert len(files(store)) == 1
    with store.writing(*NAME) as draft:
        (draft / "weights").write_text("all of them")
        store.sweep()
        assert files(store) == [str((draft / "weights").relative_to(store.root))]
    assert files(store) == ["student/0123456789abcdef/weights"]


def test_empty_store_can_be_swept(store: Store) -> None:
    store.sweep()
    assert not store.has(*NAME)


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    SafetensorError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    ),  # as safetensors words it
    SafetensorError("Error while serializing: IoError(Os { code: 28 }) os error 28"),
    sqlite3.OperationalError("database or disk is full"),
    RuntimeError("unable to write: No space left on device"),
]


@pytest.mark.parametrize("error", FULL, ids=[f"{type(error).__name__}-{n}" for n, error in enumerate(FULL)])
def test_full_disk_is_one_error_whatever_raises_it(store: Store, error: Exception) -> None:
    with pytest.raises(DiskFullError, match="no space left") as caught, store.writing(*NAME) as draft:
        (draft / "weights").write_text("half of th")
        raise error
    assert caught.value.__cause__ is error
    assert str(store.root) in str(caught.value)
    assert files(store) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "Permission denied"),
        sqlite3.OperationalError("database is locked"),
        RuntimeError("os error 2"),
    ],
    ids=str,
)
def test_other_errors_are_left_alone(store: Store, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, store.writing(*NAME):
        raise error
    assert caught.value is error
