"""The ``parquet`` source: Parquet files as the Hugging Face Hub lays them out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from distillab.data import storage
from distillab.errors import RequestError, unknown_name
from distillab.sources.cells import ImageColumn
from distillab.sources.columns import choose_image_column, column_images
from distillab.sources.source import ImageSource, RawSplits, source
from distillab.sources.split_names import SPLIT_NAMES
from distillab.sources.table import TableFiles, TableItems, check_files

_SHARD = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?:[-_.].*)?", re.IGNORECASE)


@source("parquet")
class Parquet(TableFiles, ImageSource):
    """Parquet files with encoded images, one per split or in the layout of the Hugging Face Hub.

    Either ``train`` (and ``val``, ``test``), one file each, or ``path``: one file, or a folder whose files
    are called train-*.parquet, validation-*.parquet, test-*.parquet. ``image`` is a binary column or a
    struct of bytes and path, and need not be named if it is the only one. Class names are read from the
    schema's ``huggingface`` metadata. ``label``, ``labels``, ``separator``, ``group`` and ``coarse`` are
    those of :class:`~distillab.sources.table.TableSource`.

    Attributes:
        image: The column of images.

    Example:
        >>> Parquet(path="cifar100/train.parquet", label="fine_label").entry()
        {'source': 'parquet', 'label': 'fine_label', 'path': 'cifar100/train.parquet'}
    """

    argument: ClassVar[str | None] = "path"

    image: str | None = None

    def default_name(self) -> str:
        path = (self.path or self.train or Path()).resolve()
        is_split = path.suffix == ".parquet" and _SHARD.fullmatch(path.stem)
        return path.parent.name if is_split else path.stem

    def read(self) -> RawSplits:
        files = self._files()
        where = str(files["train"][0])
        schema = _schema(files["train"][0])
        image = choose_image_column(schema, self.image, where)
        labels = self.label_columns([name for name in schema.names if name != image], where)
        further = self.further_columns(schema.names, where)
        large = sum(path.stat().st_size for paths in files.values() for path in paths) > storage.LARGE
        columns = list(dict.fromkeys([*([] if large else [image]), *labels, *further]))
        tables = {split: _table(paths, columns) for split, paths in files.items()}
        items = {
            split: _cells(paths, image, split)
            if large
            else TableItems(*column_images(tables[split][image], split, paths[0].parent))
            for split, paths in files.items()
        }
        schemas = {str(path): _schema(path) for paths in files.values() for path in paths}
        return self.splits_of(tables, items, schemas, labels, where)

    def _files(self) -> dict[str, list[Path]]:
        """Return the files of each split, train first."""
        if self.path is not None and self.path.is_dir():
            return hub_files(self.path)
        files = self.split_files()
        check_files(list(files.values()), "a .parquet file")
        return {split: [path] for split, path in files.items()}


def hub_files(folder: Path) -> dict[str, list[Path]]:
    """Return the Parquet files of each split below a folder, by file name or by the name of their folder.

    Raises:
        RequestError: There are none, none for train, or two folders with one split (two configurations of a
            dataset, which must not be read as one).
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


def _cells(paths: list[Path], image: str, split: str) -> TableItems:
    cells = ImageColumn(paths, image).cells()
    return TableItems(cells, [f"{split}[{row}]" for row in range(len(cells))])


def _schema(path: Path) -> pa.Schema:
    try:
        with path.open("rb") as file:  # Arrow refuses paths that are not UTF-8
            return pq.read_schema(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise RequestError(f"cannot be read: {error}", where=str(path), allowed="a Parquet file") from None


def _table(paths: list[Path], columns: list[str]) -> pa.Table:
    tables = []
    for path in paths:
        for column in columns:
            if column not in (names := _schema(path).names):
                raise unknown_name("column", column, names, where=str(path))
        try:
            with path.open("rb") as file:
                tables.append(pq.ParquetFile(file).read(columns=columns))
        except (OSError, pa.ArrowException) as error:
            raise RequestError(
                f"cannot be read: {error}", where=str(path), allowed="a Parquet file"
            ) from None
    return pa.concat_tables(tables, promote_options="permissive")
