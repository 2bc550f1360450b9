"""Another train/val split of a dataset whose val set was carved."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from distillab.data.dataset import Dataset
from distillab.data.examples import Examples, Indices
from distillab.data.splits import carve, carve_groups, inseparable
from distillab.data.targets import Targets
from distillab.errors import RequestError


def resplit(dataset: Dataset, share: float, *keys: int, by_group: bool = False) -> Dataset:
    """Return a dataset with another val set, carved from train and val together as the first one was.

    Identical examples stay on one side, and classes that have no val example, with all that cannot be
    separated from them, stay in train. The test sets and the normalization are those of the dataset.

    Args:
        dataset: The data as they were read; its val set was carved.
        share: Share of each class that is carved.
        keys: Keys of the draw.
        by_group: Whether whole groups are carved; otherwise, of examples that are parts, whole ones.

    Example:
        >>> from distillab.data.dataset import DataReport
        >>> images = Examples.of(np.zeros((12, 1, 8, 8), np.uint8), [0, 1] * 6, ("cat", "dog"))
        >>> train, val, test = images.select(range(8)), images.select([8, 9]), images.select([10, 11])
        >>> drawn = resplit(Dataset("pets", train, val, {"test": test}, DataReport()), 0.2, 7)
        >>> len(drawn.train), drawn.val.counts, drawn.eval["test"].ids
        (8, array([1, 1]), array([10, 11]))
    """
    whole = merge_splits([dataset.train, dataset.val])
    codes = _codes(whole, dataset)
    groups = whole.groups if by_group else whole.wholes
    units = codes if groups is None else inseparable(groups, codes)
    without_val = ~dataset.val.targets.members.any(axis=0)
    alone = whole.targets.members[:, without_val].any(axis=1)
    rows = np.flatnonzero(~np.isin(units, units[alone]))
    columns = whole.targets.take(rows), whole.ids[rows], codes[rows]
    if groups is None:
        mask = carve(*columns, share, *keys)
    else:
        mask = carve_groups(*columns, groups[rows], share, *keys)
    in_val = np.zeros(len(whole), dtype=bool)
    in_val[rows[mask]] = True
    return replace(
        dataset,
        train=whole.select(~in_val),
        val=whole.select(in_val),
        known_statistics=dataset.normalization(),
    )


def merge_splits(parts: list[Examples]) -> Examples:
    """Return splits of one dataset as one set, ordered by id.

    Raises:
        RequestError: Examples of a split consist of several parts.

    Example:
        >>> images = Examples.of(np.zeros((3, 1, 8, 8), np.uint8), [0, 1, 1], ("cat", "dog"))
        >>> merge_splits([images.select([2]), images.select([0, 1])]).ids
        array([0, 1, 2])
    """
    if any(part.parts is not None for part in parts):
        raise RequestError(
            "examples that consist of several parts cannot be split anew", where="vote", allowed="vote: false"
        )
    ids = np.concatenate([part.ids for part in parts])
    order = np.argsort(ids, kind="stable")
    groups = [part.groups for part in parts if part.groups is not None]
    wholes = [part.wholes for part in parts if part.wholes is not None]
    return replace(
        parts[0],
        rows=np.concatenate([part.rows for part in parts])[order],
        targets=reduce(Targets.joined, [part.targets for part in parts]).take(order),
        ids=ids[order],
        groups=np.concatenate(groups)[order] if len(groups) == len(parts) else None,
        wholes=np.concatenate(wholes)[order] if len(wholes) == len(parts) else None,
    )


def _codes(examples: Examples, dataset: Dataset) -> Indices:
    """Return int64 ``[N]``, equal for identical items: the id of the first of them."""
    codes = examples.ids.copy()
    if dataset.copies:
        copies = np.array(sorted(dataset.copies.items()), dtype=np.int64)
        here = np.searchsorted(copies[:, 0], codes).clip(max=len(copies) - 1)
        found = copies[here, 0] == codes
        codes[found] = copies[here[found], 1]
    return codes
