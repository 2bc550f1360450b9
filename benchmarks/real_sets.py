"""The real datasets on which the alarms of a profile are calibrated, and a table of results that resumes."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from distillab.canonical import JsonObject
from distillab.data.examples import Examples
from distillab.profile.profiled_dataset import ProfiledDataset
from distillab.sources.ingest import load_dataset
from distillab.sources.parsing import parse_source

IMAGES = 3_000  # per set; sets with fewer are used whole
SETS: dict[str, JsonObject] = {  # paths in the folder of real datasets
    "digits": {"source": "digits"},
    "usps": {"source": "folder", "path": "usps"},
    "eurosat": {"source": "folder", "path": "eurosat"},
    "corn_leaf": {"source": "folder", "path": "corn_leaf"},
    "lung": {"source": "folder", "path": "lung"},
    "cifar100-coarse": {"source": "parquet", "train": "cifar100/test.parquet", "label": "coarse_label"},
    "cifar100-fine": {"source": "parquet", "train": "cifar100/test.parquet", "label": "fine_label"},
}
Value = str | int | float
Row = Mapping[str, Value]


def read_images(name: str, most: int = IMAGES) -> Examples:
    """Return at most ``most`` images of a set, drawn by their ids."""
    folder = Path(os.environ.get("DISTILLAB_DATA", "."))
    entry = {**SETS[name], "on_broken": "skip", "duplicates": "keep"}
    data = ProfiledDataset.of(load_dataset(parse_source(entry, folder, name)))
    return data.images.select(np.sort(data.sample(most)))


class ResultTable:
    """A CSV file that keeps the rows it has: a script that was stopped continues.

    Args:
        path: The file.
        columns: Its columns.
        keys: The columns that identify a row.
    """

    def __init__(self, path: Path, columns: Sequence[str], keys: Sequence[str]) -> None:
        self.path, self.columns, self.keys = path, tuple(columns), tuple(keys)
        self.rows: list[dict[str, str]] = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.rows = list(csv.DictReader(file))

    def has(self, **keys: Value) -> bool:
        """Return True if there is a row with these keys."""
        wanted = {key: str(keys[key]) for key in self.keys}
        return any(all(row[key] == value for key, value in wanted.items()) for row in self.rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows and write the file."""
        self.rows += [{column: str(row[column]) for column in self.columns} for row in rows]
        draft = self.path.with_suffix(".part")
        with draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        draft.replace(self.path)
