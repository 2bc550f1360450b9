"""The ``parquet`` source: Parquet files as the Hugging Face Hub lays them out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from distillab.data import storage
from distillab.data.raw import regular_file
from distillab.errors import RequestError, unknown_name
from distillab.modalities.image.formats import image_extensions
from distillab.parquet_files import open_parquet, read_parquet
from distillab.sources.cells import ImageColumn
from distillab.sources.columns import choose_image_column, column_images, is_text
from distillab.sources.listed_files import ListedFiles, file_below
from distillab.sources.source import ImageSource, RawSplits, source
from distillab.sources.split_names import SplitChoice, shard_names, splits_by_name, visible_files
from distillab.sources.table import TableFiles, TableItems, check_files, lacks_labels, split_columns


@source("parquet")
class Parquet(TableFiles, ImageSource):
    """Parquet files with encoded images, one per split or in the layout of the Hugging Face Hub.

    Either ``train`` (and ``val``, ``test``), one file each, or ``path``: one file, or a folder whose files
    are called train-*.parquet, validation-*.parquet, test-*.parquet. ``image`` is a binary column or a
    struct of bytes and path, and need not be named if it is the only one. Class names are read from the
    schema's ``huggingface`` metadata. ``label``, ``labels``, ``separator``, ``group`` and ``coarse`` are
    those of :class:`~distillab.sources.table.TableSource`.

    Attributes:
        image: The column of images: encoded, structs of bytes and path, or paths below ``root``.

    Example:
        >>> Parquet(path="cifar100/train.parquet", label="fine_label").entry()
        {'source': 'parquet', 'label': 'fine_label', 'path': 'cifar100/train.parquet'}
    """

    argument: ClassVar[str | None] = "path"

    image: str | None = None

    def default_name(self) -> str:
        path = (self.path or self.train or Path()).resolve()
        is_split = path.suffix == ".parquet" and splits_by_name(shard_names(path.stem))
        return path.parent.name if is_split else path.stem

    def read(self) -> RawSplits:
        files = self._files()
        where = str(files["train"][0])
        schema = _schema(files["train"][0])
        image = choose_image_column(schema, self.image, where)
        known = split_columns(schema.names)
        own = self.found_split(_table(files["train"], known, "train", [])) if known else self.split
        taken = (image, *(() if self.label else (self.group, self.coarse, own)))
        labels = self.label_columns([name for name in schema.names if name not in taken], where)
        further = [*self.further_columns(schema.names, where), *([own] if own else [])]
        large = sum(path.stat().st_size for paths in files.values() for path in paths) > storage.LARGE
        stored = large and not is_text(schema.field(image).type)
        columns = list(dict.fromkeys([*([] if stored else [image]), *labels, *further]))
        tables = {split: _table(paths, columns, split, labels) for split, paths in files.items()}
        notes: tuple[str, ...] = ()
        if own is not None:
            rows, notes = self.rows_by_split(tables["train"], where, own)
            every = self._items(tables["train"], files["train"], image, "train", stored)
            items = {split: every.take(each) for split, each in rows.items()}
            tables = {split: tables["train"].take(each) for split, each in rows.items()}
        else:
            items = {
                split: self._items(tables[split], paths, image, split, stored)
                for split, paths in files.items()
            }
        if is_text(schema.field(image).type):
            items, more = self._found(
                items, {s: files.get(s, files["train"])[0].parent for s in items}, where
            )
            notes += more
        schemas = {str(path): _schema(path) for paths in files.values() for path in paths}
        raw = self.splits_of(tables, items, schemas, labels, where)
        return replace(raw, notes=raw.notes + notes)

    def _items(self, table: pa.Table, paths: list[Path], image: str, split: str, stored: bool) -> TableItems:
        """Return the images of a split; they stay in their files if they are ``stored``."""
        if stored:
            return _cells(paths, image, split)
        return TableItems(*column_images(table[image], split, self.root or paths[0].parent))

    def _found(
        self, items: dict[str, TableItems], folders: dict[str, Path], where: str
    ) -> tuple[dict[str, TableItems], tuple[str, ...]]:
        """Return listed files as they are found, and notes on those that are not where they are listed."""
        found: dict[str, TableItems] = {}
        notes: tuple[str, ...] = ()
        for split, each in items.items():
            listed = ListedFiles(self.root or folders[split], image_extensions())
            paths = [file_below(listed.folder, path) for path in listed.resolve(each.names, split, where)]
            found[split] = TableItems(paths, each.names)
            notes += listed.notes
        return found, notes

    def _files(self) -> dict[str, list[Path]]:
        """Return the files of each split, train first."""
        if self.path is not None and self.path.is_dir():
            return hub_files(self.path, self.split_choice)
        files = self.split_files()
        check_files(list(files.values()), "a .parquet file")
        return {split: [path] for split, path in files.items()}


def hub_files(folder: Path, choice: SplitChoice) -> dict[str, list[Path]]:
    """Return the Parquet files of each split below a folder, by file name or by the name of their folder.

    Args:
        folder: The folder.
        choice: The source's own names of splits, where they are stated.

    Raises:
        RequestError: There are none, none for train, or two folders with one split (two configurations of a
            dataset, which must not be read as one).
    """
    found = visible_files(folder, "*.parquet")
    names = {path: (*shard_names(path.stem), *shard_names(path.parent.name)) for path in found}
    chosen = choice.of(list(dict.fromkeys(name for some in names.values() for name in some)), str(folder))
    files: dict[str, list[Path]] = {}
    for path, some in names.items():
        if (split := next((chosen[name] for name in some if name in chosen), None)) is not None:
            files.setdefault(split, []).append(path)
    if "train" not in files:
        raise RequestError(
            "there is no Parquet file of a train split here",
            where=str(folder),
            allowed="train-*.parquet (val-*.parquet, test-*.parquet), or `splits: {train: NAME}`",
        )
    for split, paths in files.items():
        if len(parents := sorted({str(path.parent) for path in paths})) > 1:
            raise RequestError(
                f"several folders hold a {split} split", where=str(folder), allowed=" or ".join(parents)
            )
    return {split: files[split] for split in ("train", "val", "test") if split in files}


def _cells(paths: list[Path], image: str, split: str) -> TableItems:
    cells = ImageColumn(paths, image).cells()
    return TableItems(cells, [f"{split}[{row}]" for row in range(len(cells))])


def _schema(path: Path) -> pa.Schema:
    try:
        with open_parquet(regular_file(path)) as file:
            return file.schema_arrow
    except (OSError, pa.ArrowInvalid) as error:
        raise RequestError(f"cannot be read: {error}", where=str(path), allowed="a Parquet file") from None


def _table(paths: list[Path], columns: list[str], split: str, labels: list[str]) -> pa.Table:
    tables = []
    for path in paths:
        for column in columns:
            if column not in (names := _schema(path).names):
                unknown = unknown_name("column", column, names, where=str(path))
                raise lacks_labels(unknown, split) if split != "train" and column in labels else unknown
        try:
            tables.append(read_parquet(path, columns))
        except (OSError, pa.ArrowException) as error:
            raise RequestError(
                f"cannot be read: {error}", where=str(path), allowed="a Parquet file"
            ) from None
    return pa.concat_tables(tables, promote_options="permissive")
