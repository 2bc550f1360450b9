"""Images in Parquet files that are too large to be read at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from distillab.data.raw import StoredBytes, regular_file
from distillab.parquet_files import open_parquet
from distillab.sources.listed_files import file_below

# A few threads read a column in order: at most this many rows and row groups lie between two of them.
KEPT_ROWS, KEPT_GROUPS = 1024, 2


class ImageColumn:
    """The image column of the Parquet files of a split, of which a few row groups are kept in memory.

    Files are open only while they are read: a split may have more of them than a process may open.
    """

    def __init__(self, paths: Sequence[Path], column: str) -> None:
        self._paths, self._column = paths, column
        self._kept: OrderedDict[tuple[int, int], pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    def cells(self) -> list[ImageCell]:
        """Return one entry per image, in order."""
        cells: list[ImageCell] = []
        for file, path in enumerate(self._paths):
            with open_parquet(path) as opened:
                facts = opened.metadata
            for group in range(facts.num_row_groups):
                rows = range(facts.row_group(group).num_rows)
                cells += [ImageCell(self, file, group, row) for row in rows]
        return cells

    def bytes_at(self, file: int, group: int, row: int) -> bytes:
        """Return the encoded image in a row of a row group, or of the file it names, or empty bytes."""
        item = self._group(file, group)[row].as_py()
        if isinstance(item, dict):
            if item.get("bytes") is None and item.get("path"):
                return regular_file(file_below(self._paths[file].parent, item["path"])).read_bytes()
            item = item.get("bytes")
        found: bytes = item or b""
        return found

    def _group(self, file: int, group: int) -> pa.ChunkedArray:
        with self._lock:
            if (file, group) not in self._kept:
                self._evict()
                with open_parquet(self._paths[file]) as opened:
                    table = opened.read_row_group(group, columns=[self._column], use_threads=False)
                self._kept[file, group] = table.column(0)
            self._kept.move_to_end((file, group))
            return self._kept[file, group]

    def _evict(self) -> None:
        """Drop the least recently used row groups, as long as enough rows are left."""
        rows = sum(map(len, self._kept.values()))
        while (
            len(self._kept) >= KEPT_GROUPS
            and rows - len(oldest := next(iter(self._kept.values()))) >= KEPT_ROWS
        ):
            rows -= len(oldest)
            self._kept.popitem(last=False)


@dataclass(frozen=True)
class ImageCell(StoredBytes):
    """One image of a column."""

    column: ImageColumn
    file: int
    group: int
    row: int

    def read(self) -> bytes:
        return self.column.bytes_at(self.file, self.group, self.row)
