"""The ``folder`` source: image files in class folders."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, model_validator

from distillab.data.examples import Indices
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.modalities.image.formats import image_extensions
from distillab.sources.folder_layout import find_layout
from distillab.sources.folder_tree import OUTSIDE, UNUSED, FolderNode, describe_left_out, list_folder
from distillab.sources.grouping import (
    captured,
    check_pattern,
    encode_groups,
    groups_by_table,
    read_groups,
)
from distillab.sources.labels import natural_key
from distillab.sources.source import ImageSource, RawSplit, RawSplits, Source, SourcePath, source


class ClassFolders(Source):
    """Base class of sources of files in class folders, with or without train, val and test folders above.

    ``path/<class>/**/<file>`` or ``path/{train,val,test}/<class>/**/<file>``. Folders of splits may have any
    usual name (``Training``, ``seg_train``, ``valid``, ``test_set``), lie one level deeper, or lie below the
    classes; ``splits`` names them where they cannot be recognized. Files of other kinds, hidden files and
    thumbnails are left out and counted. Classes are sorted by name, numbers by value, and files by path.

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
    names_splits: ClassVar[bool] = True
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
        tree, left_out = list_folder(self.path, readable)
        in_classes = self.class_pattern is None
        by_class = self.layout == "class"
        layout = find_layout(tree, self.split_choice, by_class=by_class, in_classes=in_classes)
        outside = layout.outside + (sum(len(n.files) for n in layout.splits.values()) if in_classes else 0)
        left_out.update({kind: n for kind, n in ((OUTSIDE, outside), (UNUSED, layout.unused)) if n})
        groups: dict[Path, str] = {}
        found = {split: self._class_files(root, groups) for split, root in layout.splits.items()}
        for split, files in found.items():
            if not any(files.values()):
                raise self._without_files(split, layout.splits[split].path, left_out)
        classes = tuple(sorted(set().union(*found.values()), key=natural_key))
        self._check_classes(classes)
        paths = {split: [path for name in classes for path in of[name]] for split, of in found.items()}
        group_names, codes = self._grouped(paths, groups)
        splits = {
            split: RawSplit(
                files,
                _labels([len(found[split][name]) for name in classes]),
                self._names(files),
                codes.get(split),
            )
            for split, files in paths.items()
        }
        return RawSplits(
            classes,
            splits["train"],
            splits.get("val"),
            splits.get("test"),
            group_names,
            notes=layout.notes,
            left_out=left_out,
        )

    def _check_classes(self, classes: tuple[str, ...]) -> None:
        """Raise RequestError for files in one folder beside a table, which probably lists their labels."""
        tables = sorted(path.name for ending in ("csv", "tsv") for path in self.path.glob(f"*.{ending}"))
        if len(classes) < 2 and tables:
            raise RequestError(
                f"there is only one class folder, {classes[0]!r}, beside {tables[0]}",
                where=str(self.path),
                allowed="at least two class folders, or the table as the source: its path, with `source: "
                f"{'audio_csv' if self.modality == 'audio' else 'csv'}` in a study",
            )

    def _without_files(self, split: str, root: Path, left_out: dict[str, int]) -> RequestError:
        """Return the error for a folder, of a split or as a whole, without files in the right place."""
        below = f"{self._levels}/<{self.noun}>"
        place = "a class folder" if self.class_pattern is None else "any folder"
        beside = "".join(f"; f{each[1:-1]}" for each in describe_left_out(left_out))
        allowed = [below, f"{{train,val,test}}/{below}"]
        if OUTSIDE in left_out:
            allowed += ["`class_pattern` if names of files state classes"]
            allowed += [f"`splits: {{train: .}}` if {root.name!r} is a class"] if root != self.path else []
        if split != "train":
            allowed += [f"`splits: {{{split}: null}}` to carve the {split} split from train"]
        return RequestError(
            f"there is no {self.noun} in {place} here{beside}", where=str(root), allowed=" or ".join(allowed)
        )

    @property
    def _levels(self) -> str:
        if self.class_pattern is not None:
            return "**"
        return "/".join(f"<{level}>" for level in self.layout.split("/"))

    def _names(self, paths: list[Path]) -> list[str]:
        return [path.relative_to(self.path).as_posix() for path in paths]

    def _class_files(self, root: FolderNode, groups: dict[Path, str]) -> defaultdict[str, list[Path]]:
        """Return the files of each class, at any depth below the levels of the layout, sorted by path.

        Args:
            root: The folder of a split.
            groups: Filled with the group of each file, if the layout has one.
        """
        files: defaultdict[str, list[Path]] = defaultdict(list)
        if self.class_pattern is not None:
            paths = self._sorted(root.files_below())
            names = captured(self._names(paths), self.class_pattern, "class_pattern")
            for path, name in zip(paths, names, strict=True):
                files[name].append(path)
            return files
        if self.layout == "class":
            for name, folder in root.folders.items():
                files[name] = folder.files_below()  # a class even without files: ingest reports it
        else:
            outer, inner = self.layout.split("/")
            for name, folder in root.folders.items():
                if folder.files:
                    raise RequestError(
                        f"this {self.noun} is in no folder of a {inner}",
                        where=str(folder.files[0]),
                        allowed=f"{self._levels}/<{self.noun}>",
                    )
                for below, node in folder.folders.items():
                    own, group = (name, below) if outer == "class" else (below, name)
                    paths = node.files_below()
                    files[own] += paths
                    groups.update(dict.fromkeys(paths, group))
        return defaultdict(list, {name: self._sorted(paths) for name, paths in files.items()})

    def _sorted(self, paths: list[Path]) -> list[Path]:
        return sorted(paths, key=lambda path: path.relative_to(self.path).as_posix())

    def _grouped(
        self, files: dict[str, list[Path]], levels: dict[Path, str]
    ) -> tuple[tuple[str, ...], dict[str, Indices]]:
        """Return group names, and the groups of the files of each split; empty if no key gives groups.

        Args:
            files: The files of each split.
            levels: The group of each file, if the layout has one.
        """
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
            return encode_groups(
                {s: [levels[path] for path in paths] for s, paths in files.items()}, "layout"
            )
        return (), {}


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
