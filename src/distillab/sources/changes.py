"""Files of a source that have changed since they were read: noticed by number, size and time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from distillab.canonical import JsonObject
from distillab.printable import counted
from distillab.sources.source import Source


@dataclass(frozen=True)
class FilesState:
    """What is seen of a file, or of all files of a folder, without reading them.

    Attributes:
        files: Their number; 0 if there is no such file or folder.
        size: Bytes together.
        newest: The latest time at which one was changed, in nanoseconds since the epoch.

    Example:
        >>> FilesState.of(Path("nowhere"))
        FilesState(files=0, size=0, newest=0)
    """

    files: int
    size: int
    newest: int

    @classmethod
    def of(cls, path: Path) -> FilesState:
        """Return the state of a file or folder now."""
        found = [each.stat() for each in _files(path)]
        newest = max((each.st_mtime_ns for each in found), default=0)
        return cls(len(found), sum(each.st_size for each in found), newest)

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')} of {self.size:,} bytes"


def files_of(sources: Iterable[Source]) -> JsonObject:
    """Return the state of all files and folders that sources name, by path, in a JSON form.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> files_of([Digits()])
        {}
    """
    paths = (path for source in sources for _, value in source for path in _paths(value))
    return {str(path): list(astuple(FilesState.of(path))) for path in paths}


def first_path(source: Source) -> Path | None:
    """Return the first file or folder that a source names; None for one without files.

    Example:
        >>> from distillab.sources.npz import Npz
        >>> str(first_path(Npz(path="photos.npz")))
        'photos.npz'
    """
    return next((path for _, value in source for path in _paths(value)), None)


def changed_files(before: JsonObject) -> list[str]:
    """Return which files and folders are not as they were, one sentence each.

    Args:
        before: What :func:`files_of` returned when they were read.

    Example:
        >>> changed_files({"photos": [12, 3400, 1]})
        ['The data at photos have changed (12 files of 3,400 bytes then, 0 files of 0 bytes now).']
    """
    found = []
    for path, values in before.items():
        then, now = FilesState(*values), FilesState.of(Path(path))
        if then != now:
            same = (then.files, then.size) == (now.files, now.size)
            how = "a file was written since" if same else f"{then} then, {now} now"
            found.append(f"The data at {path} have changed ({how}).")
    return found


def _files(path: Path) -> Iterator[os.DirEntry[str] | Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from _inside(str(path))


def _inside(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _inside(entry.path)
            elif entry.is_file():
                yield entry


def _paths(value: object) -> Iterator[Path]:
    """Yield the paths in the value of a key."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, dict):
        yield from _paths(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _paths(each)
