"""Sources of tables: the keys that name columns of labels, groups and coarser classes, and their splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from distillab.data.examples import Indices
from distillab.data.targets import UNLABELLED, Labels, LabelSets, Targets
from distillab.errors import RequestError, unknown_name
from distillab.sources.columns import (
    check_same_names,
    choose_label_column,
    class_names,
    column_values,
    existing_columns,
    is_list,
)
from distillab.sources.labels import (
    Blank,
    LabelList,
    check_label_lists,
    check_label_types,
    encode_categories,
    encode_indicators,
    encode_label_lists,
    encode_labels,
    indicator_width,
    without_labels,
)
from distillab.sources.source import RawSplit, RawSplits, Source, SourcePath, SplitShare
from distillab.sources.split_names import SPLIT_NAMES, likeness
from distillab.sources.written_lists import joined_label_notes, with_lists


@dataclass(frozen=True)
class TableItems:
    """The examples of one split of a table before decoding.

    Attributes:
        items: N items.
        names: N printable names.
    """

    items: Sequence[Any]
    names: Sequence[str]

    def take(self, rows: Indices) -> TableItems:
        """Return the examples of some rows."""
        return TableItems([self.items[row] for row in rows], [self.names[row] for row in rows])


class TableSource(Source):
    """Base class of sources of tables, with the keys that name columns.

    Targets are one class per example if ``label`` names a column of numbers or names. They are label sets,
    for ``task: multilabel``, if ``label`` names a column of lists (or of texts with a ``separator``), or if
    ``labels`` names one column per label with the values 1, 0, -1 (uncertain) and blank.

    Attributes:
        label: The column of labels; it need not be named if there is only one candidate.
        labels: Columns of label sets, one per label; the columns' names are the classes.
        separator: The text between the labels of one cell, such as ``|``.
        empty: The label that stands for an empty set, such as ``No Finding``.
        blank: Whether a blank means that a label is absent (``zeros``) or unknown (``ignore``).
        group: A column of groups.
        coarse: A column of coarser classes.
    """

    label: str | None = None
    labels: Annotated[list[str], Field(min_length=1)] | None = None
    separator: Annotated[str, Field(min_length=1)] | None = None
    empty: str | None = None
    blank: Blank = "zeros"
    group: str | None = None
    coarse: str | None = None

    @field_validator("labels")
    @classmethod
    def _named_once(cls, labels: list[str] | None) -> list[str] | None:
        if labels and len(set(labels)) < len(labels):
            raise RequestError("a label column is named twice", allowed="different columns")
        return labels

    @model_validator(mode="after")
    def _one_way_to_labels(self) -> TableSource:
        if self.labels is None:
            return self
        for key in ("label", "separator", "empty", "coarse"):
            if getattr(self, key) is not None:
                raise RequestError(
                    f"'labels' and {key!r} exclude each other", allowed="one column per label, or `label`"
                )
        return self

    def label_columns(self, candidates: Sequence[str], where: str) -> list[str]:
        """Return the columns of labels, from those that could be. Raises RequestError for an unknown one."""
        if self.labels is None:
            return [choose_label_column(candidates, self.label, where)]
        for name in self.labels:
            if name not in candidates:
                raise unknown_name("label column", name, candidates, where=where)
        return self.labels

    def further_columns(self, known: Sequence[str], where: str) -> list[str]:
        """Return the columns of groups and coarser classes. Raises RequestError for an unknown one."""
        return existing_columns({"group": self.group, "coarse": self.coarse}, known, where)

    def splits_of(
        self,
        tables: Mapping[str, pa.Table],
        items: Mapping[str, TableItems],
        schemas: Mapping[str, pa.Schema],
        labels: list[str],
        where: str,
    ) -> RawSplits:
        """Return the splits that tables hold.

        Args:
            tables: By split, tables with the columns of labels, groups and coarser classes.
            items: The items of each split.
            schemas: By place, the schemas that may state class names.
            labels: The columns of labels.
            where: The place of the tables, for messages.
        """
        names: dict[str, list[str] | None] = {}
        for column in filter(None, (*labels, self.coarse)):
            stated = {place: class_names(schema, column) for place, schema in schemas.items()}
            check_same_names(stated, column)
            names[column] = next(iter(stated.values()))
        classes, targets = self._targets(tables, labels, names[labels[0]], where)
        for split, each in targets.items():
            if split != "train" and len(each) and not each.labelled.any():
                raise without_labels(split, len(each), f"{where}: {labels[0]}")
        group_names, groups = (
            self._categories(tables, self.group, None, where) if self.group else ((), dict[str, Indices]())
        )
        parents: tuple[str, ...] = ()
        if self.coarse:
            coarser, codes = self._categories(tables, self.coarse, names[self.coarse], where)
            parents = _parents(classes, targets, coarser, codes, f"{where}: {self.coarse}")
        splits = {
            split: RawSplit(each.items, targets[split], each.names, groups.get(split))
            for split, each in items.items()
        }
        single = all(isinstance(each, Labels) for each in targets.values())
        return RawSplits(
            classes,
            splits["train"],
            splits.get("val"),
            splits.get("test"),
            group_names,
            parents=parents,
            notes=joined_label_notes(classes) if single else (),
        )

    def _targets(
        self, tables: Mapping[str, pa.Table], labels: list[str], names: list[str] | None, where: str
    ) -> tuple[tuple[str, ...], Mapping[str, Targets]]:
        """Return class names, and the targets of each split."""
        if self.labels is not None:
            columns = {
                split: {name: column_values(table[name]) for name in labels}
                for split, table in tables.items()
            }
            return tuple(labels), {
                split: encode_indicators(each, self.blank, f"{where}: {split}")
                for split, each in columns.items()
            }
        [label] = labels
        place = f"{where}: {label}"
        if self.separator is None:
            tables = with_lists(tables, label, place)
        check_label_types([table.schema.field(label) for table in tables.values()], place)
        if self.separator is not None or any(is_list(table[label].type) for table in tables.values()):
            return self._label_sets({split: table[label] for split, table in tables.items()}, names, place)
        if self.empty is not None:
            raise RequestError("'empty' is for label sets", where=place, allowed="a `separator`, or lists")
        return encode_labels(
            {split: column_values(table[label]) for split, table in tables.items()}, names, place
        )

    def _label_sets(
        self, columns: Mapping[str, pa.ChunkedArray], names: list[str] | None, place: str
    ) -> tuple[tuple[str, ...], dict[str, LabelSets]]:
        """Return class names and the label sets of columns of lists, of labels or of 0 and 1 per class."""
        lists = {split: self._lists(column) for split, column in columns.items()}
        check_label_lists(lists, place)
        if (width := indicator_width(lists, place)) is None:
            return encode_label_lists(lists, names, self.blank, place)
        classes = tuple(names or map(str, range(width)))
        if len(classes) != width:
            raise RequestError(
                f"lists have {width} values, and there are {len(classes)} classes", where=place
            )
        absent = [0 if self.blank == "zeros" else UNLABELLED] * width
        values = {split: [absent if each is None else each for each in some] for split, some in lists.items()}
        return classes, {split: LabelSets(np.array(v, dtype=np.int8), width) for split, v in values.items()}

    def _lists(self, column: pa.ChunkedArray) -> list[LabelList]:
        """Return the labels of each row; None for a blank."""
        cells: list[LabelList] = column.to_pylist()
        if not is_list(column.type):
            cells = [self._parts(cell) for cell in cells]
        if self.empty is None:
            return cells
        return [None if cell is None else [each for each in cell if each != self.empty] for cell in cells]

    def _parts(self, cell: Any) -> list[str] | None:
        text = "" if cell is None else str(cell)
        parts = [part.strip() for part in text.split(self.separator)]
        return [part for part in parts if part] or None

    def _categories(
        self, tables: Mapping[str, pa.Table], column: str, names: list[str] | None, where: str
    ) -> tuple[tuple[str, ...], dict[str, Indices]]:
        values = {split: column_values(table[column]) for split, table in tables.items()}
        return encode_categories(values, names, f"{where}: {column}")


_SPLIT_COLUMNS = ("split", "splits", "subset", "partition", "set", "data_split", "dataset_split")
"""Usual names of columns of splits, which are used where they are not named."""


class TableFiles(TableSource):
    """Base class of sources of table files: one file, one file per split, or a share to carve.

    Attributes:
        path: One file, from which all splits are read or carved.
        train: The file of the train split, instead of ``path``.
        val: The file of the val split, or the share of train to carve.
        test: The file of the test split, or the share of train to carve.
        split: A column with the split of each example (train, val or test, or names such as validation),
            instead of one file per split; ``splits`` states which value stands for which. By default a column
            called split, subset or partition, if all of its values are names of splits.
        root: The folder that listed files are relative to; by default that of the table.
    """

    names_splits: ClassVar[bool] = True

    path: SourcePath | None = None
    train: SourcePath | None = None
    val: SplitShare | SourcePath = 0.1  # type: ignore[assignment]  # a share, as for every source, or a file
    test: SplitShare | SourcePath = 0.2  # type: ignore[assignment]
    split: str | None = None
    root: SourcePath | None = None

    @model_validator(mode="after")
    def _one_way_to_files(self) -> TableFiles:
        if (self.path is None) == (self.train is None):
            raise RequestError(
                "give one of 'path' and 'train'", allowed="path: one file or folder, or train: file"
            )
        if self.path is not None and (isinstance(self.val, Path) or isinstance(self.test, Path)):
            raise RequestError(
                "'path' and files for val or test exclude each other", allowed="train, val, test"
            )
        if self.split is not None and len(self.split_files()) > 1:
            raise RequestError("'split' and files for val or test exclude each other", allowed="one of them")
        return self

    def split_files(self) -> dict[str, Path]:
        """Return the file of each split, train first; ``path`` is train."""
        given = {"train": self.train or self.path, "val": self.val, "test": self.test}
        if self.split is None and any((self.splits or {}).values()):
            raise RequestError(
                "`splits` states values of a column, which is not named",
                allowed="`split`, the column of splits",
            )
        used = {split: path for split, path in given.items() if split not in self.unused_splits}
        return {split: path for split, path in used.items() if isinstance(path, Path)}

    def found_split(self, table: pa.Table) -> str | None:
        """Return the column of splits: the stated one or, in a single table, one with a usual name.

        Every value of such a column must be the name of a split, and train and another one must occur.
        """
        if self.split is not None or len(self.split_files()) > 1 or (self.path and self.path.is_dir()):
            return self.split
        taken = {self.label, *(self.labels or ()), self.group, self.coarse}
        for name in split_columns(table.column_names):
            if name not in taken:
                values = {str(value).strip().lower() for value in table[name].unique().to_pylist()}
                splits = {SPLIT_NAMES.get(value) for value in values}
                if None not in splits and "train" in splits and len(splits) > 1:
                    return name
        return None

    def rows_by_split(
        self, table: pa.Table, where: str, column: str | None
    ) -> tuple[dict[str, Indices], tuple[str, ...]]:
        """Return the rows of each split, by a column of splits, and notes on those left out.

        Args:
            table: The table.
            where: Its place, for messages.
            column: The column of splits; all rows are train without one.

        Raises:
            RequestError: There is no such column, no row is in train, or a value is not a split.
        """
        if column is None:
            return {"train": np.arange(len(table), dtype=np.int64)}, ()
        if column not in table.column_names:
            raise unknown_name("split column", column, table.column_names, where=where)
        place = f"{where}: {column}"
        values = ["" if v is None else str(v).strip() for v in table[column].to_pylist()]
        counts = Counter(values)
        chosen = self.split_choice.of([value for value in counts if value], place)
        unused = [value for value in counts if value not in chosen and not self._is_unused(value)]
        if unused and not any((self.splits or {}).values()):
            raise RequestError(
                f"{unused[0]!r} is not a split",
                where=place,
                allowed="train, val and test, or `splits: {train: VALUE, test: VALUE}` with other values",
            )
        rows = {
            split: np.flatnonzero([chosen.get(value) == split for value in values]).astype(np.int64)
            for split in ("train", "val", "test")
        }
        if not len(rows["train"]):
            raise RequestError("no row is in the train split", where=place)
        number, shown = sum(counts[value] for value in unused), ", ".join(map(repr, unused[:5]))
        notes: tuple[str, ...] = (
            (f"Rows that belong to no split, left out: {number:,} ({shown}).",) if unused else ()
        )
        if self.split is None:
            notes += (f"The splits are those of the column {column!r}.",)
        return {split: each for split, each in rows.items() if len(each)}, notes

    def _is_unused(self, value: str) -> bool:
        like = likeness(value)
        return like is not None and like.split in self.unused_splits


def split_columns(names: Sequence[str]) -> list[str]:
    """Return the columns with a usual name of columns of splits."""
    return [name for name in names if name.strip().lower() in _SPLIT_COLUMNS]


def check_files(paths: Sequence[Path], allowed: str) -> None:
    """Raise RequestError, naming what is ``allowed``, unless every path is a file."""
    for path in paths:
        if not path.is_file():
            what = "this is a folder" if path.is_dir() else "there is no such file"
            raise RequestError(what, where=str(path), allowed=allowed)


def lacks_labels(unknown: RequestError, split: str) -> RequestError:
    """Return an error for a missing column of labels that also states how to leave the split out."""
    way = f"or `splits: {{{split}: null}}`, which leaves the {split} split out"
    return RequestError(unknown.what, where=unknown.where, allowed=f"{unknown.allowed}, {way}")


def _parents(
    classes: Sequence[str],
    targets: Mapping[str, Targets],
    coarser: Sequence[str],
    codes: Mapping[str, Indices],
    where: str,
) -> tuple[str, ...]:
    """Return the coarser class of each class; empty for a class without examples, which ingest leaves out."""
    if not all(isinstance(each, Labels) for each in targets.values()):
        raise RequestError(
            "examples with several labels have no one coarser class", where=where, allowed="no `coarse`"
        )
    fine = np.concatenate([each.values for each in targets.values()])
    coarse = np.concatenate([codes[split] for split in targets])
    parents = [""] * len(classes)
    for label, code in np.unique(np.stack([fine, coarse]), axis=1).T:
        if parents[label]:
            raise RequestError(
                f"class {classes[label]!r} belongs to {parents[label]!r} and to {coarser[code]!r}",
                where=where,
                allowed="a column with one coarser class for every class",
            )
        parents[label] = coarser[code]
    return tuple(parents)
