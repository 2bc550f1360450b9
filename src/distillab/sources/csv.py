"""The ``csv`` source: a CSV or TSV file that lists image files and their labels."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field, field_validator, model_validator

from distillab.errors import RequestError, unknown_name
from distillab.sources.columns import column_values
from distillab.sources.delimited import read_table
from distillab.sources.grouping import captured, check_pattern, encode_groups
from distillab.sources.source import ImageSource, RawSplits, SourcePath, source
from distillab.sources.split_names import SPLIT_NAMES
from distillab.sources.table import TableFiles, TableItems, check_files

FILE_COLUMNS = ("file", "path", "filename", "file_name")


class FileTable(TableFiles):
    """Base class of sources that list files in a CSV or TSV table with a header.

    Attributes:
        root: The folder that the listed files are relative to; by default that of the table.
        file: The column of files, or a pattern with columns in braces such as ``{folder}/{record}.flac``. By
            default a column called file, path, filename or file_name, or else the first one.
        delimiter: The character between cells; by default a tab in ``.tsv`` files and a comma in others.
        split: A column with the split of each example (train, val or test, or names such as validation),
            instead of one file per split.
        group_pattern: A regular expression whose one capturing bracket matches the group in the file's name,
            instead of a column ``group``.
    """

    argument: ClassVar[str | None] = "path"

    root: SourcePath | None = None
    file: str | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    split: str | None = None
    group_pattern: Annotated[str, AfterValidator(check_pattern)] | None = None

    @field_validator("file")
    @classmethod
    def _readable_pattern(cls, file: str | None) -> str | None:
        try:
            list(string.Formatter().parse(file or ""))
        except ValueError as error:
            raise RequestError(f"{file!r} is not a pattern: {error}", allowed="columns in braces") from None
        return file

    @model_validator(mode="after")
    def _one_way_to_splits(self) -> FileTable:
        if self.split is not None and len(self.split_files()) > 1:
            raise RequestError("'split' and files for val or test exclude each other", allowed="one of them")
        if self.group is not None and self.group_pattern is not None:
            raise RequestError("'group' and 'group_pattern' exclude each other", allowed="one of them")
        return self

    def default_name(self) -> str:
        path = (self.path or self.train or Path()).resolve()
        return path.parent.name if path.stem.lower() in (*SPLIT_NAMES, "labels") else path.stem

    def read(self) -> RawSplits:
        files = self.split_files()
        check_files(list(files.values()), "a CSV or TSV file")
        where = str(files["train"])
        read = {split: read_table(path, self.delimiter) for split, path in files.items()}
        columns = self._file_columns(read["train"].column_names, where)
        taken = set(columns) if self.label else {*columns, self.group, self.coarse, self.split}
        candidates = [name for name in read["train"].column_names if name not in taken]
        labels = self.label_columns(candidates, where)
        needed = [*columns, *labels, *self.further_columns(read["train"].column_names, where)]
        for split, table in read.items():
            for column in needed:
                if column not in table.column_names:
                    raise unknown_name("column", column, table.column_names, where=str(files[split]))
        folders = {split: self.root or path.parent for split, path in files.items()}
        tables = self._by_column(read, where)
        items = {
            split: self._items(table, columns, folders.get(split, folders["train"]))
            for split, table in tables.items()
        }
        raw = self.splits_of(_with_numbers(tables, labels), items, {where: pa.schema([])}, labels, where)
        return raw if self.group_pattern is None else _with_groups(raw, self.group_pattern)

    def _file_columns(self, names: list[str], where: str) -> list[str]:
        """Return the columns that the names of the files are made of."""
        if self.file is None:
            return [next((name for name in names if name.lower() in FILE_COLUMNS), names[0])]
        columns = [name for _, name, _, _ in string.Formatter().parse(self.file) if name] or [self.file]
        for column in columns:
            if column not in names:
                raise unknown_name("file column", column, names, where=where)
        return columns

    def _items(self, table: pa.Table, columns: list[str], folder: Path) -> TableItems:
        cells = {column: [cell or "" for cell in table[column].to_pylist()] for column in columns}
        if self.file is None or self.file in columns:
            names = cells[columns[0]]
        else:
            rows = zip(*cells.values(), strict=True)
            names = [self.file.format(**dict(zip(columns, row, strict=True))) for row in rows]
        return TableItems([folder / name for name in names], names)

    def _by_column(self, tables: dict[str, pa.Table], where: str) -> dict[str, pa.Table]:
        """Return the tables of the splits that the column ``split`` names; those given if there is none."""
        if self.split is None:
            return tables
        table = tables["train"]
        if self.split not in table.column_names:
            raise unknown_name("split column", self.split, table.column_names, where=where)
        values = [(value or "").strip() for value in table[self.split].to_pylist()]
        if unknown := next((value for value in values if value.lower() not in SPLIT_NAMES), None):
            raise RequestError(
                f"{unknown!r} is not a split",
                where=f"{where}: {self.split}",
                allowed=", ".join(SPLIT_NAMES),
            )
        named = np.array([SPLIT_NAMES[value.lower()] for value in values])
        found = {split: table.filter(pa.array(named == split)) for split in ("train", "val", "test")}
        if not len(found["train"]):
            raise RequestError("no row is in the train split", where=f"{where}: {self.split}")
        return {split: each for split, each in found.items() if len(each)}


@source("csv")
class Csv(FileTable, ImageSource):
    """A CSV or TSV file that lists image files and their labels, with label sets, splits and groups.

    ``path`` is the table, in UTF-8 with a header, or ``train`` (and ``val``, ``test``) one table each. The
    keys ``root``, ``file``, ``delimiter``, ``split`` and ``group_pattern`` are those of
    :class:`~distillab.sources.csv.FileTable`, ``label``, ``labels``, ``separator``, ``empty``, ``blank``,
    ``group`` and ``coarse`` those of :class:`~distillab.sources.table.TableSource`.

    Example:
        >>> Csv(path="labels.csv", label="finding", separator="|", empty="No Finding").entry()["separator"]
        '|'
    """


def _with_groups(raw: RawSplits, pattern: str) -> RawSplits:
    """Return splits with the groups that a pattern finds in the names of the files."""
    found = {split: captured(each.names, pattern, "group_pattern") for split, each in raw.given().items()}
    group_names, groups = encode_groups(found, "group_pattern")
    splits = {split: replace(each, groups=groups[split]) for split, each in raw.given().items()}
    return replace(
        raw,
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        group_names=group_names,
    )


def _with_numbers(tables: dict[str, pa.Table], labels: list[str]) -> dict[str, pa.Table]:
    """Turn a single column of labels into numbers if all its cells are whole numbers, such as 0 to 9."""
    if len(labels) > 1:
        return tables
    cells = [cell for table in tables.values() for cell in column_values(table[labels[0]]).tolist()]
    if not all(_is_number(cell) for cell in cells):
        return tables
    found = {}
    for split, table in tables.items():
        place = table.column_names.index(labels[0])
        found[split] = table.set_column(place, labels[0], table[labels[0]].cast(pa.int64()))
    return found


def _is_number(cell: str | None) -> bool:
    """Return True for a whole number without leading zeros."""
    return cell is not None and cell.isdecimal() and (cell == "0" or not cell.startswith("0"))
