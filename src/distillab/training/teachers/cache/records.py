"""Records by key in append-only files, safe against a kill at any moment and against two writers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from distillab.training.teachers.cache.format import ArrayFormat

Keys = npt.NDArray[np.int64]


class RecordFiles:
    """Files ``<name>.<array>`` with one row per record, and ``<name>.keys`` with its int64 key.

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
        if not self._keys.exists():
            return np.empty(0, np.int64)
        stored = self._keys.read_bytes()
        return np.frombuffer(stored[: len(stored) // 8 * 8], dtype="<i8").astype(np.int64, copy=False)

    def rows(self, array: str, count: int) -> npt.NDArray[Any]:
        """Return the first ``count`` rows of an array, ``[count, width]``, memory-mapped."""
        spec = self.arrays[array]
        return np.memmap(self._files[array], dtype=spec.dtype, mode="r", shape=(count, spec.width))

    def append(self, keys: Keys, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write records at the end. The caller holds the lock.

        Raises:
            OSError: The disk is full.
            ValueError: An array has another shape than its format.
        """
        count = self._keys.stat().st_size // 8 if self._keys.exists() else 0
        for array, spec in self.arrays.items():
            rows = np.ascontiguousarray(arrays[array], dtype=spec.dtype)
            if rows.shape != (len(keys), spec.width):
                raise ValueError(f"{array} has shape {list(rows.shape)}, not {[len(keys), spec.width]}")
            _write_at(self._files[array], count * spec.bytes, rows.tobytes())
        _write_at(self._keys, count * 8, keys.astype("<i8").tobytes())

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in (self._keys, *self._files.values()) if file.exists())


def _write_at(path: Path, offset: int, content: bytes) -> None:
    """Write, and wait until it is on the disk."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
