"""The group of each image file: what its name says, or a table beside the images."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from distillab.data.examples import Indices
from distillab.errors import RequestError, unknown_name
from distillab.sources.labels import encode_labels


def encode_groups(
    values: Mapping[str, Sequence[str]], where: str
) -> tuple[tuple[str, ...], dict[str, Indices]]:
    """Sorted group names, and the group of each image of each split, int64 ``[N]``."""
    return encode_labels(
        {split: np.array(names, dtype=np.str_) for split, names in values.items()}, None, where
    )


def groups_by_pattern(names: Sequence[str], pattern: str) -> list[str]:
    """What the one bracket of a regular expression, found anywhere in each name, holds."""
    found: list[str] = []
    for name in names:
        match = re.search(pattern, name)
        if match is None or match[1] is None:
            raise RequestError(
                f"{pattern!r} is not found in {name!r}",
                where="group_pattern",
                allowed="a regular expression that every path holds",
            )
        found.append(match[1])
    return found


def check_pattern(pattern: str) -> str:
    """The pattern. Raises RequestError unless it is a regular expression with one bracket."""
    try:
        brackets = re.compile(pattern).groups
    except re.error as error:
        raise RequestError(f"{pattern!r} is no regular expression: {error}") from None
    if brackets != 1:
        raise RequestError(
            f"{pattern!r} has {brackets} brackets that capture", allowed="one, around what names the group"
        )
    return pattern


def read_groups(table: Path, column: str | None) -> dict[str, str]:
    """The group of each file that a CSV table with a header lists in its first column.

    ``column`` is the one that holds groups; it need not be named if there is one beside the files.
    """
    where = str(table)
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"cannot be read: {error}", where=where, allowed="a CSV file") from None
    if column is None:
        if len(header) != 2:
            raise RequestError(
                f"there are {len(header)} columns",
                where=where,
                allowed="a header, files in the first column, and `group: column` if there are several more",
            )
        column = header[1]
    if column not in header[1:]:
        raise unknown_name("group column", column, header[1:], where=where)
    place = header.index(column)
    groups: dict[str, str] = {}
    for row in rows:
        if len(row) != len(header) or not row[place]:
            raise RequestError(f"the row of {row[0]!r} names no group", where=where)
        if groups.setdefault(row[0], row[place]) != row[place]:
            raise RequestError(f"{row[0]!r} stands in two groups", where=where)
    return groups


def groups_by_table(
    paths: Sequence[str], groups: Mapping[str, str], unlisted: str | None, where: str
) -> list[str]:
    """The group of each path, listed as it is or by its file name alone if no two files share that; of all
    others ``unlisted``, if they may be. Raises RequestError for a file that is listed and not there."""
    names = [path.rpartition("/")[2] for path in paths]
    shared = {name for name, count in Counter(names).items() if count > 1}
    found: list[str] = []
    for path, name in zip(paths, names, strict=True):
        if path not in groups and name in groups and name in shared:
            raise RequestError(
                f"several files are called {name!r}", where=where, allowed=f"a path such as {path}"
            )
        group = groups.get(path, groups.get(name, unlisted))
        if group is None:
            raise RequestError(
                f"{path!r} is not listed",
                where=where,
                allowed="every image listed, or `unlisted: group` for the others",
            )
        found.append(group)
    if absent := set(groups) - set(paths) - set(names):
        raise RequestError(f"there is no image {min(absent)!r}", where=where)
    return found
