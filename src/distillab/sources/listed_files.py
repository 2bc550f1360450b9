"""Files that a table lists: found where they are listed, or by their names below a folder."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from distillab.errors import RequestError
from distillab.sources.split_names import likeness

FILE_COLUMNS = (
    *("file", "path", "filename", "file_name", "filepath", "file_path"),
    *("image", "image_path", "image_name", "image_id", "img", "img_path", "img_name", "id_code"),
)
"""Usual names, in lower case, of columns that list files, the likeliest first."""

_REMOTE = ("http://", "https://", "s3://", "gs://")


def file_below(folder: Path, name: str | Path) -> Path:
    """Return the path of a file that a table names, relative to a folder, which it must not lead out of.

    Links inside the folder may lead anywhere: they were made by whoever made the folder.

    Raises:
        RequestError: The path is absolute, or leads out of the folder.

    Example:
        >>> file_below(Path("photos"), "../secrets.png")
        Traceback (most recent call last):
        distillab.errors.RequestError: photos: the path '../secrets.png' leads out of this folder ...
    """
    root = os.path.normpath(folder)
    if not Path(os.path.normpath(folder / name)).is_relative_to(root):
        raise RequestError(
            f"the path {str(name)!r} leads out of this folder",
            where=str(folder),
            allowed="paths below it, or `root`, the folder that they are relative to",
        )
    return folder / name


@dataclass
class ListedFiles:
    """The files below a folder, by which the names in a table are resolved.

    A name is a path below the folder. One that does not exist there may lack its ending or its folder, be
    written with backslashes, or be the path on another machine: then the only file of that name is taken.

    Attributes:
        folder: The folder that listed names are relative to.
        readable: The endings (lower case, with dot) that a name may lack.
        found: How many names were resolved by another path, and the first of them with it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "images").mkdir()
        >>> (folder / "images" / "a1.png").touch()
        >>> files = ListedFiles(folder, frozenset({".png"}))
        >>> [path.name for path in files.resolve(["a1"], "train", "table.csv")]
        ['a1.png']
        >>> files.notes
        ("Files found by their names, as they are not where listed: 1 ('a1' is images/a1.png).",)
    """

    folder: Path
    readable: frozenset[str]
    found: list[tuple[str, str]] = field(default_factory=list)

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentence on names that were resolved by another path; none if there are none."""
        if not self.found:
            return ()
        (name, path), count = self.found[0], len(self.found)
        return (f"Files found by their names, as they are not where listed: {count:,} ({name!r} is {path}).",)

    def resolve(self, names: Sequence[str], split: str, where: str) -> list[Path]:
        """Return the paths of listed names. A file that does not exist keeps its path, and is a broken one.

        Args:
            names: The names as listed.
            split: The split that they belong to: of several files of one name, that in its folder is taken.
            where: The place of the table, for messages.

        Raises:
            RequestError: A row names no file or a web address, a name stands for several files, or no file
                exists.
        """
        paths: list[Path] = []
        missing = 0
        for row, name in enumerate(names):
            if not name.strip():
                raise RequestError(f"row {row} names no file", where=where)
            if name.lower().startswith(_REMOTE):
                raise RequestError(
                    f"{name!r} is a web address", where=where, allowed="files on this machine, below `root`"
                )
            path = self.folder / name
            if not os.path.lexists(path) and (other := self._other(name, split, where)) is not None:
                self.found.append((name, other))
                path = self.folder / other
            missing += not os.path.lexists(path)
            paths.append(path)
        if names and missing == len(names):
            raise RequestError(
                f"no listed file exists in {self.folder}, such as {names[0]!r}",
                where=where,
                allowed="`root`, the folder of the files, or `file`, their column or a pattern like {id}.jpg",
            )
        return paths

    def _other(self, name: str, split: str, where: str) -> str | None:
        """Return the path below the folder of the only file that a name can stand for, or None."""
        listed = PurePosixPath(name.strip().replace("\\", "/"))
        if not listed.is_absolute() and os.path.lexists(self.folder / listed):
            return str(listed)
        candidates = self._by_name.get(listed.name) or self._by_stem.get(listed.name)
        if candidates is None and listed.suffix.lower() in self.readable:
            same = self._by_stem.get(listed.stem, [])
            candidates = [each for each in same if each.suffix.lower() == listed.suffix.lower()]
        if not candidates:
            return None
        best = max(_common_end(each, listed) for each in candidates)
        candidates = [each for each in candidates if _common_end(each, listed) == best]
        if len(candidates) > 1:
            own = [each for each in candidates if _is_of(each, split)]
            candidates = own or candidates
        if len(candidates) > 1:
            raise RequestError(
                f"{name!r} may be {candidates[0]} or {candidates[1]}",
                where=where,
                allowed="names that stand for one file each, below `root`",
            )
        return str(candidates[0])

    @cached_property
    def _by_name(self) -> dict[str, list[PurePosixPath]]:
        found: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in self._files:
            found[path.name].append(path)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, list[PurePosixPath]]:
        found: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in self._files:
            if path.suffix.lower() in self.readable:
                found[path.stem].append(path)
        return found

    @cached_property
    def _files(self) -> list[PurePosixPath]:
        files: list[PurePosixPath] = []
        for parent, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__", "@")))
            above = PurePosixPath(Path(parent).relative_to(self.folder).as_posix())
            files += [above / name for name in sorted(names) if not name.startswith(".")]
        return files


def _common_end(path: PurePosixPath, listed: PurePosixPath) -> int:
    """Return how many folders above two files are equal, counted from the files."""
    count = 0
    for one, other in zip(reversed(path.parent.parts), reversed(listed.parent.parts), strict=False):
        if one != other:
            break
        count += 1
    return count


def _is_of(path: PurePosixPath, split: str) -> bool:
    return any((like := likeness(part)) is not None and like.split == split for part in path.parent.parts)
