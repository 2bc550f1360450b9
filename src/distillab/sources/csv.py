"""The ``csv`` source: a CSV or TSV file that lists image files and their labels."""

from __future__ import annotations

import os
import string
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import pyarrow as pa
from pydantic import AfterValidator, Field, field_validator, model_validator

from distillab.data.raw import regular_file
from distillab.errors import RequestError, unknown_name
from distillab.modalities.image.formats import image_extensions
from distillab.sources.delimited import read_table, text_encoding
from distillab.sources.grouping import captured, check_pattern, encode_groups
from distillab.sources.listed_files import FILE_COLUMNS, ListedFiles
from distillab.sources.source import ImageSource, RawSplits, source
from distillab.sources.split_names import SPLIT_NAMES
from distillab.sources.table import TableFiles, TableItems, check_files, lacks_labels


class FileTable(TableFiles):
    """Base class of sources that list files in a CSV or TSV table with a header.

    Attributes:
        file: The column of files, or a pattern with columns in braces such as ``{folder}/{record}.flac``. By
            default a column with a usual name, such as path or image_id, or else the first one. Names may
            lack the ending of the file, or its folder, where only one file has that name.
        delimiter: The character between cells; by default a tab in ``.tsv`` files and a comma in others or,
            if the header has none, the semicolon, tab or bar that it has.
        encoding: The encoding of the table, such as ``latin-1``; by default that of its byte order mark, else
            UTF-8 or, if it is not valid, Windows Latin-1.
        group_pattern: A regular expression whose one capturing bracket matches the group in the file's name,
            instead of a column ``group``.
    """

    argument: ClassVar[str | None] = "path"

    file: str | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
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
    def _one_way_to_groups(self) -> FileTable:
        if self.group is not None and self.group_pattern is not None:
            raise RequestError("'group' and 'group_pattern' exclude each other", allowed="one of them")
        return self

    def default_name(self) -> str:
        path = (self.path or self.train or Path()).resolve()
        return path.parent.name if path.stem.lower() in (*SPLIT_NAMES, "labels") else path.stem

    @classmethod
    @abstractmethod
    def extensions(cls) -> frozenset[str]:
        """Return the endings (lower case, with dot) that listed names may lack."""

    def read(self) -> RawSplits:
        files = self.split_files()
        check_files(list(files.values()), "a CSV or TSV file")
        where = str(files["train"])
        read = {split: read_table(path, self.delimiter, self.encoding) for split, path in files.items()}
        names = read["train"].column_names
        self._check_header(names, files["train"])
        own = self.found_split(read["train"])
        columns = self._file_columns(names, own, where)
        taken = set(columns) if self.label else {*columns, self.group, self.coarse, own, *_INDEX_COLUMNS}
        labels = self.label_columns([name for name in names if name not in taken], where)
        needed = [*columns, *labels, *self.further_columns(names, where)]
        for split, table in read.items():
            for column in needed:
                if column not in table.column_names:
                    unknown = unknown_name("column", column, table.column_names, where=str(files[split]))
                    raise (
                        unknown if split == "train" or column not in labels else lacks_labels(unknown, split)
                    )
        rows, notes = self.rows_by_split(read["train"], where, own)
        tables = read if own is None else {s: read["train"].take(each) for s, each in rows.items()}
        items: dict[str, TableItems] = {}
        for split, table in tables.items():
            folder = self.root or files.get(split, files["train"]).parent
            items[split], more = self._items(table, columns, folder, split, where)
            notes += more
        schemas = {where: pa.schema([])}
        raw = self.splits_of(_with_numbers(tables, labels), items, schemas, labels, where)
        raw = replace(raw, notes=raw.notes + self._encoding_notes(files) + notes)
        return raw if self.group_pattern is None else _with_groups(raw, self.group_pattern)

    def _encoding_notes(self, files: Mapping[str, Path]) -> tuple[str, ...]:
        if self.encoding is not None:
            return ()
        encodings = {path.name: text_encoding(regular_file(path).read_bytes()) for path in files.values()}
        return tuple(
            f"{name} is not in UTF-8 and was read as {encoding}."
            for name, encoding in encodings.items()
            if not encoding.startswith("utf")
        )

    def _check_header(self, names: list[str], table: Path) -> None:
        """Raise RequestError if the first row names a file: it is data, and the header is missing."""
        folder = self.root or table.parent
        for name in names:
            is_file = bool(name.strip("./")) and "." in name and os.path.lexists(folder / name)
            if is_file or Path(name).suffix.lower() in self.extensions():
                raise RequestError(
                    f"the first row, with {name!r}, is data: there is no header",
                    where=str(table),
                    allowed="a first row with the names of the columns, such as file,label",
                )

    def _file_columns(self, names: list[str], own: str | None, where: str) -> list[str]:
        """Return the columns that the names of the files are made of; not that of the splits, by default."""
        if self.file is None:
            names = [name for name in names if name != own]
            usual = {name.lower(): name for name in reversed(names)}
            known = [
                usual[name] for name in FILE_COLUMNS if name in usual and usual[name] not in self._columns
            ]
            others = [name for name in names if name not in {*self._columns, *_INDEX_COLUMNS}]
            return [next(iter(known or others or names))]
        columns = [name for _, name, _, _ in string.Formatter().parse(self.file) if name] or [self.file]
        for column in columns:
            if column not in names:
                raise unknown_name("file column", column, names, where=where)
        return columns

    @property
    def _columns(self) -> set[str | None]:
        """The columns that keys name for something else than files."""
        return {self.label, *(self.labels or ()), self.group, self.coarse, self.split}

    def _items(
        self, table: pa.Table, columns: list[str], folder: Path, split: str, where: str
    ) -> tuple[TableItems, tuple[str, ...]]:
        """Return the files of a split, and notes on those that are not where they are listed."""
        cells = {column: [cell or "" for cell in table[column].to_pylist()] for column in columns}
        if self.file is None or self.file in columns:
            names = cells[columns[0]]
        else:
            rows = zip(*cells.values(), strict=True)
            names = [self.file.format(**dict(zip(columns, row, strict=True))) for row in rows]
        listed = ListedFiles(folder, self.extensions())
        return TableItems(listed.resolve(names, split, where), names), listed.notes


@source("csv")
class Csv(FileTable, ImageSource):
    """A CSV or TSV file that lists image files and their labels, with label sets, splits and groups.

    ``path`` is the table, with a header, or ``train`` (and ``val``, ``test``) one table each. The
    keys ``root``, ``file``, ``delimiter``, ``split`` and ``group_pattern`` are those of
    :class:`~distillab.sources.csv.FileTable`, ``label``, ``labels``, ``separator``, ``empty``, ``blank``,
    ``group`` and ``coarse`` those of :class:`~distillab.sources.table.TableSource`.

    Example:
        >>> Csv(path="labels.csv", label="finding", separator="|", empty="No Finding").entry()["separator"]
        '|'
    """

    @classmethod
    def extensions(cls) -> frozenset[str]:
        return image_extensions()


_INDEX_COLUMNS = ("", "Unnamed: 0")
"""What pandas calls a column of row numbers, and what it is called when read again."""


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
    """Strip a single column of labels, and turn it into numbers if all are whole numbers, such as 0 to 9."""
    if len(labels) > 1:
        return tables
    [label] = labels
    columns = {
        split: pa.array([(cell and cell.strip()) or None for cell in table[label].to_pylist()], pa.string())
        for split, table in tables.items()
    }
    numbers = all(_is_number(cell) for column in columns.values() for cell in column.to_pylist())
    return {
        split: table.set_column(
            table.column_names.index(label),
            label,
            columns[split].cast(pa.int64()) if numbers else columns[split],
        )
        for split, table in tables.items()
    }


def _is_number(cell: str | None) -> bool:
    """Return True for a whole number without leading zeros that fits into 64 bits."""
    if cell is None or not (cell.isascii() and cell.isdecimal()) or len(cell) > _DIGITS:
        return False
    return cell == "0" or not cell.startswith("0")


_DIGITS = 18
