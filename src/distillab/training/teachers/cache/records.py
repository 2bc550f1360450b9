"""Records by key in append-only files, safe against a kill at any moment and against two writers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from xxhash import xxh3_64_intdigest

from distillab.data.examples import Indices
from distillab.integrity import DamagedFileError
from distillab.training.teachers.cache.format import ArrayFormat

Keys = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint64]
RECORDS_PER_CHECK = 4096


class RecordFiles:
    """Files ``<name>.<array>`` with one row per record, ``<name>.keys`` with its int64 key, and
    ``<name>.digests`` with the uint64 XXH3 digest of both, which is checked whenever a record is read. Files
    of versions without digests are read unverified, and get none.

    A record counts once its key is written, and keys are written after everything else has reached the disk.
    What a killed writer left behind its last key is overwritten by the next. Files are written, never mapped
    for writing: on a full disk that raises OSError, where a map would end the process.

    Args:
        folder: Where the files are.
        name: The first part of their names.
        arrays: The arrays of a record, by name.
    """

    def __init__(self, folder: Path, name: str, arrays: Mapping[str, ArrayFormat]) -> None:
        self.arrays = dict(arrays)
        self._keys = folder / f"{name}.keys"
        self._digests = folder / f"{name}.digests"
        self._files = {array: folder / f"{name}.{array}" for array in arrays}
        self._lock = FileLock(folder / f"{name}.lock")

    @contextmanager
    def locked(self, *, wait: bool) -> Iterator[bool]:
        """Be the only writer, in any process, inside the block.

        The lock of a process is released when it ends, however it ends.

        Args:
            wait: Whether to wait for another writer.

        Yields:
            Whether the lock was acquired.
        """
        try:
            self._lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            self._lock.release()

    def keys(self) -> Keys:
        """Return the keys in the order of the records, int64 ``[n]``."""
        if not self._keys.is_file():
            return np.empty(0, np.int64)
        stored = self._keys.read_bytes()
        return np.frombuffer(stored[: len(stored) // 8 * 8], dtype="<i8").astype(np.int64, copy=False)

    def rows(self, array: str, count: int) -> npt.NDArray[Any]:
        """Return the first ``count`` rows of an array, ``[count, width]``, memory-mapped.

        Raises:
            DamagedFileError: The file is missing or cut short.
        """
        spec, file = self.arrays[array], self._files[array]
        if not file.is_file() or file.stat().st_size < count * spec.bytes:
            raise DamagedFileError(file, "is missing" if not file.exists() else "is cut short")
        return np.memmap(file, dtype=spec.dtype, mode="r", shape=(count, spec.width))

    def digests(self, count: int) -> Digests | None:
        """Return the digests of the first ``count`` records, uint64; None if they were written without.

        Raises:
            DamagedFileError: The file is cut short.
        """
        if not self._digests.is_file():
            return None
        found = np.frombuffer(self._digests.read_bytes()[: count * 8], dtype="<u8")
        if len(found) < count:
            raise DamagedFileError(self._digests, "is cut short")
        return found

    def check(
        self, records: Indices, keys: Keys, arrays: Mapping[str, npt.NDArray[Any]], held: Digests
    ) -> None:
        """Check some records that were read.

        Args:
            records: int64 ``[n]``, their places, for the message.
            keys: int64 ``[n]``.
            arrays: The rows of each array, ``[n, width]``.
            held: uint64 ``[n]``, the digests that they were written with.

        Raises:
            DamagedFileError: A record is not what was written.
        """
        wrong = np.flatnonzero(record_digests(keys, [arrays[name] for name in self.arrays]) != held)
        if len(wrong):
            raise DamagedFileError(self._keys, f"record {records[wrong[0]]} of these is damaged")

    def check_all(self) -> bool:
        """Check every record. Return False if they were written without digests.

        Raises:
            DamagedFileError: A file is missing or cut short, or a record is not what was written.
        """
        keys = self.keys()
        mapped = {name: self.rows(name, len(keys)) for name in self.arrays} if len(keys) else {}
        held = self.digests(len(keys))
        if held is None:
            return not len(keys)
        for start in range(0, len(keys), RECORDS_PER_CHECK):
            some = slice(start, start + RECORDS_PER_CHECK)
            rows = {name: each[some] for name, each in mapped.items()}
            self.check(np.arange(len(keys))[some], keys[some], rows, held[some])
        return True

    def remove(self) -> None:
        """Remove all records; the keys first, so that no killed process leaves keys without records."""
        for file in (self._keys, self._digests, *self._files.values()):
            file.unlink(missing_ok=True)

    def append(self, keys: Keys, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write records at the end. The caller holds the lock.

        Raises:
            OSError: The disk is full.
            ValueError: An array has another shape than its format.
        """
        count = self._keys.stat().st_size // 8 if self._keys.exists() else 0
        stored = []
        for array, spec in self.arrays.items():
            rows = np.ascontiguousarray(arrays[array], dtype=spec.dtype)
            if rows.shape != (len(keys), spec.width):
                raise ValueError(f"{array} has shape {list(rows.shape)}, not {[len(keys), spec.width]}")
            _write_at(self._files[array], count * spec.bytes, rows.tobytes())
            stored.append(rows)
        if not count or self._digests.exists():
            digests = record_digests(keys, stored).astype("<u8")
            _write_at(self._digests, count * 8, digests.tobytes())
        _write_at(self._keys, count * 8, keys.astype("<i8").tobytes())

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        files = (self._keys, self._digests, *self._files.values())
        return sum(file.stat().st_size for file in files if file.exists())


def record_digests(keys: Keys, arrays: Sequence[npt.NDArray[Any]]) -> Digests:
    """Return the digests of records: of the rows of all arrays, beginning with the key as the seed.

    Args:
        keys: int64 ``[n]``.
        arrays: Each ``[n, width]``.

    Returns:
        uint64 ``[n]``.
    """
    digests = keys.astype(np.uint64).tolist()
    for array in arrays:
        digests = [xxh3_64_intdigest(row, seed) for row, seed in zip(array, digests, strict=True)]
    return np.array(digests, dtype=np.uint64)


def _write_at(path: Path, offset: int, content: bytes) -> None:
    """Write, and wait until it is on the disk."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
