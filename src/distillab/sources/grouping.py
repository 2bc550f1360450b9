"""The group of each file: from its path, or from a table beside the files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from distillab.data.examples import Indices
from distillab.errors import RequestError, unknown_name
from distillab.sources.delimited import read_delimited
from distillab.sources.labels import encode_categories


def encode_groups(
    values: Mapping[str, Sequence[str]], where: str
) -> tuple[tuple[str, ...], dict[str, Indices]]:
    """Return sorted group names, and the group of each example of each split, int64 ``[N]``."""
    return encode_categories(
        {split: np.array(names, dtype=np.str_) for split, names in values.items()}, None, where
    )


def captured(names: Sequence[str], pattern: str, where: str) -> list[str]:
    """Return what the capturing group of a regular expression, found anywhere in each name, matches."""
    found: list[str] = []
    for name in names:
        match = re.search(pattern, name)
        if match is None or match[1] is None:
            raise RequestError(
                f"{pattern!r} is not found in {name!r}",
                where=where,
                allowed="a regular expression that matches every path",
            )
        found.append(match[1])
    return found


def check_pattern(pattern: str) -> str:
    """Return the pattern. Raises RequestError unless it is a regular expression with one capturing group."""
    try:
        brackets = re.compile(pattern).groups
    except re.error as error:
        raise RequestError(f"{pattern!r} is no regular expression: {error}") from None
    if brackets != 1:
        raise RequestError(
            f"{pattern!r} has {brackets} capturing brackets",
            allowed="one, around the name of the group or class",
        )
    return pattern


def read_groups(table: Path, column: str | None) -> dict[str, str]:
    """Return the group of each file in the first column of a CSV table with a header.

    Args:
        table: The file.
        column: The column of groups; it need not be named if there is only one beside the files.

    Raises:
        RequestError: The table cannot be read, there is no such column, or a file has no group or two.
    """
    where = str(table)
    header, rows = read_delimited(table)
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
        if not row[place]:
            raise RequestError(f"the row of {row[0]!r} names no group", where=where)
        if groups.setdefault(row[0], row[place]) != row[place]:
            raise RequestError(f"{row[0]!r} is in two groups", where=where)
    return groups


def groups_by_table(
    paths: Sequence[str], groups: Mapping[str, str], unlisted: str | None, where: str
) -> list[str]:
    """Return the group of each path.

    Args:
        paths: Paths below the source's folder.
        groups: Group by path, or by file name if no two files share it.
        unlisted: The group of all other files; None if there must be none.
        where: The place of the table, for messages.

    Raises:
        RequestError: A path is not listed, its name is ambiguous, or a listed file does not exist.
    """
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
                allowed="every file listed, or `unlisted: group` for the others",
            )
        found.append(group)
    if absent := set(groups) - set(paths) - set(names):
        raise RequestError(f"there is no file {min(absent)!r}", where=where)
    return found
