"""A folder as a tree of the files that a source reads, and a count of those that it does not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from distillab.modalities.image.formats import INSTALLABLE_FORMATS

SYSTEM_FOLDERS = frozenset(
    (
        *("@eadir", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot", "lost+found"),
        *("$recycle.bin", "system volume information"),
    )
)
"""Folders of network storage and operating systems, in lower case; they hold thumbnails and deleted files."""

SYSTEM_FILES = frozenset(
    ("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", ".ds_store", "icon\r", ".directory")
)
"""Files of operating systems, in lower case."""

OUTSIDE = "outside class folders"
UNUSED = "in folders that are not a split"


@dataclass(frozen=True, eq=False)
class FolderNode:
    """A folder with the readable files in it and the folders below it.

    Attributes:
        path: The folder.
        files: The readable files directly in it, sorted by name.
        folders: The folders in it by name, sorted, without those that are never read.
        identity: Device and inode, by which a folder that is linked twice is recognized.
    """

    path: Path
    files: tuple[Path, ...] = ()
    folders: dict[str, FolderNode] = field(default_factory=dict)
    identity: tuple[int, int] = (0, 0)

    @cached_property
    def count(self) -> int:
        """Number of readable files at any depth."""
        return len(self.files) + sum(folder.count for folder in self.folders.values())

    @property
    def filled(self) -> dict[str, FolderNode]:
        """The folders in it that hold readable files, by name."""
        return {name: folder for name, folder in self.folders.items() if folder.count}

    def files_below(self) -> list[Path]:
        """Return the readable files at any depth, those of a folder that is linked twice once."""
        return list(self._files_below(set()))

    def _files_below(self, entered: set[tuple[int, int]]) -> Iterator[Path]:
        if self.identity in entered:
            return
        entered.add(self.identity)
        yield from self.files
        for folder in self.folders.values():
            yield from folder._files_below(entered)


def list_folder(root: Path, readable: frozenset[str]) -> tuple[FolderNode, Counter[str]]:
    """Return a folder as a tree, and the number of files that are not read, by what they are.

    Args:
        root: The folder.
        readable: The endings of readable files, in lower case with the dot.

    Raises:
        OSError: A folder cannot be read.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("a.png", "notes.txt", "IMG_0001", ".DS_Store"):
        ...     (root / name).touch()
        >>> tree, left_out = list_folder(root, frozenset({".png"}))
        >>> [path.name for path in tree.files], dict(left_out)
        (['a.png'], {'of the system': 1, 'without an ending': 1, '.txt': 1})
    """
    left_out: Counter[str] = Counter()
    return _list(str(root), readable, left_out, ()), left_out


def merge_nodes(nodes: list[FolderNode]) -> FolderNode:
    """Return one tree with the content of several, whose folders of the same name become one."""
    if len(nodes) == 1:
        return nodes[0]
    names = sorted(set().union(*(node.folders for node in nodes)))
    return FolderNode(
        nodes[0].path,
        tuple(path for node in nodes for path in node.files),
        {name: merge_nodes([node.folders[name] for node in nodes if name in node.folders]) for name in names},
        nodes[0].identity,
    )


def describe_left_out(left_out: Mapping[str, int]) -> tuple[str, ...]:
    """Return the sentence that states how many files of which kinds were not read; none if all were.

    Example:
        >>> describe_left_out({".txt": 60, "without an ending": 20})
        ('Files left out: 80 (60 .txt; 20 without an ending).',)
    """
    if not left_out:
        return ()
    kinds = [
        f"{count:,} {kind}"
        + (f", readable after {INSTALLABLE_FORMATS[kind]}" if kind in INSTALLABLE_FORMATS else "")
        for kind, count in sorted(left_out.items(), key=lambda item: -item[1])
    ]
    if len(kinds) > _SHOWN_KINDS:
        kinds = [*kinds[:_SHOWN_KINDS], f"and {len(kinds) - _SHOWN_KINDS} other kinds"]
    return (f"Files left out: {sum(left_out.values()):,} ({'; '.join(kinds)}).",)


_SHOWN_KINDS = 10


def _list(
    path: str, readable: frozenset[str], left_out: Counter[str], above: tuple[tuple[int, int], ...]
) -> FolderNode:
    place = Path(path).stat()
    identity = (place.st_dev, place.st_ino)
    files: list[Path] = []
    folders: dict[str, FolderNode] = {}
    with os.scandir(path) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            if (kind := _unread_folder(entry.name)) is not None:
                left_out.update({kind: count} if (count := _count_files(entry.path)) else {})
            elif not _is_above(entry, (*above, identity)):
                folders[entry.name] = _list(entry.path, readable, left_out, (*above, identity))
        elif not (entry.is_file() or _is_dangling(entry)):
            left_out["neither a file nor a folder"] += 1
        elif (kind := _unread_file(entry.name, readable)) is not None:
            left_out[kind] += 1
        else:
            files.append(Path(entry.path))
    return FolderNode(Path(path), tuple(files), folders, identity)


def _is_dangling(entry: os.DirEntry[str]) -> bool:
    """Return True for a link to nothing, which is a broken file; other links lead to pipes or devices."""
    return entry.is_symlink() and not Path(entry.path).exists()


def _is_above(entry: os.DirEntry[str], above: tuple[tuple[int, int], ...]) -> bool:
    """Return True for a link that leads back to a folder on the way to it."""
    place = entry.stat()
    return (place.st_dev, place.st_ino) in above


def _unread_folder(name: str) -> str | None:
    """Return what a folder is that is never read; None for any other."""
    if name.lower() in SYSTEM_FOLDERS or name.startswith("__"):
        return f"in {name}"
    if name in (".thumbnails", ".picasaoriginals", ".ipynb_checkpoints"):
        return f"in {name}"
    return "in hidden folders" if name.startswith(".") else None


def _unread_file(name: str, readable: frozenset[str]) -> str | None:
    """Return what a file is that is not read; None for a readable one."""
    if name.lower() in SYSTEM_FILES:
        return "of the system"
    if name.startswith("._"):
        return "of macOS (._*)"
    if name.startswith("."):
        return "hidden"
    ending = Path(name).suffix.lower()
    if ending in ("", "."):
        return "without an ending"
    return None if ending in readable else ending


def _count_files(folder: str) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))
