"""Datasets of torch: anything with a length whose items are pairs of an image and a label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from distillab.data.raw import Progress, RawImage
from distillab.errors import RequestError
from distillab.sources.python_images import PythonSplit, item_image, labels_array, split_of_pair

ITEMS_ALLOWED = "a map-style dataset whose items are (image, label)"
_READ_TWICE = 16  # items that are read again, to find random transforms
_PER_REPORT = 256


def is_map_style(value: Any) -> bool:
    """Return True for a dataset of torch, or an object of another class that can be used as one.

    Example:
        >>> is_map_style(TensorDataset()), is_map_style([1, 2])
        (True, False)
    """
    if isinstance(value, str | bytes | list | tuple | dict | np.ndarray | Tensor | type):
        return False
    if hasattr(value, "columns") and hasattr(value, "dtypes"):  # a table of pandas: its items are columns
        return False
    return isinstance(value, Dataset | DataLoader) or (
        hasattr(value, "__len__") and hasattr(value, "__getitem__")
    )


def split_of_dataset(data: Any, where: str, progress: Progress | None = None) -> PythonSplit:
    """Return the examples of a dataset, each of which is read once.

    The files of a torchvision ``ImageFolder`` without transforms are decoded like those of a folder. Other
    items are used as the dataset gives them.

    Args:
        data: The dataset. Images are pictures, or arrays or tensors of uint8 or of floats in [0, 1].
        where: Its place, for messages.
        progress: Called with (stage, done, total).

    Raises:
        RequestError: Items are not such pairs, or differ each time they are read.

    Example:
        >>> import torch
        >>> data = TensorDataset(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]))
        >>> split_of_dataset(data, "data").labels
        array([0, 1])
    """
    if isinstance(data, DataLoader):
        raise RequestError("this is a DataLoader", where=where, allowed="its dataset (`loader.dataset`)")
    count = _length(data, where)
    if count == 0:
        raise RequestError("the dataset is empty", where=where)
    if type(data) is TensorDataset:
        if len(data.tensors) != 2:
            what = f"the dataset has {len(data.tensors)} tensors"
            raise RequestError(what, where=where, allowed="two: images and labels")
        return split_of_pair(*data.tensors, where)
    try:
        names = class_names_of(data)
    except RequestError as error:
        raise error.within(where) from error
    if (files := _plain_image_folder(data)) is not None:
        paths, labels = files
        return PythonSplit(paths, np.asarray(labels), names)
    items: list[RawImage] = []
    labels = []
    floats = False
    for row in range(count):
        image, label = _item(data, row, where)
        item, was_float = item_image(image, f"{where}: image {row}")
        items.append(item)
        labels.append(label)
        floats |= was_float
        if progress and (row + 1) % _PER_REPORT == 0:
            progress("reading the dataset", row + 1, count)
    _check_repeatable(data, items, where)
    return PythonSplit(items, labels_array(labels, where), names, floats)


def class_names_of(data: Any) -> tuple[str, ...] | None:
    """Return the class names that a dataset, or the dataset that it is a part of, states in ``classes``.

    Raises:
        RequestError: Datasets that were concatenated state different classes, so that equal labels differ.

    Example:
        >>> class_names_of(TensorDataset()) is None
        True
    """
    for _ in range(8):  # Subset(Subset(...)), ConcatDataset([...])
        names = getattr(data, "classes", None)
        if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
        if isinstance(parts := getattr(data, "datasets", None), list):
            return _common_names(parts)
        data = getattr(data, "dataset", None)
        if data is None:
            return None
    return None


def _common_names(parts: list[Any]) -> tuple[str, ...] | None:
    """Return the class names of datasets that were concatenated. Raises RequestError if they differ."""
    stated = {names for part in parts if (names := class_names_of(part)) is not None}
    if len(stated) > 1:
        first, second = sorted(stated)[:2]
        raise RequestError(
            f"datasets with the classes {', '.join(first[:4])} and {', '.join(second[:4])} are concatenated",
            allowed="datasets with the same classes in the same order",
        )
    return stated.pop() if stated else None


def _length(data: Any, where: str) -> int:
    if isinstance(data, IterableDataset):
        raise RequestError(
            f"{type(data).__name__} can only be iterated over", where=where, allowed=ITEMS_ALLOWED
        )
    try:
        return len(data)
    except (TypeError, NotImplementedError):  # a class without `__len__`, or torch's base class of it
        raise RequestError(
            f"{type(data).__name__} has no length", where=where, allowed=ITEMS_ALLOWED
        ) from None


def _item(data: Any, row: int, where: str) -> tuple[Any, Any]:
    """Return the image and the label of an item."""
    try:
        item = data[row]
    except Exception as error:  # the code of the dataset is the user's
        raise RequestError(
            f"item {row} cannot be read: {type(error).__name__}: {error}", where=where
        ) from error
    if isinstance(item, tuple | list) and len(item) == 2:
        if item[1] is None:
            raise RequestError(f"item {row} has no label", where=where, allowed=ITEMS_ALLOWED)
        return item[0], item[1]
    what = f"{len(item)} values" if isinstance(item, tuple | list) else f"one {type(item).__name__}"
    raise RequestError(f"item {row} is {what}", where=where, allowed=ITEMS_ALLOWED)


def _check_repeatable(data: Any, items: list[RawImage], where: str) -> None:
    """Raise RequestError if images differ when they are read again."""
    for row in np.unique(np.linspace(0, len(items) - 1, _READ_TWICE).astype(int)).tolist():
        again, _ = item_image(_item(data, row, where)[0], where)
        first = items[row]
        if isinstance(first, np.ndarray) and not np.array_equal(first, np.asarray(again)):
            raise RequestError(
                f"image {row} differs each time it is read (a random transform)",
                where=where,
                allowed="a dataset without random transforms; `recipe: {views: ...}` augments the images",
            )


def _plain_image_folder(data: Any) -> tuple[list[Path], list[int]] | None:
    """Return the files and labels of torchvision's ImageFolder, unless it changes what the files hold."""
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import default_loader

    untouched = (
        isinstance(data, ImageFolder)
        and type(data).__getitem__ is ImageFolder.__getitem__
        and data.loader is default_loader
        and data.transform is None
        and data.target_transform is None
    )
    if not untouched:
        return None
    return [Path(path) for path, _ in data.samples], [label for _, label in data.samples]
