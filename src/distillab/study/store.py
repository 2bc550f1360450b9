"""The store: finished artefacts by content address. What is there is whole; nothing is there by half."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from distillab.artefacts import RECORD, OutputsRecord, RunRecord
from distillab.errors import DiskFullError
from distillab.study.liveness import is_alive

TrainedKind = Literal["teacher", "student"]


@contextlib.contextmanager
def raising_disk_full(place: Path) -> Iterator[None]:
    """Turn the ways in which a full disk shows itself into :class:`DiskFullError`."""
    full = (errno.ENOSPC, errno.EDQUOT)
    try:
        yield
    except OSError as error:
        if error.errno in full:
            raise DiskFullError(f"{place}: no space left on the disk") from error
        raise
    except sqlite3.OperationalError as error:
        if "disk is full" in str(error):
            raise DiskFullError(f"{place}: no space left on the disk") from error
        raise
    except Exception as error:
        # safetensors raises its own error, in whose text the operating system's number stands.
        if f"os error {errno.ENOSPC}" in str(error) or "No space left" in str(error):
            raise DiskFullError(f"{place}: no space left on the disk") from error
        raise


class Store:
    """Folders under ``root``, one an artefact: ``<kind>/<id>/``.

    A folder is filled under a temporary name and renamed when it is complete, so a process killed at any
    moment leaves either the whole artefact or none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.caches = root / "teacher_outputs"
        self._drafts = root / "drafts" / socket.gethostname()

    def folder(self, kind: str, name: str) -> Path:
        return self.root / kind / name

    def has(self, kind: str, name: str) -> bool:
        return self.folder(kind, name).is_dir()

    def run_record(self, kind: TrainedKind, name: str) -> RunRecord:
        """Return the record of a trained teacher or student."""
        return RunRecord.read(self.folder(kind, name))

    def run_records(self, kind: TrainedKind) -> Iterator[RunRecord]:
        """Yield the records of all teachers or students, by id."""
        return (RunRecord.read(folder) for folder in self._recorded(kind))

    def outputs_records(self) -> Iterator[OutputsRecord]:
        """Yield the records of all stored outputs, by id."""
        return (OutputsRecord.read(folder) for folder in self._recorded("outputs"))

    def _recorded(self, kind: str) -> list[Path]:
        return [file.parent for file in sorted((self.root / kind).glob(f"*/{RECORD}"))]

    @contextlib.contextmanager
    def drafts(self) -> Iterator[Path]:
        """A folder for artefacts in the making, which vanishes when the block ends.

        Raises:
            DiskFullError: there is no space left.
        """
        folder = self._drafts / f"{os.getpid()}-{uuid.uuid4().hex}"
        with raising_disk_full(self.root):
            folder.mkdir(parents=True)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self, kind: str, name: str) -> Iterator[Path]:
        """A folder to fill; it becomes the artefact when the block ends well and vanishes otherwise.

        Raises:
            DiskFullError: there is no space left.
        """
        with self.drafts() as drafts:
            draft = drafts / name
            draft.mkdir()
            yield draft
            self.publish(draft, kind, name)

    def publish(self, draft: Path, kind: str, name: str) -> None:
        """Make a complete draft the artefact."""
        final = self.folder(kind, name)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.rename(final)
        except OSError as error:
            # Another worker was first: same id, same content, so theirs serves as well.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    def sweep(self) -> None:
        """Remove drafts that killed processes of this host left behind; those of living ones stay."""
        for draft in self._drafts.glob("*-*"):
            if not is_alive(int(draft.name.split("-")[0])):
                shutil.rmtree(draft, ignore_errors=True)
