"""The ``yolo`` source: images with boxes in text files, as YOLO has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from distillab.bounded_yaml import MOST_CHARACTERS, checked_node, values_of_node
from distillab.data.raw import regular_file
from distillab.errors import RequestError
from distillab.modalities.image.formats import image_extensions
from distillab.sources.box_source import AnnotatedImage, AnnotatedObject, Annotations, BoxSource, numbers
from distillab.sources.delimited import read_lines
from distillab.sources.source import source
from distillab.sources.split_names import visible_files

LARGEST_YAML = 4 * MOST_CHARACTERS
"""Bytes above which a YAML file is refused."""
_LISTS = ("classes.txt", "obj.names")


@source("yolo")
class Yolo(BoxSource):
    """Images with boxes, annotated in a text file each in the layout of YOLO.

    Images lie in ``images/train``, ``images/val``, ... or in ``train/images``, ...; the text file of an image
    has its name, in ``labels`` in place of ``images``, or beside it. A line is the number of a class, then
    the center, width and height of a box in shares of the image. An image without a file has no boxes. The
    names of the classes are in a YAML file (``names``), in ``classes.txt`` or in ``obj.names``.

    Example:
        >>> Yolo(path="leaves").argument
        'path'
    """

    def annotations(self) -> Annotations:
        classes = self._classes()
        found = [path for path in visible_files(self.path, "*") if path.suffix.lower() in image_extensions()]
        folders = {path: self._folder_names(path) for path in found}
        every = list(dict.fromkeys(name for names in folders.values() for name in names))
        chosen = self.split_choice.of(every, str(self.path))
        splits: dict[str, list[AnnotatedImage]] = {}
        for path, names in folders.items():
            split = next((chosen[name] for name in names if name in chosen), None)
            if split is None and "train" not in chosen.values():
                split = "train"
            if split is not None:
                splits.setdefault(split, []).append(self._image(path, classes))
        return Annotations(classes, splits, self._notes(found))

    def _folder_names(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.path).parts[:-1]

    def _classes(self) -> tuple[str, ...]:
        """Return the names of the classes. Raises RequestError if no file has them."""
        for path in sorted([*self.path.glob("*.yaml"), *self.path.glob("*.yml")]):
            read = _read_yaml(path)
            names = read.get("names") if isinstance(read, dict) else None
            if isinstance(names, dict):
                numbered = set(names) == set(range(len(names)))
                names = [names[place] for place in range(len(names))] if numbered else []
            if isinstance(names, list) and names:
                return _different(names, f"{path}: names")
        for name in _LISTS:
            if (self.path / name).is_file():
                lines = [line.strip() for line in read_lines(self.path / name) if line.strip()]
                return _different(lines, str(self.path / name))
        raise RequestError(
            "no file names the classes",
            where=str(self.path),
            allowed=f"a YAML file with `names`, {' or '.join(_LISTS)}",
        )

    def _notes(self, images: Sequence[Path]) -> tuple[str, ...]:
        """Return a sentence about text files with boxes whose image is missing, if there are any."""
        known = {self._text_file(path) for path in images}
        every = [path for path in visible_files(self.path, "*.txt") if "labels" in self._folder_names(path)]
        alone = [path for path in every if path not in known and path.stat().st_size]
        if not alone:
            return ()
        first = alone[0].relative_to(self.path).as_posix()
        return (f"Text files with boxes whose image is missing, left out: {len(alone):,}, such as {first}.",)

    def _text_file(self, image: Path) -> Path:
        """Return where the boxes of an image are."""
        parts = list(image.relative_to(self.path).with_suffix(".txt").parts)
        places = [place for place, part in enumerate(parts[:-1]) if part.lower() == "images"]
        if places:
            parts[places[-1]] = "labels"
        return self.path.joinpath(*parts)

    def _image(self, path: Path, classes: tuple[str, ...]) -> AnnotatedImage:
        file, objects = self._text_file(path), []
        if file.is_file():
            for number, line in enumerate(read_lines(file), 1):
                if line.strip():
                    objects.append(_object(line, classes, f"{file}: line {number}"))
        name = path.relative_to(self.path).as_posix()
        return AnnotatedImage(path, name, None, objects, relative=True)


def _read_yaml(path: Path) -> object:
    """Return the values of a YAML file. Raises RequestError if it is none, or too large."""
    try:
        if path.stat().st_size > LARGEST_YAML:
            raise RequestError(
                "is too large for a list of classes",
                where=str(path),
                allowed=f"at most {LARGEST_YAML:,} bytes",
            )
        node = checked_node(regular_file(path).read_text(encoding="utf-8"))
        return None if node is None else values_of_node(node)
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise RequestError(f"cannot be read: {error}", where=str(path), allowed="a YAML file") from None


def _different(names: Sequence[object], where: str) -> tuple[str, ...]:
    """Return the names of classes. Raises RequestError unless all are texts, and each another one."""
    for place, name in enumerate(names):
        if not isinstance(name, str):
            raise RequestError(
                f"the name of class {place} is {name!r}", where=where, allowed="a text, in quotes if need be"
            )
        if name in names[:place]:
            raise RequestError(f"{name!r} is the name of two classes", where=where, allowed="different names")
    return tuple(map(str, names))


def _object(line: str, classes: tuple[str, ...], where: str) -> AnnotatedObject:
    label, x, y, width, height = numbers(line.split(), 5, where)
    if label not in range(len(classes)):
        raise RequestError(
            f"{label:g} is not the number of a class", where=where, allowed=f"0 to {len(classes) - 1}"
        )
    return AnnotatedObject(int(label), x - width / 2, y - height / 2, x + width / 2, y + height / 2)
