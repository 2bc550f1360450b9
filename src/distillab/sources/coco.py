"""The ``coco`` source: images with boxes in the JSON files of COCO."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path

from distillab.canonical import JsonObject
from distillab.data.raw import regular_file
from distillab.errors import RequestError
from distillab.sources.box_source import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    BoxSource,
    class_position,
    numbers,
)
from distillab.sources.source import SourcePath, source
from distillab.sources.split_names import visible_files

_INSTANCES = "instances"  # the kind of annotations in the names of COCO's own files
Id = int | str


@source("coco")
class Coco(BoxSource):
    """Images with boxes, annotated in JSON files in the layout of COCO.

    ``path`` is a folder with a JSON file per split, found by its name or that of its folder:
    ``annotations/instances_train2017.json``, or ``train/_annotations.coco.json``. A single file is train.
    Ids of categories need not be consecutive; the classes are in their order. Crowds (``iscrowd: 1``) are
    neither to be found nor mistakes if they are.

    Attributes:
        images: The folder of the images; by default they are looked for where COCO has them: beside the file,
            in ``images``, or in a folder with the name of the split.

    Example:
        >>> Coco(path="blood-cells", resolution=160).dataset_name
        'blood-cells'
    """

    images: SourcePath | None = None

    def annotations(self) -> Annotations:
        files = self._files()
        read = {split: _read(path) for split, path in files.items()}
        categories = {split: _categories(each, str(files[split])) for split, each in read.items()}
        known = categories["train"] if "train" in categories else next(iter(categories.values()))
        for split, each in categories.items():
            if each != known:
                raise RequestError(
                    "the categories are not those of the other splits",
                    where=str(files[split]),
                    allowed=", ".join(f"{key}: {name}" for key, name in known.items()),
                )
        ids = list(known)
        splits = {split: self._split(each, ids, files[split]) for split, each in read.items()}
        return Annotations(tuple(known.values()), splits)

    def _files(self) -> dict[str, Path]:
        """Return the JSON file of each split."""
        if self.path.is_file():
            return {"train": self.path}
        found = visible_files(self.path, "*.json")
        found = [path for path in found if path.stem.startswith(_INSTANCES)] or found
        if not found:
            raise RequestError("there is no JSON file", where=str(self.path), allowed="a file per split")
        if len(found) == 1 and not self.splits:
            return {"train": found[0]}
        names = {path: (path.stem, path.parent.name) for path in found}
        chosen = self.split_choice.of(
            list(dict.fromkeys(name for some in names.values() for name in some)), str(self.path)
        )
        files: dict[str, Path] = {}
        for path, some in names.items():
            split = next((chosen[name] for name in some if name in chosen), None)
            if split is not None and files.setdefault(split, path) != path:
                raise RequestError(
                    f"{files[split].name!r} and {path.name!r} may both be the {split} split",
                    where=str(self.path),
                    allowed=f"`splits: {{{split}: {files[split].stem}}}`",
                )
        return files

    def _split(self, read: JsonObject, ids: list[Id], file: Path) -> list[AnnotatedImage]:
        objects: dict[Id, list[AnnotatedObject]] = {}
        images = _by_id(read["images"], f"{file}: images")
        for entry in read["annotations"]:
            where = f"{file}: annotation {_shown(entry.get('id'))}"
            key = entry.get("image_id")
            if not _is_id(key) or key not in images:
                raise RequestError(f"image_id {_shown(key)} is not the id of an image", where=where)
            left, top, width, height = _box(entry.get("bbox"), where)
            label = class_position(_id(entry.get("category_id"), where), ids, where)
            found = AnnotatedObject(
                label, left, top, left + width, top + height, counted=not entry.get("iscrowd")
            )
            objects.setdefault(key, []).append(found)
        folders = [self.images] if self.images else _folders(file)
        return [
            AnnotatedImage(
                _first_existing(folders, image["file_name"]),
                image["file_name"],
                _size(image, f"{file}: image {key}"),
                objects.get(key, ()),
            )
            for key, image in images.items()
        ]


def _read(path: Path) -> JsonObject:
    try:
        found = json.loads(regular_file(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"cannot be read: {error}", where=str(path), allowed="a JSON file") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(found, dict) or not _is_table(found.get(key)):
            raise RequestError(
                f"there is no list {key!r}", where=str(path), allowed="images, annotations and categories"
            )
    for image in found["images"]:
        if not isinstance(image.get("file_name"), str):
            raise RequestError(f"image {_shown(image.get('id'))} has no file_name", where=str(path))
    return dict(found)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _categories(read: JsonObject, where: str) -> dict[Id, str]:
    """Return the names of the classes by their ids, in the order of these."""
    where = f"{where}: categories"
    entries = _by_id(read["categories"], where)
    if not entries or len({type(key) for key in entries}) > 1:
        raise RequestError("the categories are none, or have ids of two kinds", where=where)
    names = [entry.get("name") for entry in entries.values()]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise RequestError("the names are not all different texts", where=where)
    return {key: entries[key]["name"] for key in sorted(entries)}


def _by_id(entries: list[JsonObject], where: str) -> dict[Id, JsonObject]:
    """Return entries by their ids. Raises RequestError if an id is none or is given twice."""
    found: dict[Id, JsonObject] = {}
    for entry in entries:
        key = _id(entry.get("id"), where)
        if key in found:
            raise RequestError(f"the id {_shown(key)} is given twice", where=where, allowed="different ids")
        found[key] = entry
    return found


def _id(value: object, where: str) -> Id:
    if isinstance(value, int | str) and _is_id(value):
        return value
    raise RequestError(f"{_shown(value)} is no id", where=where, allowed="an integer or a text")


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _box(value: object, where: str) -> tuple[float, ...]:
    """Return left, top, width and height. Raises RequestError if they are no box."""
    found = _numbers(value, 4, "a box", where)
    if min(found[2:]) < 0:
        raise RequestError(f"{_shown(value)} is a box with a negative side", where=where)
    return found


def _size(image: JsonObject, where: str) -> tuple[float, float] | None:
    """Return the width and height that an image is annotated in, None if they are not stated."""
    if not image.get("width") or not image.get("height"):
        return None
    width, height = _numbers([image["width"], image["height"]], 2, "a width and a height", where)
    if min(width, height) < 0:
        raise RequestError(f"{_shown([width, height])} has a negative side", where=where)
    return width, height


def _numbers(value: object, count: int, what: str, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(type(each) in (int, float) for each in value):
        raise RequestError(f"{_shown(value)} is not {what}", where=where, allowed=f"{count} finite numbers")
    return numbers(value, count, where)


def _shown(value: object) -> str:
    """Return a value as a message shows it, however long and deep it is."""
    return reprlib.repr(value)


def _folders(file: Path) -> list[Path]:
    """Return where the images of an annotation file may be."""
    split = file.stem.removeprefix(f"{_INSTANCES}_")
    above = file.parent, file.parent.parent
    return [
        each / folder
        for each in above
        for folder in ("", "images", split, f"images/{split}", split.rstrip("0123456789"))
    ]


def _first_existing(folders: list[Path], name: str) -> Path:
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)
