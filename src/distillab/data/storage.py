"""Items on disk: arrays that are too large for memory, written once and read batch by batch."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import socket
import uuid
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from distillab.data.examples import Indices, Items
from distillab.errors import RequestError
from distillab.integrity import BlockChecks, check_file, reading
from distillab.machine import cache_folder

LARGE = 2**30
"""Items of more bytes than this are kept in a file; a gigabyte leaves room for everything else."""
DECODING = "decoding"
HEADER = 128  # bytes before the items


class FileItems:
    """Items in an .npy file, ``[M, ...]`` of any dtype, of which only requested rows are read, and checked.

    Unlike a memory map it leaves no pages of the file in the memory of the process.

    Args:
        path: The file.

    Raises:
        DamagedFileError: The file is missing, or its size is not what was written.
        ValueError: The file is no .npy file of items in C order.
    """

    def __init__(self, path: Path) -> None:
        self._checks = BlockChecks(path)
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else _read_header_2
            shape, fortran, dtype = read(file)
            self._start = file.tell()
        if len(shape) < 2 or dtype.hasobject or fortran:
            raise ValueError(f"{path} does not hold items")
        self.path = path
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype: np.dtype[Any] = dtype
        self.ndim = len(self.shape)
        self._file = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Items:
        """Return a copy of the items at ``rows``: an int64 array, a slice or a mask, as of an array."""
        if isinstance(rows, int | np.integer):
            item: Items = self._read(np.array([range(len(self))[rows]]))[0]
            return item
        return self._read(np.arange(len(self))[rows])

    def __iter__(self) -> Iterator[Items]:
        for start in range(0, len(self), 256):
            yield from self[start : start + 256]

    def __reduce__(self) -> tuple[type[FileItems], tuple[Path]]:
        return FileItems, (self.path,)

    def _read(self, rows: Indices) -> Items:
        """Read rows; neighbors in the file are read at once, and repeated rows are read once."""
        wanted, back = np.unique(rows, return_inverse=True)
        out = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        size = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        begins = np.flatnonzero(np.diff(wanted, prepend=-2) != 1)
        for first, last in pairwise([*begins, len(wanted)]):
            view = out[first:last].reshape(-1).view(np.uint8).data
            done, place = 0, self._start + int(wanted[first]) * size
            self._checks.check(self._file.fileno(), place, place + len(view))
            while done < len(view):
                got = os.pread(self._file.fileno(), len(view) - done, place + done)
                if not got:
                    raise OSError(f"{self.path} is cut short: item {int(wanted[first])} is not in it")
                view[done : done + len(got)] = got
                done += len(got)
        return out if np.array_equal(back, np.arange(len(rows))) else out[back]


def _read_header_2(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return np.lib.format.read_array_header_2_0(file)


def open_items(path: Path) -> Items | FileItems:
    """Open the items of an .npy file: memory-mapped, or read batch by batch if they exceed :data:`LARGE`.

    Mapped items are checked now, others where they are read.

    Raises:
        DamagedFileError: The file is missing, unreadable, or not what was written.
    """
    if path.is_file() and path.stat().st_size > LARGE:
        return FileItems(path)
    check_file(path)
    with reading(path):
        items: Items = np.load(path, mmap_mode="r")
    return items


def write_items(items: Any, path: Path) -> None:
    """Write items to a new .npy file; a file of items is linked if the file system can, else copied."""
    if not isinstance(items, FileItems):
        np.save(path, items)
        return
    try:
        os.link(items.path, path)
    except OSError:
        shutil.copyfile(items.path, path)


class ItemFile:
    """An .npy file that items are appended to, removed once nothing refers to it any more.

    Its full size is reserved at once, so that a disk which is too small is reported before the work begins.
    A lock beside the file marks it as used by a process: files left behind by killed processes are removed
    by the next one.

    Args:
        most: Number of items it has room for.
        shape: Shape of one item.
        dtype: Type of the values.

    Raises:
        RequestError: The disk has no room for it, or the folder cannot be written.
    """

    def __init__(self, most: int, shape: tuple[int, ...], dtype: Any = np.uint8) -> None:
        folder = cache_folder() / DECODING
        self.shape, self.dtype, self.count = shape, np.dtype(dtype), 0
        self.path = folder / f"{socket.gethostname()}-{uuid.uuid4().hex}.npy"
        self._each = self.dtype.itemsize * math.prod(shape)
        self._size = HEADER + most * self._each
        lock = _lock_of(self.path)
        self._gone = weakref.finalize(self, _remove, self.path, lock, os.getpid())
        with self._needing_room():
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            lock.acquire(blocking=False)
            self._file = self.path.open("w+b", buffering=0)
            _reserve(self._file.fileno(), self._size, folder)

    def append(self, items: Items) -> None:
        """Append items, ``[M, ...]``."""
        data = np.ascontiguousarray(items, dtype=self.dtype).reshape(-1).view(np.uint8).data
        with self._needing_room():
            _write(self._file.fileno(), data, HEADER + self.count * self._each)
        self.count += len(items)

    def done(self) -> FileItems:
        """Return what was written. The file is removed with the last reference to it in this process."""
        with self._needing_room():
            os.ftruncate(self._file.fileno(), HEADER + self.count * self._each)
            _write(self._file.fileno(), memoryview(_header((self.count, *self.shape), self.dtype)), 0)
            self._file.close()
        items = FileItems(self.path)
        _, _, arguments, _ = self._gone.detach() or (None, None, (), None)
        weakref.finalize(items, _remove, *arguments)
        return items

    @contextlib.contextmanager
    def _needing_room(self) -> Iterator[None]:
        """Explain in one line that the file cannot be written, and free its space."""
        try:
            yield
        except OSError as error:
            self._gone()
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            why = (
                "and the disk has no room for them" if full else f"which cannot be written ({error.strerror})"
            )
            raise RequestError(
                f"decoded, these items need {self._size / 1e9:,.1f} GB, {why}",
                where=str(self.path.parent),
                allowed="DISTILLAB_CACHE=FOLDER on a larger disk, smaller items (`resolution`, `seconds`), or"
                " fewer of them",
            ) from None


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the header of an .npy file: of one length for any number of items, so that it can come last."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    magic = np.lib.format.magic(1, 0)
    length = HEADER - len(magic) - 2
    return magic + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n"


def _write(file: int, data: memoryview, place: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], place + done)


def _reserve(file: int, size: int, folder: Path) -> None:
    """Reserve space on the disk where the system can, and else check that there is as much."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    elif shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lock_of(path: Path) -> FileLock:
    return FileLock(path.with_suffix(".lock"), thread_local=False)


def _remove(path: Path, lock: FileLock, owner: int) -> None:
    """Remove a file that is no longer needed. A process forked from its owner leaves it alone."""
    if os.getpid() == owner:
        with contextlib.suppress(NotADirectoryError):  # the folder was never made
            path.unlink(missing_ok=True)
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove the files of killed processes: those whose lock nobody holds.

    Files of other machines that share the folder are left alone: not every network disk shares its locks.
    """
    for path in folder.glob(f"{socket.gethostname()}-*.npy"):
        lock = _lock_of(path)
        try:
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            continue  # in use, or owned by another user
        _remove(path, lock, os.getpid())
