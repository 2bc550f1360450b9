"""Sources of tables: the keys that name columns of labels, groups and coarser classes, and their splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from distillab.data.examples import Indices
from distillab.data.targets import Labels, Targets
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
    encode_categories,
    encode_indicators,
    encode_label_lists,
    encode_labels,
)
from distillab.sources.source import RawSplit, RawSplits, Source, SourcePath, SplitShare


@dataclass(frozen=True)
class TableItems:
    """The examples of one split of a table before decoding.

    Attributes:
        items: N items.
        names: N printable names.
    """

    items: Sequence[Any]
    names: Sequence[str]


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
        return RawSplits(
            classes, splits["train"], splits.get("val"), splits.get("test"), group_names, parents=parents
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
        if self.separator is not None or any(is_list(table[label].type) for table in tables.values()):
            lists = {split: self._lists(table[label]) for split, table in tables.items()}
            return encode_label_lists(lists, names, self.blank, place)
        if self.empty is not None:
            raise RequestError("'empty' is for label sets", where=place, allowed="a `separator`, or lists")
        return encode_labels(
            {split: column_values(table[label]) for split, table in tables.items()}, names, place
        )

    def _lists(self, column: pa.ChunkedArray) -> list[LabelList]:
        """Return the labels of each row; None for a blank."""
        cells = column.to_pylist()
        if not is_list(column.type):
            cells = [self._parts(cell) for cell in cells]
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


class TableFiles(TableSource):
    """Base class of sources of table files: one file, one file per split, or a share to carve.

    Attributes:
        path: One file, from which all splits are read or carved.
        train: The file of the train split, instead of ``path``.
        val: The file of the val split, or the share of train to carve.
        test: The file of the test split, or the share of train to carve.
    """

    path: SourcePath | None = None
    train: SourcePath | None = None
    val: SplitShare | SourcePath = 0.1  # type: ignore[assignment]  # a share, as for every source, or a file
    test: SplitShare | SourcePath = 0.2  # type: ignore[assignment]

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
        return self

    def split_files(self) -> dict[str, Path]:
        """Return the file of each split, train first; ``path`` is train."""
        given = {"train": self.train or self.path, "val": self.val, "test": self.test}
        return {split: path for split, path in given.items() if isinstance(path, Path)}


def check_files(paths: Sequence[Path], allowed: str) -> None:
    """Raise RequestError, naming what is ``allowed``, unless every path is a file."""
    for path in paths:
        if not path.is_file():
            what = "this is a folder" if path.is_dir() else "there is no such file"
            raise RequestError(what, where=str(path), allowed=allowed)


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
