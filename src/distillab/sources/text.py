"""The ``text`` source: texts and their labels in CSV, TSV and JSON-lines files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from distillab.data.raw import Progress, regular_file
from distillab.errors import RequestError, unknown_name
from distillab.modalities import Decoded
from distillab.modalities.text import LONGEST, TEXT, encode_texts
from distillab.sources.delimited import read_table, require_unicode
from distillab.sources.source import RawSplits, Source, SourcePath, source
from distillab.sources.table import TableFiles, TableItems, check_files, lacks_labels

JSON_LINES = (".json", ".jsonl", ".ndjson")
TEXT_COLUMNS = ("text", "sentence", "title", "review", "content", "comment", "query")
"""Usual names of columns of texts; the first that a table has is used if none is stated."""


@source("text")
class Texts(TableFiles, Source):
    """Texts and their labels: a CSV or TSV table, or JSON lines, with one text per row.

    A file whose name ends in ``.json``, ``.jsonl`` or ``.ndjson`` has one JSON object per line, as the tasks
    of CLUE have them; other files are tables with a header, unless ``columns`` names the columns of one
    without. Texts are in normal form NFKC and are cut to ``length`` characters. The vocabulary is that of
    the training split.

    The keys of labels, splits and groups are those of :class:`~distillab.sources.table.TableFiles`.

    Attributes:
        text: The column of texts; by default one with a usual name, such as text or sentence.
        columns: Names of the columns of tables without a header.
        delimiter: The character between cells; by default a tab in ``.tsv`` files and in those without a
            header, and a comma in others.
        encoding: The encoding of the files; by default that of a byte order mark, else UTF-8.
        length: Characters per text that are kept.
        class_file: A file with the name of class 0, 1, ... per line, for labels that are such numbers.

    Example:
        >>> Texts(path="reviews.csv", text="review", label="label", length=64).entry()["length"]
        64
    """

    argument: ClassVar[str | None] = "path"
    modality: ClassVar[str] = TEXT

    text: str | None = None
    columns: Annotated[list[str], Field(min_length=2)] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    length: Annotated[int, Field(ge=4, le=LONGEST)] = 128
    class_file: SourcePath | None = None

    @field_validator("columns")
    @classmethod
    def _different(cls, columns: list[str] | None) -> list[str] | None:
        if columns and len(set(columns)) < len(columns):
            raise RequestError(f"{columns} names a column twice", allowed="different names")
        return columns

    def default_name(self) -> str:
        path = (self.path or self.train or Path()).resolve()
        return path.stem if self.path else path.parent.name

    def read(self) -> RawSplits:
        files = self.split_files()
        check_files(list(files.values()), "a CSV, TSV or JSON-lines file")
        where = str(files["train"])
        read = {split: self._table(path) for split, path in files.items()}
        names = read["train"].column_names
        own = self.found_split(read["train"])
        text = self._text_column(names, where)
        labels = self.label_columns([name for name in names if name not in {text, self.group, own}], where)
        needed = [text, *labels, *self.further_columns(names, where)]
        for split, table in read.items():
            for column in needed:
                if column not in table.column_names:
                    unknown = unknown_name("column", column, table.column_names, where=str(files[split]))
                    raise unknown if column not in labels else lacks_labels(unknown, split)
        rows, notes = self.rows_by_split(read["train"], where, own)
        tables = read if own is None else {split: read["train"].take(each) for split, each in rows.items()}
        items = {split: _items(table, text, split) for split, table in tables.items()}
        raw = self.splits_of(tables, items, {where: pa.schema([])}, labels, where)
        return self._named(replace(raw, notes=raw.notes + notes))

    def decode(self, items: Sequence[str], names: Sequence[str], progress: Progress | None = None) -> Decoded:
        return encode_texts(items, names, self.length)

    def _text_column(self, names: Sequence[str], where: str) -> str:
        if self.text is not None:
            if self.text not in names:
                raise unknown_name("text column", self.text, names, where=where)
            return self.text
        usual = {name.lower(): name for name in reversed(names)}
        found = [usual[name] for name in TEXT_COLUMNS if name in usual]
        if not found:
            raise RequestError(
                f"no column of {', '.join(names)} has a usual name of texts",
                where=where,
                allowed="`text: COLUMN`",
            )
        return found[0]

    def _table(self, path: Path) -> pa.Table:
        encoding = self.encoding or require_unicode(path)
        if path.suffix.lower() in JSON_LINES:
            return _read_json_lines(path, encoding)
        if self.columns is None:
            return read_table(path, self.delimiter, encoding)
        return _read_without_header(path, self.columns, self.delimiter or "\t", encoding)

    def _named(self, raw: RawSplits) -> RawSplits:
        """Return the splits with the class names of ``class_file``, if there is one."""
        if self.class_file is None:
            return raw
        names = [
            line.strip()
            for line in _lines(self.class_file, self.encoding or require_unicode(self.class_file))
        ]
        while names and not names[-1]:
            names.pop()
        numbers = [int(name) if name.isascii() and name.isdecimal() else -1 for name in raw.classes]
        if len(set(numbers)) < len(numbers) or not all(
            0 <= each < len(names) and names[each] for each in numbers
        ):
            raise RequestError(
                f"names {len(names)} classes, and labels are {', '.join(raw.classes[:5])}, ...",
                where=str(self.class_file),
                allowed="labels that are numbers of its lines, from 0, each with a name",
            )
        return replace(raw, classes=tuple(names[each] for each in numbers))


def _items(table: pa.Table, text: str, split: str) -> TableItems:
    texts = ["" if each is None else str(each) for each in table[text].to_pylist()]
    return TableItems(texts, [f"{split}[{row}]" for row in range(len(texts))])


def _lines(path: Path, encoding: str) -> list[str]:
    try:
        data = regular_file(path).read_bytes()
        text = data.decode(encoding).removeprefix("\ufeff")
        # Not splitlines, which also splits at characters that texts contain, such as U+2028.
        return text.replace("\r\n", "\n").split("\n")
    except (OSError, UnicodeError, LookupError) as error:
        raise RequestError(
            f"cannot be read: {error}", where=str(path), allowed="a text file in UTF-8, or `encoding`"
        ) from None


def _read_json_lines(path: Path, encoding: str) -> pa.Table:
    rows: list[dict[str, object]] = []
    for number, line in enumerate(_lines(path, encoding), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise RequestError(
                "this line is no JSON object",
                where=f"{path}, line {number}",
                allowed='one object per line, such as {"sentence": "...", "label": "108"}',
            )
        rows.append(row)
    if not rows:
        raise RequestError("there is no row in this file", where=str(path))
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [[_cell(row.get(name)) for row in rows] for name in names]
    return pa.Table.from_arrays([pa.array(each, pa.string()) for each in columns], names=names)


def _cell(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False)


def _read_without_header(path: Path, columns: list[str], delimiter: str, encoding: str) -> pa.Table:
    rows = []
    for number, line in enumerate(_lines(path, encoding), start=1):
        if not line.strip():
            continue
        cells = line.split(delimiter)
        if len(cells) != len(columns):
            raise RequestError(
                f"this line has {len(cells)} cells, and `columns` names {len(columns)}",
                where=f"{path}, line {number}",
            )
        rows.append(cells)
    if not rows:
        raise RequestError("there is no row in this file", where=str(path))
    cells_of = zip(*rows, strict=True)
    return pa.Table.from_arrays(
        [pa.array([cell or None for cell in each], pa.string()) for each in cells_of], names=columns
    )
