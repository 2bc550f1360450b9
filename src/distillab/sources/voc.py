"""The ``voc`` source: images with boxes in the XML files of Pascal VOC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from distillab.data.raw import regular_file
from distillab.errors import RequestError
from distillab.modalities.image.formats import image_extensions
from distillab.sources.box_source import AnnotatedImage, AnnotatedObject, Annotations, BoxSource, numbers
from distillab.sources.delimited import read_lines
from distillab.sources.source import source
from distillab.sources.split_names import visible_files

LARGEST_XML = 2**22
"""Bytes above which an annotation file is refused."""
_TRAIN_AND_VAL = "trainval"


@source("voc")
class Voc(BoxSource):
    """Images with boxes, annotated in an XML file each in the layout of Pascal VOC.

    ``path`` is a folder like ``VOC2007``, with ``Annotations``, ``JPEGImages`` and the lists
    ``ImageSets/Main/train.txt``, ``val.txt`` and ``test.txt`` where there are any; or a folder in which the
    XML files lie beside their images, in a folder per split. ``trainval.txt`` is read if there is no
    ``train.txt``; an image that several lists name is of test, else of val. The classes are in alphabetical
    order. Coordinates count pixels from 1, and the last pixel belongs to a box.

    Attributes:
        difficult: What objects marked ``difficult`` are: neither to be found nor mistakes if they are
            (``ignore``, as in the evaluation of VOC), or objects like others (``keep``).

    Example:
        >>> Voc(path="VOC2007").entry()["path"]
        'VOC2007'
    """

    difficult: Literal["ignore", "keep"] = "ignore"

    def annotations(self) -> Annotations:
        files = self._files()
        if not any(files.values()):
            raise RequestError("there is no XML file", where=str(self.path), allowed="Annotations/*.xml")
        read = {split: [_read(path) for path in paths] for split, paths in files.items()}
        names = {_text(found, "name", where) for trees in read.values() for found, where in _objects(trees)}
        classes = tuple(sorted(names))
        return Annotations(
            classes,
            {split: [self._image(*each, classes) for each in trees] for split, trees in read.items()},
        )

    def _files(self) -> dict[str, list[Path]]:
        """Return the XML files of each split."""
        folder, lists = self.path / "Annotations", self.path / "ImageSets" / "Main"
        if not folder.is_dir():
            found = visible_files(self.path, "*.xml")
            return self._by_folder(found)
        own = {path.stem: path for path in sorted(lists.glob("*.txt"))}
        stems = _without_repeats(
            {
                split: [line.split()[0] for name in names for line in read_lines(own[name]) if line.strip()]
                for split, names in self._lists(list(own), str(lists)).items()
            }
        )
        splits = {split: [folder / f"{stem}.xml" for stem in some] for split, some in stems.items()}
        return splits if "train" in splits else {"train": visible_files(folder, "*.xml")}

    def _lists(self, names: Sequence[str], where: str) -> dict[str, list[str]]:
        """Return the names of the lists of each split."""
        # Lists of one class, such as cat_train.txt, are no splits.
        chosen = self.split_choice.of([name for name in names if name.isalnum()], where)
        found: dict[str, list[str]] = {}
        for name, split in chosen.items():
            found.setdefault(split, []).append(name)
        # trainval.txt repeats train.txt and val.txt.
        if "train" in found and "train" not in self.split_choice.stated:
            others = [name for name in found["train"] if name.lower() != _TRAIN_AND_VAL]
            found["train"] = others or found["train"]
        return found

    def _by_folder(self, found: Sequence[Path]) -> dict[str, list[Path]]:
        folders = list(dict.fromkeys(path.parent.name for path in found))
        chosen = self.split_choice.of(folders, str(self.path))
        splits: dict[str, list[Path]] = {}
        for path in found:
            split = chosen.get(path.parent.name, None if "train" in chosen.values() else "train")
            if split is not None:
                splits.setdefault(split, []).append(path)
        return splits

    def _image(self, tree: ElementTree.Element, path: Path, classes: Sequence[str]) -> AnnotatedImage:
        objects = []
        for found, where in _objects([(tree, path)]):
            edges = [_text(found, f"bndbox/{edge}", where) for edge in ("xmin", "ymin", "xmax", "ymax")]
            left, top, right, bottom = numbers(edges, 4, where)
            counted = self.difficult == "keep" or (found.findtext("difficult") or "0").strip() != "1"
            label = classes.index(_text(found, "name", where))
            objects.append(AnnotatedObject(label, left - 1, top - 1, right, bottom, counted))
        sides = [tree.findtext(f"size/{side}") or "0" for side in ("width", "height")]
        width, height = numbers(sides, 2, f"{path}: size")
        image = _image_of(path, tree.findtext("filename") or "")
        return AnnotatedImage(image, image.name, (width, height) if width and height else None, objects)


def _without_repeats(splits: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the stems of each split, each once: one of several splits is of test, else of val."""
    seen: set[str] = set()
    found = {}
    for split in ("test", "val", "train"):
        if split in splits:
            found[split] = [stem for stem in dict.fromkeys(splits[split]) if stem not in seen]
            seen.update(found[split])
    return found


def _objects(trees: Sequence[tuple[ElementTree.Element, Path]]) -> list[tuple[ElementTree.Element, str]]:
    return [
        (found, f"{path}: object {place}")
        for tree, path in trees
        for place, found in enumerate(tree.findall("object"), 1)
    ]


class _PlainTree(ElementTree.TreeBuilder):
    """Builds the tree of a file that has no document type."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse entities: they can expand to more than memory holds, and can name other files."""
        raise RequestError("declares a document type or entities", where=str(self._path), allowed="plain XML")


def _read(path: Path) -> tuple[ElementTree.Element, Path]:
    """Return the root of an annotation file.

    Raises:
        RequestError: It is too large, declares a document type, or is no XML in UTF-8 or UTF-16, or in the
            encoding of one byte per character that it declares.
    """
    try:
        if path.stat().st_size > LARGEST_XML:
            raise RequestError(
                "is too large for an annotation", where=str(path), allowed=f"at most {LARGEST_XML:,} bytes"
            )
        parser = ElementTree.XMLParser(target=_PlainTree(path))
        return ElementTree.fromstring(regular_file(path).read_bytes(), parser), path
    except RequestError:
        raise
    except (OSError, LookupError, ValueError, ElementTree.ParseError) as error:  # of encodings, too
        raise RequestError(
            f"cannot be read: {error}", where=str(path), allowed="an annotation of Pascal VOC in XML"
        ) from None


def _text(found: ElementTree.Element, key: str, where: str) -> str:
    text = (found.findtext(key) or "").strip()
    if not text:
        raise RequestError(f"has no {key}", where=where, allowed="name and bndbox")
    return text


def _image_of(path: Path, name: str) -> Path:
    """Return the image of an annotation file: the one it names, or the one of its own name."""
    folders = (path.parent.parent / "JPEGImages", path.parent.parent / "images", path.parent)
    stem = Path(name.replace("\\", "/")).name
    wanted = [stem] * bool(stem) + [f"{path.stem}{each}" for each in sorted(image_extensions())]
    candidates = [folder / each for folder in folders for each in wanted]
    return next((each for each in candidates if each.is_file()), candidates[0])
