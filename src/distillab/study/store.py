"""The store: finished artifacts by content address, each complete or absent."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from distillab.artefacts import RECORD, OutputsRecord, RunRecord
from distillab.errors import DiskFullError
from distillab.integrity import DIGESTS, DamagedFileError, check_folder, mark_store, write_digests
from distillab.study.liveness import is_alive

TrainedKind = Literal["teacher", "student"]


@contextlib.contextmanager
def raising_disk_full(place: Path) -> Iterator[None]:
    """Raise :class:`DiskFullError` for the various errors that a full disk, or a limit on files, causes.

    Args:
        place: The folder that is written to, for the message.

    Raises:
        DiskFullError: There is no space left, or a file reaches the size that this process may write.

    Example:
        >>> with raising_disk_full(Path("runs")):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        distillab.errors.DiskFullError: runs: no space left on the disk
    """
    try:
        yield
    except Exception as error:
        if why := _why_full(error):
            raise DiskFullError(f"{place}: {why}") from error
        raise


def _why_full(error: Exception) -> str | None:
    """Return how a full disk, or a limit on the size of files, is told; None if it is neither."""
    text = str(error)
    full, limited = "no space left on the disk", "a file reaches the size that is allowed here (`ulimit -f`)"
    if isinstance(error, sqlite3.OperationalError):
        if "disk is full" in text:
            return full
        return limited if "disk I/O error" in text and _size_is_limited() else None
    if isinstance(error, OSError) and error.errno is not None:
        return (
            full
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else limited
            if error.errno == errno.EFBIG
            else None
        )
    if isinstance(error, OSError) and "written" in text:  # numpy does not say why
        return limited if _size_is_limited() else full
    # safetensors raises an error of its own, whose text holds the operating system's error number.
    if f"os error {errno.EFBIG}" in text or "File too large" in text:
        return limited
    return full if f"os error {errno.ENOSPC}" in text or "No space left" in text else None


def _size_is_limited() -> bool:
    """Return whether the size of files is limited for this process."""
    if sys.platform == "win32":
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


class Store:
    """The artifacts of a study: one folder each, ``<kind>/<id>/``.

    A folder is filled under a temporary name, gets the digests of its files, and is renamed when it is
    complete. A process that is killed at any moment leaves either the complete artifact or none.

    Args:
        root: The folder of the store; created when something is written.

    Attributes:
        caches: The folder of the cached teacher outputs.

    Example:
        >>> import tempfile
        >>> store = Store(Path(tempfile.mkdtemp()) / "store")
        >>> with store.writing("student", "8f0c") as draft:
        ...     _ = (draft / "notes.txt").write_text("complete")
        ...     store.has("student", "8f0c")
        False
        >>> store.has("student", "8f0c")
        True
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.caches = root / "teacher_outputs"
        self._drafts = root / "drafts" / socket.gethostname()

    def folder(self, kind: str, name: str) -> Path:
        """Return the folder of an artifact, whether it exists or not."""
        return self.root / kind / name

    def has(self, kind: str, name: str) -> bool:
        """Return True if the store holds an artifact."""
        return self.folder(kind, name).is_dir()

    def is_sound(self, kind: str, name: str) -> bool:
        """Return True if the store holds an artifact whose files are what was written.

        Of one that was written without digests, only the presence is checked.
        """
        try:
            check_folder(self.folder(kind, name))
        except DamagedFileError:
            return False
        return True

    def discard(self, kind: str, name: str) -> None:
        """Remove an artifact, if the store holds it, so that it can be made again."""
        if not self.has(kind, name):
            return
        with self.drafts() as drafts, contextlib.suppress(FileNotFoundError):
            self.folder(kind, name).rename(drafts / name)

    def run_record(self, kind: TrainedKind, name: str) -> RunRecord:
        """Return the record of a trained teacher or student."""
        return RunRecord.read(self.folder(kind, name))

    def names(self, kind: TrainedKind) -> tuple[str, ...]:
        """Return the ids of all trained teachers or students, in order."""
        return tuple(folder.name for folder in self._recorded(kind))

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
        """Yield a folder for unfinished artifacts, which is removed when the block ends.

        Raises:
            DiskFullError: There is no space left.
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
        """Yield a folder to fill. It becomes the artifact when the block ends, and is removed if it raises.

        Raises:
            DiskFullError: There is no space left.
        """
        with self.drafts() as drafts:
            draft = drafts / name
            draft.mkdir()
            yield draft
            self.publish(draft, kind, name)

    def publish(self, draft: Path, kind: str, name: str) -> None:
        """Turn a complete draft into the artifact, with digests of its files unless it has them already."""
        if not (draft / DIGESTS).exists():
            write_digests(draft)
        if not (self.root / DIGESTS).exists() and self._is_empty():
            mark_store(self.root)
        final = self.folder(kind, name)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.rename(final)
        except OSError as error:
            # Another worker was first. Artifacts of one id have the same content.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    def _is_empty(self) -> bool:
        """Return True if there is no artifact yet, so that none was written without digests."""
        return not any(place.parent != self._drafts.parent for place in self.root.glob("*/*"))

    def sweep(self) -> None:
        """Remove the drafts that killed processes of this host left behind, and no others."""
        for draft in self._drafts.glob("*-*"):
            if not is_alive(int(draft.name.split("-")[0])):
                shutil.rmtree(draft, ignore_errors=True)
