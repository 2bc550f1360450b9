"""Images in Parquet files that are too large to be read at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from distillab.data.sources.source import StoredBytes

KEPT_GROUPS = 2  # a column is read in order, by a few threads that are at most one row group apart


class ImageColumn:
    """The image column of a Parquet file, read by the row group and forgotten again."""

    def __init__(self, path: Path, column: str) -> None:
        self._file, self._column, self._folder = pq.ParquetFile(path), column, path.parent
        counts = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self.places = [(group, row) for group, count in enumerate(counts) for row in range(count)]
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def cells(self) -> list[Cell]:
        """One entry an image, in order."""
        return [Cell(self, group, row) for group, row in self.places]

    def bytes_at(self, group: int, row: int) -> bytes:
        """The encoded image in a row of a row group, or in the file that it names; nothing if neither."""
        with self._lock:
            if group not in self._kept:
                column = self._file.read_row_group(group, columns=[self._column]).column(0)
                self._kept[group] = column.combine_chunks()
                while len(self._kept) > KEPT_GROUPS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(group)
            kept = self._kept[group]
        item = kept[row].as_py()
        if isinstance(item, dict):
            if item.get("bytes") is None and item.get("path"):
                file: Path = self._folder / item["path"]
                return file.read_bytes()
            item = item.get("bytes")
        found: bytes = item or b""
        return found


@dataclass(frozen=True)
class Cell(StoredBytes):
    """One image of a column."""

    column: ImageColumn
    group: int
    row: int

    def read(self) -> bytes:
        return self.column.bytes_at(self.group, self.row)
