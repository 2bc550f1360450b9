"""The ``folder`` source: image files in class folders."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections import defaultdict
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import AfterValidator, model_validator

from distillab.data.examples import Indices
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.sources.grouping import (
    captured,
    check_pattern,
    encode_groups,
    groups_by_table,
    read_groups,
)
from distillab.sources.source import ImageSource, RawSplit, RawSplits, Source, SourcePath, source
from distillab.sources.split_names import SPLIT_NAMES


class ClassFolders(Source):
    """Base class of sources of files in class folders, with or without train, val and test folders above.

    ``path/<class>/**/<file>`` or ``path/{train,val,test}/<class>/**/<file>``; val may also be called
    validation, valid or dev. Files of other kinds and hidden files are ignored. Classes are sorted by name
    and files by path.

    Files have groups (a domain, a patient, a camera) in one of three ways: a folder level (``layout``), a
    table (``groups``), or their paths (``group_pattern``).

    Attributes:
        path: The folder.
        layout: ``class``, or ``group/class`` or ``class/group`` for folders of groups.
        groups: A CSV file with a header whose first column lists paths below ``path``, or file names.
        group: The column of ``groups`` that names the groups; not needed if it is the only other one.
        unlisted: The group of files that ``groups`` does not list; by default every file must be listed.
        group_pattern: A regular expression whose one capturing bracket matches the group in the path.
        class_pattern: One that matches the class in the path: files then need not be in class folders.
    """

    argument: ClassVar[str | None] = "path"
    noun: ClassVar[str] = "file"

    path: SourcePath
    layout: Literal["class", "group/class", "class/group"] = "class"
    groups: SourcePath | None = None
    group: str | None = None
    unlisted: str | None = None
    group_pattern: Annotated[str, AfterValidator(check_pattern)] | None = None
    class_pattern: Annotated[str, AfterValidator(check_pattern)] | None = None

    @model_validator(mode="after")
    def _one_way_to_groups(self) -> ClassFolders:
        ways = (self.layout != "class", self.groups is not None, self.group_pattern is not None)
        if sum(ways) > 1:
            raise RequestError(
                "groups are given in several ways", allowed="one of layout, groups and group_pattern"
            )
        if self.layout != "class" and self.class_pattern is not None:
            raise RequestError("'layout' and 'class_pattern' exclude each other", allowed="one of them")
        for key in ("group", "unlisted"):
            if getattr(self, key) is not None and self.groups is None:
                raise RequestError(f"{key!r} needs a table of groups", allowed="groups: a CSV file")
        return self

    @classmethod
    @abstractmethod
    def extensions(cls) -> frozenset[str]:
        """Return the file extensions (lower case, with dot) that belong to the source."""

    def default_name(self) -> str:
        return self.path.resolve().name

    def read(self) -> RawSplits:
        try:
            return self._read()
        except OSError as error:
            raise RequestError(f"cannot be read: {error.strerror}", where=str(error.filename)) from None

    def _read(self) -> RawSplits:
        if not self.path.is_dir():
            what = "is a file, not a folder" if self.path.exists() else "there is no such folder"
            raise RequestError(what, where=str(self.path))
        readable = self.extensions()
        roots, notes = self._split_folders(readable)
        found = {split: self._class_files(root, readable) for split, root in roots.items()}
        for split, files in found.items():
            if not any(files.values()):
                below = f"{self._levels}/<{self.noun}>"
                place = "a class folder" if self.class_pattern is None else "any folder"
                raise RequestError(
                    f"there is no {self.noun} in {place} here",
                    where=str(roots[split]),
                    allowed=f"{below} or {{train,val,test}}/{below}",
                )
        classes = tuple(sorted(set().union(*found.values())))
        paths = {split: [path for name in classes for path in of[name]] for split, of in found.items()}
        group_names, groups = self._grouped(paths, roots)
        splits = {
            split: RawSplit(
                files,
                _labels([len(found[split][name]) for name in classes]),
                self._names(files),
                groups.get(split),
            )
            for split, files in paths.items()
        }
        return RawSplits(
            classes, splits["train"], splits.get("val"), splits.get("test"), group_names, notes=notes
        )

    @property
    def _levels(self) -> str:
        if self.class_pattern is not None:
            return "**"
        return "/".join(f"<{level}>" for level in self.layout.split("/"))

    def _names(self, paths: list[Path]) -> list[str]:
        return [path.relative_to(self.path).as_posix() for path in paths]

    def _class_files(self, root: Path, readable: frozenset[str]) -> defaultdict[str, list[Path]]:
        """Return the files of each class, at any depth below the levels of the layout, sorted by path."""
        levels = self.layout.split("/")
        place = levels.index("class")
        files: defaultdict[str, list[Path]] = defaultdict(list)
        if self.class_pattern is not None:
            paths = sorted(_files_below(root, readable), key=lambda path: path.relative_to(root).as_posix())
            classes = captured(self._names(paths), self.class_pattern, "class_pattern")
            for path, name in zip(paths, classes, strict=True):
                files[name].append(path)
            return files
        for folder in _visible_folders(root):
            if levels[0] == "class":
                files[folder.name] = []  # a class even without files: ingest reports it
            for path in _files_below(folder, readable):
                parts = path.relative_to(root).parts[:-1]
                if len(parts) < len(levels):
                    raise RequestError(
                        f"this {self.noun} is in no folder of a {levels[len(parts)]}",
                        where=str(path),
                        allowed=f"{self._levels}/<{self.noun}>",
                    )
                files[parts[place]].append(path)
        for paths in files.values():
            paths.sort(key=lambda path: path.relative_to(root).as_posix())
        return files

    def _grouped(
        self, files: dict[str, list[Path]], roots: dict[str, Path]
    ) -> tuple[tuple[str, ...], dict[str, Indices]]:
        """Return group names, and the groups of the files of each split; empty if no key gives groups."""
        names = {split: self._names(paths) for split, paths in files.items()}
        if self.groups is not None:
            table = read_groups(self.groups, self.group)
            every = [name for split in names.values() for name in split]
            rest = iter(groups_by_table(every, table, self.unlisted, str(self.groups)))
            return encode_groups({s: [next(rest) for _ in paths] for s, paths in files.items()}, "groups")
        if self.group_pattern is not None:
            found = {split: captured(of, self.group_pattern, "group_pattern") for split, of in names.items()}
            return encode_groups(found, "group_pattern")
        if self.layout != "class":
            place = self.layout.split("/").index("group")
            levels = {s: [p.relative_to(roots[s]).parts[place] for p in paths] for s, paths in files.items()}
            return encode_groups(levels, "layout")
        return (), {}

    def _split_folders(self, readable: frozenset[str]) -> tuple[dict[str, Path], tuple[str, ...]]:
        """Return the folder of each split (only train if there are none) and notes on what was ignored."""
        folders = _visible_folders(self.path)
        named = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
        train = next((folder for folder in named if folder.name.lower() == "train"), None)
        if train is None and named and len(named) == len(folders):
            raise RequestError(
                "there is no train folder beside the others", where=str(self.path), allowed="train"
            )
        # Among other folders, a `train` that holds files itself is a class: trains beside buses and cars.
        if train is None or (len(named) < len(folders) and _has_files(train, readable)):
            loose = sum(_is_readable(entry, readable) for entry in self.path.iterdir())
            note = f"{self.noun.capitalize()}s outside class folders, ignored: {loose}."
            return {"train": self.path}, (note,) if loose and self.class_pattern is None else ()
        roots: dict[str, Path] = {}
        for folder in named:
            split = SPLIT_NAMES[folder.name.lower()]
            if split in roots:
                raise RequestError(
                    f"two folders hold the {split} split", where=f"{roots[split]} and {folder}"
                )
            roots[split] = folder
        roots = {split: roots[split] for split in ("train", "val", "test") if split in roots}
        others = [folder.name for folder in folders if folder not in named]
        note = f"Folders that are not a split, ignored: {', '.join(others)}."
        return roots, (note,) if others else ()


@source("folder")
class Folder(ClassFolders, ImageSource):
    """Image files in class folders, with or without train, val and test folders above them.

    The keys are those of :class:`~distillab.sources.folder.ClassFolders`.

    Example:
        >>> Folder(path="leaves", layout="group/class").entry()
        {'source': 'folder', 'path': 'leaves', 'layout': 'group/class'}
    """

    noun: ClassVar[str] = "image"

    @classmethod
    def extensions(cls) -> frozenset[str]:
        return image_extensions()


def _labels(counts: list[int]) -> Labels:
    """Return the labels of ``counts[c]`` examples of each class c, class by class."""
    return Labels(np.repeat(np.arange(len(counts), dtype=np.int64), counts), len(counts))


def image_extensions() -> frozenset[str]:
    """Return the file extensions (lower case, with dot) that Pillow reads."""
    Image.init()
    return frozenset(ext for ext, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def _visible_folders(root: Path) -> list[Path]:
    folders = [entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__"))]
    return sorted(folders, key=lambda folder: folder.name)


def _is_readable(path: Path, readable: frozenset[str]) -> bool:
    """Return True for a path with such an extension; a dangling link counts, as a broken file."""
    named = path.suffix.lower() in readable and not path.name.startswith(".")
    return named and (path.is_file() or (path.is_symlink() and not path.is_dir()))


def _has_files(folder: Path, readable: frozenset[str]) -> bool:
    return any(_is_readable(entry, readable) for entry in folder.iterdir())


def _files_below(folder: Path, readable: frozenset[str]) -> list[Path]:
    """Return readable files at any depth below a folder."""

    def fail(error: OSError) -> None:
        raise error

    paths: list[Path] = []
    entered: set[tuple[int, int]] = set()
    for parent, below, names in os.walk(folder, onerror=fail, followlinks=True):
        place = Path(parent).stat()
        if (place.st_dev, place.st_ino) in entered:  # a link led back here
            below.clear()
            continue
        entered.add((place.st_dev, place.st_ino))
        below[:] = [name for name in below if not name.startswith(".")]
        paths += [path for name in names if _is_readable(path := Path(parent, name), readable)]
    return paths
