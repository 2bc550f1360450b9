"""Delimited text files (CSV, TSV) with a header."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from distillab.errors import RequestError

TAB_SUFFIXES = (".tsv", ".tab")


def read_delimited(path: Path, delimiter: str | None = None) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        delimiter: The character between cells; by default a tab in ``.tsv`` files and a comma in others.

    Raises:
        RequestError: The file cannot be read, two columns have one name, or a row is longer or shorter than
            the header.
    """
    delimiter = delimiter or ("\t" if path.suffix.lower() in TAB_SUFFIXES else ",")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file, delimiter=delimiter) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(
            f"cannot be read: {error}", where=str(path), allowed="a CSV or TSV file in UTF-8"
        ) from None
    if repeated := [name for place, name in enumerate(header) if name in header[:place]]:
        raise RequestError(f"two columns are called {repeated[0]!r}", where=str(path))
    for row in rows:
        if len(row) != len(header):
            raise RequestError(
                f"the row of {row[0]!r} has {len(row)} cells, the header {len(header)}", where=str(path)
            )
    return header, rows


def read_table(path: Path, delimiter: str | None = None) -> pa.Table:
    """Return a file as a table of text columns, blank cells as null; see :func:`read_delimited`."""
    header, rows = read_delimited(path, delimiter)
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
    return pa.Table.from_arrays(arrays, names=header)
