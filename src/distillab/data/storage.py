"""Pixels on disk: sets of images that are too large for memory, written once and read by the batch."""

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

from distillab.data.examples import Indices, Pixels
from distillab.errors import RequestError

# Decoded images of more bytes than this are kept in a file; a gigabyte leaves room for everything else.
LARGE = 2**30
DECODING = "decoding"
HEADER = 128  # bytes before the pixels


def cache_folder() -> Path:
    """Where things are kept that can be made again: ``$DISTILLAB_CACHE``, by default the user's cache."""
    if own := os.environ.get("DISTILLAB_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "distillab"


class FilePixels:
    """Pixels in an .npy file, uint8 ``[M, C, H, W]``, of which only what is asked for is read.

    Unlike a memory map it leaves no pages of the file in the memory of the process.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else _read_header_2
            shape, fortran, dtype = read(file)
            self._start = file.tell()
        if len(shape) != 4 or dtype != np.uint8 or fortran:
            raise ValueError(f"{path} does not hold pixels")
        self.path = path
        self.shape: tuple[int, ...] = tuple(shape)
        self._file = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Pixels:
        """The pixels at ``rows``: an int64 array, a slice or a mask, as of an array; a copy."""
        if isinstance(rows, int | np.integer):
            image: Pixels = self._read(np.array([range(len(self))[rows]]))[0]
            return image
        return self._read(np.arange(len(self))[rows])

    def __iter__(self) -> Iterator[Pixels]:
        for start in range(0, len(self), 256):
            yield from self[start : start + 256]

    def __reduce__(self) -> tuple[type[FilePixels], tuple[Path]]:
        return FilePixels, (self.path,)

    def _read(self, rows: Indices) -> Pixels:
        """Neighbours in the file are read at once, and what is asked for twice is read once."""
        wanted, back = np.unique(rows, return_inverse=True)
        out = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        size = int(np.prod(self.shape[1:]))
        begins = np.flatnonzero(np.diff(wanted, prepend=-2) != 1)
        for first, last in pairwise([*begins, len(wanted)]):
            view = out[first:last].reshape(-1).data
            done, place = 0, self._start + int(wanted[first]) * size
            while done < len(view):
                got = os.pread(self._file.fileno(), len(view) - done, place + done)
                if not got:
                    raise OSError(f"{self.path} is cut short: image {int(wanted[first])} is not in it")
                view[done : done + len(got)] = got
                done += len(got)
        return out if np.array_equal(back, np.arange(len(rows))) else out[back]


def _read_header_2(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return np.lib.format.read_array_header_2_0(file)


def open_pixels(path: Path) -> Pixels | FilePixels:
    """Pixels of an .npy file: memory-mapped, or read by the batch if they are too many to be kept."""
    if path.stat().st_size > LARGE:
        return FilePixels(path)
    pixels: Pixels = np.load(path, mmap_mode="r")
    return pixels


def write_pixels(pixels: Any, path: Path) -> None:
    """Write pixels to a new .npy file; those of a file are linked if the disk can do that, else copied."""
    if not isinstance(pixels, FilePixels):
        np.save(path, pixels)
        return
    try:
        os.link(pixels.path, path)
    except OSError:
        shutil.copyfile(pixels.path, path)


class PixelFile:
    """An .npy file that images are appended to, and that goes when nobody reads it any more.

    The room for all of them is taken at once, so that a disk which is too small is told before the work.
    A lock beside the file says that a process needs it: what a killed one left behind is removed by the next.

    Args:
        most: how many images it has room for.
        shape: (channels, height, width) of each.

    Raises:
        RequestError: the disk has no room for it, or the folder cannot be written.
    """

    def __init__(self, most: int, shape: tuple[int, int, int]) -> None:
        folder = cache_folder() / DECODING
        self.shape, self.path, self.count = (
            shape,
            folder / f"{socket.gethostname()}-{uuid.uuid4().hex}.npy",
            0,
        )
        self._size = HEADER + most * math.prod(shape)
        lock = _lock_of(self.path)
        self._gone = weakref.finalize(self, _remove, self.path, lock, os.getpid())
        with self._room_is_needed():
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            lock.acquire(blocking=False)
            self._file = self.path.open("w+b", buffering=0)
            _reserve(self._file.fileno(), self._size, folder)

    def append(self, images: Pixels) -> None:
        """Write images, uint8 ``[M, C, H, W]``, after those that are there."""
        data = np.ascontiguousarray(images).reshape(-1).data
        with self._room_is_needed():
            _write(self._file.fileno(), data, HEADER + self.count * math.prod(self.shape))
        self.count += len(images)

    def done(self) -> FilePixels:
        """What was written, to be read. The file goes with the last reference to it in this process."""
        with self._room_is_needed():
            os.ftruncate(self._file.fileno(), HEADER + self.count * math.prod(self.shape))
            _write(self._file.fileno(), memoryview(_header((self.count, *self.shape))), 0)
            self._file.close()
        pixels = FilePixels(self.path)
        _, _, arguments, _ = self._gone.detach() or (None, None, (), None)
        weakref.finalize(pixels, _remove, *arguments)
        return pixels

    @contextlib.contextmanager
    def _room_is_needed(self) -> Iterator[None]:
        """Say in one line what it means that the file cannot be written, and give its room back."""
        try:
            yield
        except OSError as error:
            self._gone()
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            why = (
                "and the disk has no room for them" if full else f"which cannot be written ({error.strerror})"
            )
            raise RequestError(
                f"decoded, these images need {self._size / 1e9:,.1f} GB, {why}",
                where=str(self.path.parent),
                allowed="DISTILLAB_CACHE=FOLDER on a larger disk, a smaller `resolution`, or fewer images",
            ) from None


def _header(shape: tuple[int, ...]) -> bytes:
    """The header of an .npy file of uint8, as long for any number of images, so that it can come last."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    magic = np.lib.format.magic(1, 0)
    length = HEADER - len(magic) - 2
    return magic + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n"


def _write(file: int, data: memoryview, place: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], place + done)


def _reserve(file: int, size: int, folder: Path) -> None:
    """Take the room on the disk where the system can, and else look whether there is as much."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    elif shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lock_of(path: Path) -> FileLock:
    return FileLock(path.with_suffix(".lock"), thread_local=False)


def _remove(path: Path, lock: FileLock, owner: int) -> None:
    """Remove a file that is no longer needed. A process forked from its owner leaves it alone."""
    if os.getpid() == owner:
        with contextlib.suppress(NotADirectoryError):  # then it was never there
            path.unlink(missing_ok=True)
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind: files whose lock nobody holds.

    Those of other machines that share the folder are left to them: not every network disk shares its locks.
    """
    for path in folder.glob(f"{socket.gethostname()}-*.npy"):
        lock = _lock_of(path)
        try:
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            continue  # somebody reads it, or it is somebody else's
        _remove(path, lock, os.getpid())
