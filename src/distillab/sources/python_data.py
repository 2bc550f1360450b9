"""Data given as Python objects: which splits they have, and their form as a source."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distillab.canonical import JsonObject
from distillab.data.raw import Progress
from distillab.errors import RequestError
from distillab.sources.columns import check_same_names
from distillab.sources.huggingface import HuggingFace
from distillab.sources.memory import HeldData, Memory
from distillab.sources.npz import array_targets
from distillab.sources.parsing import parse_source, source_from_argument
from distillab.sources.python_datasets import is_map_style, split_of_dataset
from distillab.sources.python_images import PythonSplit, is_array, split_of_pair
from distillab.sources.source import RawSplit, RawSplits, Source
from distillab.sources.split_names import SPLIT_NAMES

DATA_ALLOWED = (
    "(images, labels), a torch dataset of (image, label), an ImageFolder, a Hugging Face dataset, a mapping "
    "of train, val and test to these, or a source"
)
CLASS_NAMES = "class_names"
_VALUES = (str, Path, int, float, bool, type(None))  # of keys of a source, in the place of a split
_COLUMN_KEYS = tuple(HuggingFace.model_fields.keys() - Memory.model_fields.keys() - {"path", "config"})


def entry_of(data: Any, where: str, progress: Progress | None = None) -> tuple[JsonObject, HeldData | None]:
    """Return the entry of a study file that data stand for, and what holds them meanwhile.

    Args:
        data: The entry of a source, a path or ``source:argument`` as on the command line, or Python objects:
            see :func:`hold`. A mapping of splits to objects may contain further keys of a source
            (``resolution``, ``classes``, ...), ``class_names``, and for tables of Hugging Face the names of
            columns (``label``, ``image``, ...).
        where: The place of the data, for messages.
        progress: Called with (stage, done, total).

    Raises:
        RequestError: The data are of no form that is known, or not accepted.

    Example:
        >>> import numpy as np
        >>> entry, held = entry_of((np.zeros((2, 8, 8), np.uint8), ["cat", "dog"]), "data")
        >>> entry["source"], entry["content"] == held.content, held.splits.classes
        ('memory', True, ('cat', 'dog'))
    """
    if isinstance(data, str | Path):
        return source_from_argument(str(data)).entry(), None
    if isinstance(data, Source):
        return data.entry(), None
    if isinstance(data, Mapping) and not _is_hub_splits(data):
        if "source" in data:
            return data, None
        splits, keys = _named_splits(data, where)
        if not splits:
            return data, None
    else:
        splits, keys = splits_of(data, where), {}
    columns = {key: keys.pop(key) for key in _COLUMN_KEYS if key in keys}
    names = keys.pop(CLASS_NAMES, None)
    held = hold(splits, where, class_names=names, columns=columns, progress=progress)
    return {"source": Memory.kind, "content": held.content, **keys}, held


def splits_of(data: Any, where: str) -> dict[str, object]:
    """Return the objects that hold each split, by our names.

    Args:
        data: One object, from which test and val are carved; a ``DatasetDict``; or a tuple of two (train,
            test) or three (train, val, test).
        where: The place of the data, for messages.

    Raises:
        RequestError: There is no train split, or the data are of no form that is known.

    Example:
        >>> list(splits_of((([], []), ([], [])), "data"))
        ['train', 'test']
    """
    if _is_hub_splits(data):
        named = {SPLIT_NAMES[name]: part for name, part in data.items() if name in SPLIT_NAMES}
        if "train" not in named:
            raise RequestError(f"has the splits {', '.join(data)}", where=where, allowed="one called train")
        return named
    if isinstance(data, tuple) and len(data) in (2, 3) and all(map(_is_split, data)):
        return dict(zip(("train", "test") if len(data) == 2 else ("train", "val", "test"), data, strict=True))
    if _is_split(data) or (isinstance(data, tuple | list) and len(data) == 2):
        return {"train": data}
    raise _unknown_form(data, where)


def hold(
    splits: Mapping[str, object],
    where: str,
    *,
    class_names: Any = None,
    columns: JsonObject | None = None,
    progress: Progress | None = None,
) -> HeldData:
    """Read Python objects and hold their examples under their content address.

    Args:
        splits: By split, ``(images, labels)``, a dataset of torch, or a dataset of Hugging Face.
        where: The place of the data, for messages.
        class_names: Names in the order of the labels, if the objects do not know them.
        columns: For datasets of Hugging Face, the keys of :class:`HuggingFace` that name columns.
        progress: Called with (stage, done, total).

    Raises:
        RequestError: An object is not accepted, or the splits do not belong together.

    Example:
        >>> import torch
        >>> images = torch.zeros(2, 1, 8, 8)
        >>> hold({"train": (images, [0, 1])}, "data", class_names=["cat", "dog"]).splits.classes
        ('cat', 'dog')
    """
    ordered = {split: splits[split] for split in ("train", "val", "test") if split in splits}
    if all(map(_is_hub, ordered.values())):
        if class_names is not None:
            raise RequestError(
                "a Hugging Face dataset has class names of its own", where=f"{where}.{CLASS_NAMES}"
            )
        reader = parse_source({"source": HuggingFace.kind, "path": where, **(columns or {})}, Path(), where)
        assert isinstance(reader, HuggingFace)
        return HeldData.of(reader.splits_in(ordered))
    if columns:
        key = next(iter(columns))
        raise RequestError(
            f"key {key!r} is for datasets of Hugging Face", where=where, allowed="keys of every source"
        )
    read = {split: _read(value, f"{where}: {split}", progress) for split, value in ordered.items()}
    names = _names(read, class_names, where)
    classes, targets = array_targets({split: each.labels for split, each in read.items()}, names, where)
    raw = {
        split: RawSplit(
            each.items,
            targets[split],
            [
                str(item) if isinstance(item, Path) else f"{split}[{row}]"
                for row, item in enumerate(each.items)
            ],
        )
        for split, each in read.items()
    }
    floats = any(each.floats for each in read.values())
    notes = ("Images were given as floats in [0, 1]; 256 levels of them are kept.",) if floats else ()
    return HeldData.of(RawSplits(classes, raw["train"], raw.get("val"), raw.get("test"), notes=notes))


def _read(value: Any, where: str, progress: Progress | None) -> PythonSplit:
    if isinstance(value, tuple | list) and len(value) == 2:
        return split_of_pair(value[0], value[1], where)
    if is_array(value):
        raise RequestError("there are images without labels", where=where, allowed="(images, labels)")
    if _is_hub(value):
        raise RequestError(
            "a dataset of Hugging Face stands beside another object", where=where, allowed="one form of data"
        )
    if is_map_style(value):
        return split_of_dataset(value, where, progress)
    raise _unknown_form(value, where)


def _names(read: Mapping[str, PythonSplit], given: Any, where: str) -> list[str] | None:
    """Return the names of the classes in label order, or None if they follow from the labels."""
    if given is not None:
        if isinstance(given, str) or not all(isinstance(name, str) for name in given):
            raise RequestError(
                f"{given!r} are no names", where=f"{where}.{CLASS_NAMES}", allowed="a list of texts"
            )
        return list(given)
    stated = {
        split: None if each.classes is None else list(each.classes)
        for split, each in read.items()
        if each.labels.dtype.kind in "iu"
    }
    check_same_names({f"{where}: {split}": names for split, names in stated.items()}, "label")
    return next((names for names in stated.values() if names is not None), None)


def _named_splits(data: JsonObject, where: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return the objects of a mapping by split, and its further keys.

    Raises:
        RequestError: There is an object that is no split, or no train split.
    """
    splits: dict[str, object] = {}
    keys: dict[str, object] = {}
    for key, value in data.items():
        split = SPLIT_NAMES.get(str(key).lower())
        if split is not None and not isinstance(value, _VALUES):
            if split in splits:
                raise RequestError(f"the {split} split is given twice", where=f"{where}.{key}")
            splits[split] = value
        elif _is_split(value) or is_array(value):
            raise RequestError(
                f"{key!r} is no split",
                where=where,
                allowed="the keys train, val and test, or (images, labels)",
            )
        else:
            keys[key] = value
    if splits and "train" not in splits:
        raise RequestError(f"there is {', '.join(splits)} and no train split", where=where, allowed="train")
    return splits, keys


def _unknown_form(data: Any, where: str) -> RequestError:
    kind = type(data)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    what = "there are images without labels" if is_array(data) else f"{name} is no form of data"
    return RequestError(what, where=where, allowed=DATA_ALLOWED)


def _is_split(value: Any) -> bool:
    """Return True for an object that holds the examples of one split."""
    pair = isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], tuple)
    return pair or _is_hub(value) or is_map_style(value)


def _is_hub(value: Any) -> bool:
    """Return True for a dataset of Hugging Face. The package is not imported for this."""
    datasets = sys.modules.get("datasets")
    if datasets is not None and isinstance(value, datasets.IterableDataset):
        raise RequestError(
            "a streaming dataset has no length", where="data", allowed="one loaded with streaming=False"
        )
    return datasets is not None and isinstance(value, datasets.Dataset)


def _is_hub_splits(value: Any) -> bool:
    datasets = sys.modules.get("datasets")
    if datasets is not None and isinstance(value, datasets.IterableDatasetDict):
        raise RequestError(
            "a streaming dataset has no length", where="data", allowed="one loaded with streaming=False"
        )
    return datasets is not None and isinstance(value, datasets.DatasetDict)
