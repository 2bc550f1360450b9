"""The ``parquet`` source: Parquet files as the Hugging Face Hub lays them out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import model_validator

from distillab.data import storage
from distillab.errors import RequestError, unknown_name
from distillab.sources.cells import ImageColumn
from distillab.sources.columns import (
    choose_image_column,
    choose_label_column,
    class_names,
    must_agree,
    optional_columns,
    table_splits,
)
from distillab.sources.folder import SPLIT_NAMES
from distillab.sources.source import ImageSource, RawSplits, SourcePath, SplitShare, source

_SHARD = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?:[-_.].*)?", re.IGNORECASE)


@source("parquet")
class Parquet(ImageSource):
    """Parquet files with encoded images, one a split or in the layout of the Hugging Face Hub.

    Either ``train`` (and ``val``, ``test``), one file each, or ``path``: one file, or a folder whose files
    are called train-*.parquet, validation-*.parquet, test-*.parquet. ``image`` is a binary column or a
    struct of bytes and path, and need not be named if it is the only one. ``label`` holds numbers or names;
    class names are read from the schema's ``huggingface`` metadata. ``val`` and ``test`` are a file, or a
    number: the share to carve from train. ``group`` optionally names a column of groups, and ``coarse`` one
    of coarser classes.
    """

    argument: ClassVar[str | None] = "path"

    path: SourcePath | None = None
    train: SourcePath | None = None
    val: SplitShare | SourcePath = 0.1  # type: ignore[assignment]  # a share, as everywhere, or a file
    test: SplitShare | SourcePath = 0.2  # type: ignore[assignment]
    image: str | None = None
    label: str | None = None
    group: str | None = None
    coarse: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Parquet:
        if (self.path is None) == (self.train is None):
            raise RequestError(
                "give one of 'path' and 'train'", allowed="path: one file or folder, or train: file"
            )
        if self.path is not None and (isinstance(self.val, Path) or isinstance(self.test, Path)):
            raise RequestError(
                "'path' and files for val or test exclude each other", allowed="train, val, test"
            )
        return self

    def default_name(self) -> str:
        path = (self.path or self.train or Path()).resolve()
        is_split = path.suffix == ".parquet" and _SHARD.fullmatch(path.stem)
        return path.parent.name if is_split else path.stem

    def read(self) -> RawSplits:
        files = self._files()
        where = str(files["train"][0])
        schema = _schema(files["train"][0])
        image = choose_image_column(schema, self.image, where)
        label = choose_label_column(schema, self.label, image, where)
        more = optional_columns({"group": self.group, "coarse": self.coarse}, schema.names, where)
        large = sum(path.stat().st_size for paths in files.values() for path in paths) > storage.LARGE
        columns = list(dict.fromkeys([*([] if large else [image]), label, *more]))
        tables = {split: _table(paths, columns) for split, paths in files.items()}
        for column in filter(None, (label, self.coarse)):
            named = {
                str(path): class_names(_schema(path), column) for each in files.values() for path in each
            }
            must_agree(named, column)
        return table_splits(
            tables,
            image=image,
            label=label,
            group=self.group,
            coarse=self.coarse,
            names=class_names(schema, label),
            coarse_names=class_names(schema, self.coarse) if self.coarse else None,
            folders={split: paths[0].parent for split, paths in files.items()},
            where=where,
            elsewhere={s: ImageColumn(paths, image).cells() for s, paths in files.items()} if large else None,
        )

    def _files(self) -> dict[str, list[Path]]:
        """The files of each split, train first."""
        if self.train is not None:
            given = {"train": self.train, "val": self.val, "test": self.test}
            files = {split: [path] for split, path in given.items() if isinstance(path, Path)}
        elif self.path is not None and self.path.is_dir():
            files = hub_files(self.path)
        else:
            files = {"train": [self.path or Path()]}
        for path in (path for paths in files.values() for path in paths):
            if not path.is_file():
                what = "this is a folder" if path.is_dir() else "there is no such file"
                raise RequestError(what, where=str(path), allowed="a .parquet file")
        return files


def hub_files(folder: Path) -> dict[str, list[Path]]:
    """The Parquet files of each split below a folder, by file name or else by the name of their folder.

    Raises RequestError if there are none, none for train, or two folders with the same split (two
    configurations of one dataset, which must not be read as one).
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        match = _SHARD.fullmatch(path.stem) or _SHARD.fullmatch(path.parent.name)
        if match:
            files.setdefault(SPLIT_NAMES[match[1].lower()], []).append(path)
    if "train" not in files:
        raise RequestError(
            "there is no Parquet file of a train split here",
            where=str(folder),
            allowed="train-*.parquet, and val-*.parquet and test-*.parquet if there are such splits",
        )
    for split, paths in files.items():
        if len(parents := sorted({str(path.parent) for path in paths})) > 1:
            raise RequestError(
                f"several folders hold a {split} split", where=str(folder), allowed=" or ".join(parents)
            )
    return {split: files[split] for split in ("train", "val", "test") if split in files}


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise RequestError(f"cannot be read: {error}", where=str(path), allowed="a Parquet file") from None


def _table(paths: list[Path], columns: list[str]) -> pa.Table:
    tables = []
    for path in paths:
        for column in columns:
            if column not in (names := _schema(path).names):
                raise unknown_name("column", column, names, where=str(path))
        try:
            tables.append(pq.ParquetFile(path).read(columns=columns))
        except (OSError, pa.ArrowException) as error:
            raise RequestError(
                f"cannot be read: {error}", where=str(path), allowed="a Parquet file"
            ) from None
    return pa.concat_tables(tables, promote_options="permissive")
