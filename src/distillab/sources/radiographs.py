"""Public collections of chest X-rays: what their sources share."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from distillab.data.targets import LabelSets
from distillab.errors import RequestError, unknown_name
from distillab.sources.delimited import read_lines, read_table
from distillab.sources.grouping import encode_groups
from distillab.sources.source import ImageSource, RawSplit, RawSplits, SourcePath, SplitUnit

NO_FINDING = "No Finding"


@dataclass(frozen=True, eq=False)
class RadiographRecords:
    """The images that the tables of a collection list.

    Attributes:
        classes: Names of the findings.
        findings: int8 ``[N, len(classes)]``: 1 (present), 0 (absent) or -1 (unknown).
        files: N files.
        names: N printable names.
        patients: The patient of each image.
        splits: The split of each image: train, val or test.
        notes: Sentences for the data report.
    """

    classes: tuple[str, ...]
    findings: npt.NDArray[np.int8]
    files: Sequence[Path]
    names: Sequence[str]
    patients: Sequence[str]
    splits: Sequence[str]
    notes: tuple[str, ...] = ()


class Radiographs(ImageSource):
    """Base class of sources of chest X-rays. Targets are label sets, for ``task: multilabel``.

    An image without a finding has an empty set. Whole patients are carved, and a patient on two sides of the
    splits that the collection states is refused; ``split_by: image`` permits both.

    Attributes:
        path: The folder of the collection.
        projections: Keep only images of these projections, as the tables name them; all by default.
    """

    argument: ClassVar[str | None] = "path"

    path: SourcePath
    projections: Annotated[list[str], Field(min_length=1)] | None = None
    split_by: SplitUnit = "group"

    @abstractmethod
    def records(self) -> RadiographRecords:
        """Return what the tables list. Raises RequestError if they are not in the layout of the collection.

        Images of other projections are not among them.
        """

    def read(self) -> RawSplits:
        records = self.records()
        if not any(map(os.path.lexists, records.files)):
            what = f"no listed image exists below {self.path}, such as {records.names[0]!r}"
            raise RequestError(what, where=self.kind, allowed="the folder that holds tables and images")
        if self.split_by == "group":
            self._check_patients(records)
        group_names, groups = encode_groups({"all": list(records.patients)}, f"{self.kind}: patients")
        splits = {}
        for split in ("train", "val", "test"):
            rows = [row for row, own in enumerate(records.splits) if own == split]
            if rows:
                splits[split] = RawSplit(
                    [records.files[row] for row in rows],
                    LabelSets(records.findings[rows], len(records.classes)),
                    [records.names[row] for row in rows],
                    groups["all"][rows],
                )
        return RawSplits(
            records.classes,
            splits["train"],
            splits.get("val"),
            splits.get("test"),
            group_names,
            notes=records.notes,
        )

    def _check_patients(self, records: RadiographRecords) -> None:
        sides: dict[str, str] = {}
        for patient, split in zip(records.patients, records.splits, strict=True):
            if split not in self.unused_splits and sides.setdefault(patient, split) != split:
                raise RequestError(
                    f"patient {patient!r} is in {sides[patient]} and in {split}",
                    where=self.kind,
                    allowed="splits without common patients, `splits: {SPLIT: null}`, which carves another,"
                    " or `split_by: image`",
                )

    def of_projections(
        self, table: pa.Table, column: str, where: str, left_out: Sequence[str] = ()
    ) -> pa.Table:
        """Return the rows of a table whose projection is kept.

        Args:
            table: The table, with texts.
            column: The column of projections.
            where: The place of the table, for messages.
            left_out: Projections that are left out unless ``projections`` names them.

        Raises:
            RequestError: ``projections`` names one that does not occur.
        """
        values = texts(table, column)
        known = sorted(set(filter(None, values)))
        for name in self.projections or ():
            if name not in known:
                raise unknown_name("projection", name, known, where=f"{where}: {column}")
        kept = [value in self.projections if self.projections else value not in left_out for value in values]
        return table.filter(pa.array(kept))


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Return a table of texts, without other columns.

    Args:
        path: The file.
        columns: The columns that it must have.

    Raises:
        RequestError: There is no such file, or it lacks a column.
    """
    if not path.is_file():
        raise RequestError("there is no such table", where=str(path), allowed="the files of the collection")
    table = read_table(path)
    for column in columns:
        if column not in table.column_names:
            raise unknown_name("column", column, table.column_names, where=str(path))
    return table.select(columns)


def texts(table: pa.Table, column: str) -> list[str]:
    """Return the cells of a column without blanks around them; empty texts for empty cells.

    Example:
        >>> texts(pa.table({"view": ["PA ", None]}), "view")
        ['PA', '']
    """
    return [(cell or "").strip() for cell in table[column].to_pylist()]


def encode_findings(
    lists: Sequence[Sequence[str]], classes: Sequence[str], names: Sequence[str], where: str
) -> npt.NDArray[np.int8]:
    """Return int8 ``[N, len(classes)]``: whether each list names each finding.

    Args:
        lists: The findings of each image.
        classes: Names of the findings.
        names: Names of the images, for messages.
        where: The place of the lists.

    Raises:
        RequestError: A list names a finding that is none of the classes.

    Example:
        >>> encode_findings([["Edema"], []], ("Edema", "Mass"), ("a.png", "b.png"), "table").tolist()
        [[1, 0], [0, 0]]
    """
    place = {name: number for number, name in enumerate(classes)}
    found = np.zeros((len(lists), len(classes)), dtype=np.int8)
    for row, each in enumerate(lists):
        for finding in each:
            if finding not in place:
                unknown = unknown_name("finding", finding, classes, where=f"{where}: {names[row]}")
                raise unknown
            found[row, place[finding]] = 1
    return found


def files_by_name(folder: Path, names: Sequence[str], where: str) -> list[Path]:
    """Return the file of each name, wherever below a folder; the folder's own path for one that is missing.

    Args:
        folder: The folder.
        names: Names of files.
        where: The place of the names, for messages.

    Raises:
        RequestError: Two files have one listed name.

    Example:
        >>> files_by_name(Path("no such folder"), ["a.png"], "table")
        [PosixPath('no such folder/a.png')]
    """
    wanted, found = set(names), dict[str, Path]()
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in files:
            path = Path(parent, name)
            if name in wanted and found.setdefault(name, path) != path:
                raise RequestError(
                    f"{name!r} may be {found[name].relative_to(folder)} or {path.relative_to(folder)}",
                    where=where,
                    allowed="one file of each name",
                )
    return [found.get(name, folder / name) for name in names]


def by_list(names: Sequence[str], lists: Mapping[str, Path]) -> tuple[list[str | None], tuple[str, ...]]:
    """Return the split of each name, by the files that list the names of a split, and notes.

    A name that no file lists has no split. Without any of the files, all are train.

    Args:
        names: The names.
        lists: The file of each split, one name per line.

    Raises:
        RequestError: Some of the files exist, but not all, or a name is in two of them or twice listed.
    """
    present = [split for split, path in lists.items() if path.is_file()]
    if not present:
        return ["train"] * len(names), ()
    sides: dict[str, str] = {}
    for split, path in lists.items():
        if split not in present:
            beside = lists[present[0]].name
            raise RequestError(
                f"there is no such list beside {beside}", where=str(path), allowed="all or none"
            )
        for name in "\n".join(read_lines(path)).split():
            if sides.setdefault(name, split) != split:
                raise RequestError(f"{name!r} is in {sides[name]} and in {split}", where=str(path))
    found = [sides.get(name) for name in names]
    unlisted = sum(split is None for split in found)
    notes = (f"Images that no list of a split names, left out: {unlisted:,}.",) if unlisted else ()
    return found, notes
