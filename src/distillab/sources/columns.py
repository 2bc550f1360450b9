"""Columns of tables: which hold images, labels and groups, and the class names that a schema states."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distillab.data.raw import RawImage
from distillab.errors import RequestError, unknown_name
from distillab.sources.listed_files import FILE_COLUMNS, file_below


def choose_image_column(schema: pa.Schema, requested: str | None, where: str) -> str:
    """Return the column that holds images: the requested one, or the only one of a suitable type.

    Raises:
        RequestError: The requested column does not exist or holds no images, or there is not exactly one.
    """
    candidates: list[str] = [field.name for field in schema if _holds_images(field.type)]
    paths = [field.name for field in schema if is_text(field.type)]
    if requested is None and not candidates:  # files beside the table
        candidates = [name for name in paths if name.lower() in FILE_COLUMNS]
    if requested in paths:
        return str(requested)
    if requested is not None:
        if requested not in schema.names:
            raise unknown_name("image column", requested, schema.names, where=where)
        if requested not in candidates:
            kind = schema.field(requested).type
            raise RequestError(
                f"column {requested!r} of type {kind} holds no images",
                where=where,
                allowed=", ".join(candidates) or "a binary column, a struct of bytes and path, or paths",
            )
        return requested
    if len(candidates) != 1:
        what = "several columns hold images" if candidates else "no column holds images"
        allowed = (
            f"image: {' | '.join(candidates)}"
            if candidates
            else "a binary or {bytes, path} column, or `image`, one of paths"
        )
        raise RequestError(what, where=where, allowed=allowed)
    return candidates[0]


def choose_label_column(names: Sequence[str], requested: str | None, where: str) -> str:
    """Return the column that holds labels: the requested one, ``label``, or the only candidate.

    A column called class, target or category is the only candidate if there is no other of these.

    Args:
        names: The columns that could hold labels.
        requested: The column that the source's keys name, or None.
        where: The place of the table, for messages.

    Raises:
        RequestError: The requested column does not exist, or there is no single candidate.
    """
    if requested is not None:
        if requested not in names:
            raise unknown_name("label column", requested, names, where=where)
        return requested
    if "label" in names:
        return "label"
    usual = [name for name in names if name.lower() in ("class", "target", "category")]
    if len(names) != 1 and len(usual) == 1:
        return usual[0]
    if len(names) != 1:
        raise RequestError(
            "several columns could be the label" if names else "there is no label column",
            where=where,
            allowed=f"label: {' | '.join(sorted(names))}" if names else "a label column beside the images",
        )
    return names[0]


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Return the class names that Hugging Face's ``datasets`` wrote into the schema, or None.

    Example:
        >>> features = {"tags": {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}
        >>> metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        >>> class_names(pa.schema([("tags", pa.list_(pa.int64()))], metadata=metadata), "tags")
        ['cat', 'dog']
    """
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        names = feature["names"]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None  # no such metadata, or a column that is no ClassLabel
    return [str(name) for name in names]


def check_same_names(names: Mapping[str, list[str] | None], column: str) -> None:
    """Check that every file that states the class names of a column states the same, in the same order.

    Args:
        names: Class names by file, None where a file states none.
        column: The column, for messages.

    Raises:
        RequestError: Two files differ, so that a number would have two meanings.
    """
    stated = {place: each for place, each in names.items() if each is not None}
    first = next(iter(stated), "")
    for place, each in stated.items():
        if each != stated[first]:
            one, other = (", ".join(map(repr, some[:4])) for some in (stated[first], each))
            raise RequestError(
                f"classes of {column!r} are {other} ... here and {one} ... in {first}",
                where=place,
                allowed="the same class names in the same order, or labels that are names",
            )


def existing_columns(columns: Mapping[str, str | None], known: Sequence[str], where: str) -> list[str]:
    """Return the columns that are named. Raises RequestError for one that does not exist.

    Args:
        columns: Column, or None, by the noun that messages use for it.
        known: The columns of the table.
        where: The place of the table, for messages.
    """
    for noun, column in columns.items():
        if column is not None and column not in known:
            raise unknown_name(f"{noun} column", column, known, where=where)
    return [column for column in columns.values() if column is not None]


def is_list(kind: pa.DataType) -> bool:
    """Return True for a column with a list per row."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Return True for a column of texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def column_values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column as an array ``[N]``."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return np.asarray(column.to_numpy())


def column_images(column: pa.ChunkedArray, split: str, folder: Path) -> tuple[list[RawImage], list[str]]:
    """Return the images of a column, encoded or as files, and their printable names.

    Args:
        column: A binary column, a struct of bytes and path, or a column of paths.
        split: The name of the split.
        folder: The folder that paths are relative to, and below which they stay.

    Raises:
        RequestError: A path leads out of the folder.
    """
    count = len(column)
    if is_text(column.type):
        names = [str(name or "") for name in column_values(column).tolist()]
        return [folder / name for name in names], names
    if not pa.types.is_struct(column.type):
        return [item or b"" for item in column.to_pylist()], [f"{split}[{row}]" for row in range(count)]
    fields = {column.type.field(i).name for i in range(column.type.num_fields)}
    encoded, paths = (
        [item for chunk in column.chunks for item in chunk.field(name).to_pylist()]
        if name in fields
        else [None] * count
        for name in ("bytes", "path")
    )
    images: list[RawImage] = []
    for data, path in zip(encoded, paths, strict=True):
        images.append(data if data is not None else file_below(folder, path) if path else b"")
    return images, [f"{split}[{row}] {path or ''}".rstrip() for row, path in enumerate(paths)]


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name in ("bytes", "path") for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
