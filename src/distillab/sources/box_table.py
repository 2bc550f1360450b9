"""The ``box_table`` source: images with boxes in CSV files, one row per box, as PlantDoc has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

from distillab.errors import RequestError, unknown_name
from distillab.modalities.image.formats import image_extensions
from distillab.sources.box_source import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    BoxSource,
    class_position,
    numbers,
)
from distillab.sources.delimited import read_delimited
from distillab.sources.source import source
from distillab.sources.split_names import visible_files

TABLE_COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
"""The columns of a table, in the order of PlantDoc."""


@source("box_table")
class BoxTable(BoxSource):
    """Images with boxes, one row per box in a CSV file per split, in the layout of PlantDoc.

    ``path`` is a folder with tables such as ``train_labels.csv`` and ``test_labels.csv``, which have the
    columns filename, width, height, class, xmin, ymin, xmax and ymax, and with the images anywhere below.
    File names are compared without the encoding of addresses: ``leaf%20spot.jpg`` is ``leaf spot.jpg``.
    Where two images have one name, that in a folder with the name of the split is taken. The classes are in
    alphabetical order. An image that no row names is left out: whether it has objects is not known.

    Example:
        >>> BoxTable(path="PlantDoc").dataset_name
        'PlantDoc'
    """

    def annotations(self) -> Annotations:
        tables = self._tables()
        rows = {split: _rows(path) for split, path in tables.items()}
        classes = tuple(sorted({row["class"] for some in rows.values() for row in some}))
        files = [path for path in visible_files(self.path, "*") if path.suffix.lower() in image_extensions()]
        by_name: dict[str, list[Path]] = {}
        for path in files:
            by_name.setdefault(unquote(path.name), []).append(path)
        splits = {
            split: _images(some, classes, _of_split(by_name, split, rows), tables[split])
            for split, some in rows.items()
        }
        listed = {image.path for images in splits.values() for image in images}
        more = len(set(files) - listed)
        notes = (f"Images that no row of a table names, left out: {more:,}.",) if more else ()
        return Annotations(classes, splits, notes)

    def _tables(self) -> dict[str, Path]:
        found = [self.path] if self.path.is_file() else sorted(self.path.glob("*.csv"))
        if not found:
            raise RequestError("there is no CSV file", where=str(self.path), allowed="a table per split")
        if len(found) == 1:
            return {"train": found[0]}
        chosen = self.split_choice.of([path.stem for path in found], str(self.path), single=True)
        return {chosen[path.stem]: path for path in found if path.stem in chosen}


def _rows(path: Path) -> list[dict[str, str]]:
    header, rows = read_delimited(path)
    for column in TABLE_COLUMNS:
        if column not in header:
            raise unknown_name("column", column, header, where=str(path))
    return [dict(zip(header, map(str.strip, row), strict=True)) for row in rows]


def _images(
    rows: list[dict[str, str]],
    classes: tuple[str, ...],
    by_name: Mapping[str, Path],
    table: Path,
) -> list[AnnotatedImage]:
    """Return the images of a table in the order of their first rows."""
    objects: dict[str, list[AnnotatedObject]] = {}
    sizes: dict[str, tuple[float, float] | None] = {}
    for number, row in enumerate(rows, 2):
        where, name = f"{table}: line {number}", unquote(row["filename"])
        label = class_position(row["class"], classes, where)
        left, top, right, bottom = numbers((row[key] for key in TABLE_COLUMNS[4:]), 4, where)
        width, height = numbers((row["width"] or 0, row["height"] or 0), 2, where)
        objects.setdefault(name, []).append(AnnotatedObject(label, left, top, right, bottom))
        sizes.setdefault(name, (width, height) if width > 0 and height > 0 else None)
    found = []
    for name, some in objects.items():
        path = by_name.get(name, table.parent / name)  # a file that is missing is told when it is read
        found.append(AnnotatedImage(path, name, sizes[name], some))
    return found


def _of_split(files: Mapping[str, list[Path]], split: str, splits: Iterable[str]) -> dict[str, Path]:
    """Return the file of each name for a split: never one in the folder of another split."""
    others = [other for other in splits if other != split]
    found = {}
    for name, paths in files.items():
        folders = {path: path.parent.name.lower() for path in paths}
        own = [path for path in paths if split in folders[path]]
        free = [path for path in paths if not any(other in folders[path] for other in others)]
        if own or free:
            found[name] = (own or free)[0]
    return found
