"""The ``folder`` source: image files in class folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from distillab.data.sources.source import RawSplit, RawSplits, Source, SourcePath, source
from distillab.errors import RequestError

SPLIT_NAMES = {
    "train": "train",
    "val": "val",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "test": "test",
}


@source("folder")
class Folder(Source):
    """Image files in class folders, with or without train, val and test folders above them.

    ``path/<class>/**/<image>`` or ``path/{train,val,test}/<class>/**/<image>``; val may also be called
    validation, valid or dev. Files of other kinds and hidden files are ignored. Classes are sorted by name
    and images by path.
    """

    argument: ClassVar[str | None] = "path"

    path: SourcePath

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
        readable = image_extensions()
        roots, notes = self._split_folders(readable)
        found = {split: _class_files(root, readable) for split, root in roots.items()}
        for split, files in found.items():
            if not any(files.values()):
                raise RequestError(
                    "there is no image in a class folder here",
                    where=str(roots[split]),
                    allowed="<class>/<image> or {train,val,test}/<class>/<image>",
                )
        classes = tuple(sorted(set().union(*found.values())))
        splits = {split: self._raw_split(files, classes) for split, files in found.items()}
        return RawSplits(classes, splits["train"], splits.get("val"), splits.get("test"), notes=notes)

    def _raw_split(self, files: dict[str, list[Path]], classes: tuple[str, ...]) -> RawSplit:
        images = [path for name in classes for path in files.get(name, [])]
        counts = [len(files.get(name, [])) for name in classes]
        names = [path.relative_to(self.path).as_posix() for path in images]
        return RawSplit(images, np.repeat(np.arange(len(classes), dtype=np.int64), counts), names)

    def _split_folders(self, readable: frozenset[str]) -> tuple[dict[str, Path], tuple[str, ...]]:
        """The folder of each split (only train if there are none) and notes on what was ignored."""
        folders = _visible_folders(self.path)
        named = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
        train = next((folder for folder in named if folder.name.lower() == "train"), None)
        if train is None and named and len(named) == len(folders):
            raise RequestError(
                "there is no train folder beside the others", where=str(self.path), allowed="train"
            )
        # Among other folders, a `train` that holds images itself is a class: trains beside buses and cars.
        if train is None or (len(named) < len(folders) and _has_images(train, readable)):
            loose = sum(_is_image(entry, readable) for entry in self.path.iterdir())
            note = f"{loose} images outside of class folders were ignored."
            return {"train": self.path}, (note,) if loose else ()
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
        note = f"folders that are not a split were ignored: {', '.join(others)}."
        return roots, (note,) if others else ()


def image_extensions() -> frozenset[str]:
    """The file extensions (lower case, with dot) that Pillow reads."""
    Image.init()
    return frozenset(ext for ext, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def _visible_folders(root: Path) -> list[Path]:
    folders = [entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__"))]
    return sorted(folders, key=lambda folder: folder.name)


def _is_image(path: Path, readable: frozenset[str]) -> bool:
    return path.suffix.lower() in readable and not path.name.startswith(".") and path.is_file()


def _has_images(folder: Path, readable: frozenset[str]) -> bool:
    return any(_is_image(entry, readable) for entry in folder.iterdir())


def _class_files(root: Path, readable: frozenset[str]) -> dict[str, list[Path]]:
    """Images of each class folder, at any depth, sorted by path."""

    def fail(error: OSError) -> None:
        raise error

    files: dict[str, list[Path]] = {}
    for folder in _visible_folders(root):
        paths: list[Path] = []
        for parent, below, names in os.walk(folder, onerror=fail):
            below[:] = [name for name in below if not name.startswith(".")]
            paths += [path for name in names if _is_image(path := Path(parent, name), readable)]
        files[folder.name] = sorted(paths, key=lambda path: path.relative_to(root).as_posix())
    return files
