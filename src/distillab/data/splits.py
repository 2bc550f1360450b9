"""Carving: a stratified part of train becomes val or test, the same for the same ids and seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from distillab.data.examples import Indices
from distillab.data.randomness import uniform
from distillab.errors import RequestError


def carve(
    labels: Indices, ids: Indices, codes: Indices, share: float, *keys: int, leave: int = 1
) -> npt.NDArray[np.bool_]:
    """Which images are carved: bool ``[N]``, about ``share`` of every class and at least one.

    Images with the same code (identical pixels) go to the same side, otherwise carving would leak. Such a
    set is drawn by its lowest id and counts for that image's class. The number carved of a class is its
    share rounded half up, or less if the next set of identical images would exceed it.

    Args:
        labels: int64 ``[N]``.
        ids: int64 ``[N]``, unique.
        codes: int64 ``[N]``, equal for identical images.
        share: share of each class, in (0, 1).
        keys: what else the draw depends on, such as the split seed.
        leave: how many different images of a class must be left. A class without more is not carved.
    """
    order = np.argsort(ids)
    _, first, inverse, sizes = np.unique(
        codes[order], return_index=True, return_inverse=True, return_counts=True
    )
    owners, draws = labels[order][first], uniform(ids[order][first], *keys)
    chosen = np.zeros(len(first), dtype=bool)
    for label in np.unique(owners):
        sets = np.flatnonzero(owners == label)
        sets = sets[np.argsort(draws[sets], kind="stable")]
        chosen[sets[_fitting(sizes[sets], share, leave)]] = True
    carved = np.zeros(len(ids), dtype=bool)
    carved[order] = chosen[inverse]
    return carved


def _fitting(sizes: Indices, share: float, leave: int) -> Indices:
    """Positions of the sets to carve of one class: as many of the first as fit, or else the smallest."""
    most = len(sizes) - leave
    if most < 1:
        return np.empty(0, dtype=np.int64)
    target = np.floor(share * sizes.sum() + 0.5)
    fitting = np.flatnonzero(np.cumsum(sizes) <= target)[:most]
    return fitting if len(fitting) else np.array([sizes.argmin()])


def carve_groups(
    labels: Indices, ids: Indices, codes: Indices, groups: Indices, share: float, *keys: int, leave: int = 1
) -> npt.NDArray[np.bool_]:
    """Which images are carved: bool ``[N]``, whole groups that together hold about ``share`` of every class.

    Groups that hold identical images stay together. They are met in a random order, and one is carved if
    that brings the carved class counts closer to their share (squared distance) and leaves every class
    ``leave`` groups; where that carves no image of a class, the smallest group that has some follows.

    Args:
        labels: int64 ``[N]``.
        ids: int64 ``[N]``, unique.
        codes: int64 ``[N]``, equal for identical images.
        groups: int64 ``[N]``.
        share: share of each class, in (0, 1).
        keys: what else the draw depends on, such as the split seed.
        leave: how many groups of a class must be left. Classes without more need not be carved.
    """
    units = inseparable(groups, codes)
    counts = np.zeros((int(units.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (units, labels), 1)
    first = np.full(len(counts), np.iinfo(np.int64).max)
    np.minimum.at(first, units, ids)
    total, spare = counts.sum(axis=0), (counts > 0).sum(axis=0) - leave
    missing = share * total
    chosen = np.zeros(len(counts), dtype=bool)

    def take(unit: int) -> None:
        nonlocal missing, spare
        chosen[unit], missing, spare = True, missing - counts[unit], spare - (counts[unit] > 0)

    def can(unit: int) -> bool:
        return not chosen[unit] and bool((spare[counts[unit] > 0] > 0).all())

    for unit in np.argsort(uniform(first, *keys), kind="stable"):
        if can(unit) and ((missing - counts[unit]) ** 2).sum() < (missing**2).sum():
            take(unit)
    for label in np.flatnonzero(spare > 0):
        if not counts[chosen, label].any():
            having = [unit for unit in np.argsort(counts.sum(axis=1), kind="stable") if counts[unit, label]]
            for unit in [unit for unit in having if can(unit)][:1]:
                take(unit)
    return chosen[units]


def inseparable(groups: Indices, codes: Indices) -> Indices:
    """Groups that share identical images as one: int64 ``[N]``, numbered from 0."""
    names, group = np.unique(groups, return_inverse=True)
    kinds, code = np.unique(codes, return_inverse=True)
    size = len(names) + len(kinds)
    links = coo_array((np.ones(len(group)), (group, len(names) + code)), shape=(size, size))
    _, part = connected_components(links, directed=False)
    return np.unique(part[group], return_inverse=True)[1].astype(np.int64)


def check_enough_groups(
    labels: Indices, groups: Indices, classes: Sequence[str], carved: Sequence[str]
) -> None:
    """Raise RequestError if a class lies in too few (inseparable) groups for train and what is carved."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    having = np.bincount(pairs[0], minlength=len(classes))
    if (having >= 1 + len(carved)).all():
        return
    label = int(having.argmin())
    raise RequestError(
        f"class {classes[label]!r} lies in {having[label]} group{'s' if having[label] != 1 else ''} to be"
        f" split by group into {', '.join(['train', *carved])}",
        where="split_by",
        allowed=f"at least {1 + len(carved)} groups a class that share no image, or `split_by: image`",
    )


def check_enough(labels: Indices, codes: Indices, classes: Sequence[str], carved: Sequence[str]) -> None:
    """Raise RequestError if a class has too few different images for train and the splits to be carved.

    An image under several labels counts for the class it is first met in.
    """
    needed = 1 + len(carved)
    different = np.bincount(labels[np.unique(codes, return_index=True)[1]], minlength=len(classes))
    if (different >= needed).all():
        return
    label = int(different.argmin())
    count = int((labels == label).sum())
    have = f"{count} image{'s' if count != 1 else ''}"
    if different[label] < count:
        have += f" ({different[label]} if identical images are counted once)"
    raise RequestError(
        f"class {classes[label]!r} has {have} to be split into {', '.join(['train', *carved])}",
        allowed=f"at least {needed} different images a class",
    )
