"""Pixels on disk: sets of images that are too large for memory, written once and read by the batch."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.imageset import Indices, Pixels

# Decoded images of more bytes than this are kept in a file; a gigabyte leaves room for everything else.
LARGE = 2**30
DECODING = "decoding"


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
    """An .npy file that is written image by image, in any order, and goes when nobody reads it any more."""

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        folder = cache_folder() / DECODING
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        handle, name = tempfile.mkstemp(".npy", f"{socket.gethostname()}-{os.getpid()}-", folder)
        self.shape, self.path = shape, Path(name)
        with os.fdopen(handle, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            self._start = file.tell()
            file.truncate(self._start + int(np.prod(shape)))
        self._file = self.path.open("r+b", buffering=0)

    def put(self, row: int, pixels: Pixels) -> None:
        """Write one image, uint8 ``[C, H, W]``."""
        data = np.ascontiguousarray(pixels).reshape(-1).data
        place = self._start + row * len(data)
        done = 0
        while done < len(data):
            done += os.pwrite(self._file.fileno(), data[done:], place + done)

    def done(self) -> FilePixels:
        """What was written, to be read. The file goes with the last reference to it in this process."""
        self._file.close()
        pixels = FilePixels(self.path)
        weakref.finalize(pixels, _remove, self.path)
        return pixels


def copied(pixels: FilePixels, kept: npt.NDArray[np.bool_], channels: int) -> FilePixels:
    """The images of a mask, bool ``[M]``, in another file, grey ones in ``channels`` equal channels."""
    rows = np.flatnonzero(kept)
    file = PixelFile((len(rows), channels, *pixels.shape[2:]))  # type: ignore[arg-type]
    for start in range(0, len(rows), 256):
        for place, image in enumerate(pixels[rows[start : start + 256]], start):
            file.put(place, np.broadcast_to(image, (channels, *image.shape[1:])))
    return file.done()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left behind."""
    for path in folder.glob(f"{socket.gethostname()}-*-*.npy"):
        try:
            os.kill(int(path.name.split("-")[-2]), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except PermissionError:
            continue  # it lives, and is somebody else's
