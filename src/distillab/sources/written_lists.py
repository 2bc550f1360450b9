"""Lists of labels that are written as texts, such as ``['a', 'b']`` in a cell of a CSV file."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

import pyarrow as pa

from distillab.errors import RequestError
from distillab.sources.columns import is_text

_NUMBERS = re.compile(r"\[[\s,]*(?:-?[0-9]+\.?(?:[\s,]+-?[0-9]+\.?)*)?[\s,]*\]")
_SEPARATORS = ("|", ";", ",")
_SHOWN = 3


def with_lists(tables: Mapping[str, pa.Table], label: str, where: str) -> dict[str, pa.Table]:
    """Return tables whose column of labels holds lists if its texts are written lists.

    These are lists as Python and JSON write them, and those that NumPy writes, without commas: ``[0 1]``.

    Args:
        tables: The tables by split.
        label: The column of labels.
        where: The place of the column, for messages.

    Raises:
        RequestError: Some texts are written lists, and others are not or cannot be read.

    Example:
        >>> table = pa.table({"tags": ["['a', 'b']", "[]"]})
        >>> with_lists({"train": table}, "tags", "labels.csv")["train"]["tags"].to_pylist()
        [['a', 'b'], []]
    """
    if not all(is_text(table.schema.field(label).type) for table in tables.values()):
        return dict(tables)
    columns = {split: table[label].to_pylist() for split, table in tables.items()}
    cells = [cell.strip() for column in columns.values() for cell in column if cell and cell.strip()]
    bracketed = [cell for cell in cells if cell.startswith("[") and cell.endswith("]")]
    read = {cell: _items(cell) for cell in dict.fromkeys(bracketed)}
    unread = [cell for cell, items in read.items() if items is None]
    if not bracketed or (len(unread) == len(read) and not any("," in cell for cell in unread)):
        return dict(tables)  # names, perhaps in brackets
    if odd := [*unread, *(cell for cell in cells if cell not in read)]:
        raise RequestError(
            f"some labels are written lists, such as {bracketed[0]!r}, and {odd[0]!r} cannot be read as one",
            where=where,
            allowed='class names, lists such as ["a", "b"] for `task: multilabel`, or a `separator`',
        )
    kinds = {type(item) for items in read.values() for item in items or ()}
    if len(kinds) > 1:
        raise RequestError(
            "lists of labels hold numbers and names", where=where, allowed="lists of numbers, or of names"
        )
    kind = pa.list_(pa.string() if kinds == {str} else pa.int64())
    return {
        split: table.set_column(
            table.column_names.index(label),
            label,
            pa.array(
                [read[cell.strip()] if cell and cell.strip() else None for cell in columns[split]], kind
            ),
        )
        for split, table in tables.items()
    }


def joined_label_notes(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return a note on classes whose names join those of others: perhaps sets of labels.

    Example:
        >>> joined_label_notes(("Edema", "Edema|Mass", "Mass"))[0]
        "Classes that join the names of others, 1, such as 'Edema|Mass': `separator: '|'` reads label sets."
        >>> joined_label_notes(("apple", "apple, red"))
        ()
    """
    known = set(classes)
    for separator in _SEPARATORS:
        joined = [
            name
            for name in classes
            if separator in name and all(part.strip() in known for part in name.split(separator))
        ]
        if joined:
            shown = ", ".join(map(repr, joined[:_SHOWN]))
            return (
                f"Classes that join the names of others, {len(joined)}, such as {shown}: "
                f"`separator: {separator!r}` reads label sets.",
            )
    return ()


def _items(cell: str) -> list[str | int] | None:
    """Return the items of a written list; None if it cannot be read."""
    if _NUMBERS.fullmatch(cell):
        return [int(number) for number in re.findall(r"-?[0-9]+", cell)]
    try:
        items = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(items, list) or not all(isinstance(item, str | int) for item in items):
        return None
    return [item if isinstance(item, str) else int(item) for item in items]
