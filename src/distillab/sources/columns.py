"""Tables with an image column and a label column: what Parquet files and Hugging Face datasets share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distillab.data.examples import Indices
from distillab.data.raw import RawImage
from distillab.errors import RequestError, unknown_name
from distillab.sources.labels import encode_labels
from distillab.sources.source import RawSplit, RawSplits


def choose_image_column(schema: pa.Schema, asked: str | None, where: str) -> str:
    """The column that holds images: the one asked for, or the only one of binary or {bytes, path} type."""
    candidates: list[str] = [field.name for field in schema if _holds_images(field.type)]
    if asked is not None:
        if asked not in schema.names:
            raise unknown_name("image column", asked, schema.names, where=where)
        if asked not in candidates:
            kind = schema.field(asked).type
            raise RequestError(
                f"column {asked!r} of type {kind} holds no images",
                where=where,
                allowed=", ".join(candidates) or "a binary column or a struct of bytes and path",
            )
        return asked
    if len(candidates) != 1:
        what = "several columns hold images" if candidates else "no column holds images"
        allowed = f"image: {' | '.join(candidates)}" if candidates else "a binary or {bytes, path} column"
        raise RequestError(what, where=where, allowed=allowed)
    return candidates[0]


def choose_label_column(schema: pa.Schema, asked: str | None, image: str, where: str) -> str:
    """The column that holds labels: the one asked for, ``label``, or the only one beside the images."""
    others: list[str] = [name for name in schema.names if name != image]
    if asked is not None:
        if asked not in others:
            raise unknown_name("label column", asked, others, where=where)
        return asked
    if "label" in others:
        return "label"
    if len(others) != 1:
        raise RequestError(
            "several columns could be the label" if others else "there is no label column",
            where=where,
            allowed=f"label: {' | '.join(sorted(others))}" if others else "a label column beside the images",
        )
    return others[0]


def class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Class names that Hugging Face's ``datasets`` wrote into the schema, or None."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return None  # no such metadata, or a label that is not a ClassLabel
    return [str(name) for name in names]


def must_agree(names: Mapping[str, list[str] | None], column: str) -> None:
    """Raise RequestError unless the class names of a column are the same, in the same order, wherever they
    are stated: a label that is a number means what its own file says."""
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


def optional_columns(columns: Mapping[str, str | None], known: Sequence[str], where: str) -> list[str]:
    """The columns that were asked for, by what they hold. Raises RequestError for one that is not known."""
    for noun, column in columns.items():
        if column is not None and column not in known:
            raise unknown_name(f"{noun} column", column, known, where=where)
    return [column for column in columns.values() if column is not None]


def table_splits(
    tables: Mapping[str, pa.Table],
    *,
    image: str,
    label: str,
    group: str | None,
    coarse: str | None = None,
    names: list[str] | None,
    coarse_names: list[str] | None = None,
    folders: Mapping[str, Path],
    where: str,
    elsewhere: Mapping[str, Sequence[RawImage]] | None = None,
) -> RawSplits:
    """The splits that tables hold.

    Args:
        tables: one a split, each with the columns ``image``, ``label`` and, if not None, ``group`` and
            ``coarse``, the coarser class.
        elsewhere: the images of each split, if they are not in the tables.
        names: class names in label order, or None to take the sorted values; ``coarse_names`` likewise.
        folders: what image paths in a table are relative to, by split.
    """
    labels = {split: _values(table[label]) for split, table in tables.items()}
    classes, encoded = encode_labels(labels, names, f"{where}: {label}")
    group_names: tuple[str, ...] = ()
    groups: dict[str, Indices] = {}
    if group is not None:
        values = {split: _values(table[group]) for split, table in tables.items()}
        group_names, groups = encode_labels(values, None, f"{where}: {group}")
    parents: tuple[str, ...] = ()
    if coarse is not None:
        values = {split: _values(table[coarse]) for split, table in tables.items()}
        coarser, codes = encode_labels(values, coarse_names, f"{where}: {coarse}")
        parents = _parents(classes, encoded, coarser, codes, f"{where}: {coarse}")
    splits: dict[str, RawSplit] = {}
    for split, table in tables.items():
        if elsewhere is None:
            images, shown = _images(table[image], split, folders[split])
        else:
            images = list(elsewhere[split])
            shown = [f"{split}[{row}]" for row in range(len(images))]
        splits[split] = RawSplit(images, encoded[split], shown, groups.get(split))
    return RawSplits(
        classes, splits["train"], splits.get("val"), splits.get("test"), group_names, parents=parents
    )


def _parents(
    classes: Sequence[str],
    labels: Mapping[str, Indices],
    coarser: Sequence[str],
    codes: Mapping[str, Indices],
    where: str,
) -> tuple[str, ...]:
    """The coarser class of each class; nameless for a class without images, which ingest leaves out."""
    fine = np.concatenate(list(labels.values()))
    coarse = np.concatenate([codes[split] for split in labels])
    parents = [""] * len(classes)
    for label, code in np.unique(np.stack([fine, coarse]), axis=1).T:
        if parents[label]:
            raise RequestError(
                f"class {classes[label]!r} lies in {parents[label]!r} and in {coarser[code]!r}",
                where=where,
                allowed="a column with one coarser class for every class",
            )
        parents[label] = coarser[code]
    return tuple(parents)


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return np.asarray(column.to_numpy())


def _images(column: pa.ChunkedArray, split: str, folder: Path) -> tuple[list[RawImage], list[str]]:
    """Encoded bytes (or the files that paths point to) and printable names of a column."""
    count = len(column)
    if not pa.types.is_struct(column.type):
        return [item or b"" for item in column.to_pylist()], [f"{split}[{row}]" for row in range(count)]
    has_paths = any(column.type.field(i).name == "path" for i in range(column.type.num_fields))
    encoded = [item for chunk in column.chunks for item in chunk.field("bytes").to_pylist()]
    paths: list[str | None] = [None] * count
    if has_paths:
        paths = [item for chunk in column.chunks for item in chunk.field("path").to_pylist()]
    images: list[RawImage] = []
    for data, path in zip(encoded, paths, strict=True):
        images.append(data if data is not None else folder / path if path else b"")
    return images, [f"{split}[{row}] {path or ''}".rstrip() for row, path in enumerate(paths)]
