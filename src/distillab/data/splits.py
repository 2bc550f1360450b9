"""Carving: a stratified part of train becomes val or test, the same for the same ids and seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.data.randomness import uniform
from distillab.data.stratification import iterative_stratification
from distillab.data.targets import Labels, Targets
from distillab.errors import RequestError

SplitMask = npt.NDArray[np.bool_]

_LISTED = 5  # classes in a message


def carve(
    targets: Targets, ids: Indices, codes: Indices, share: float, *keys: int, leave: int = 1
) -> SplitMask:
    """Return which examples are carved: about ``share`` of every class and at least one, bool ``[N]``.

    Examples with the same code (identical items) go to the same side, otherwise carving would leak. Such a
    unit is drawn by its lowest id. Under :class:`~distillab.data.targets.Labels` it counts for the class of
    the example with that id, and the number carved of a class is its share rounded half up, or less if the
    next unit would exceed it. Other targets are stratified iteratively.

    Args:
        targets: N targets.
        ids: int64 ``[N]``, unique.
        codes: int64 ``[N]``, equal for identical items.
        share: Share of each class, in (0, 1).
        keys: Further keys of the draw, such as the split seed.
        leave: Number of different items of a class that must be left. A class without more is not carved.

    Example:
        >>> labels = Labels(np.array([0, 1] * 5), classes=2)
        >>> ids = np.arange(10)
        >>> mask = carve(labels, ids, ids, 0.2)
        >>> labels.take(np.flatnonzero(mask)).counts
        array([1, 1])
    """
    order = np.argsort(ids)
    _, first, inverse, sizes = np.unique(
        codes[order], return_index=True, return_inverse=True, return_counts=True
    )
    draws = uniform(ids[order][first], *keys)
    if isinstance(targets, Labels):
        chosen = _by_class(targets.values[order][first], draws, sizes, share, leave)
    else:
        counts = np.zeros((len(first), targets.classes), dtype=np.int64)
        np.add.at(counts, inverse, targets.members[order])
        chosen = iterative_stratification(counts, sizes, draws, share, leave)
    carved = np.zeros(len(ids), dtype=bool)
    carved[order] = chosen[inverse]
    return carved


def _by_class(
    labels: Indices, draws: npt.NDArray[np.float64], sizes: Indices, share: float, leave: int
) -> SplitMask:
    """Return which units are carved, one class after the other: bool ``[U]``."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        units = np.flatnonzero(labels == label)
        units = units[np.argsort(draws[units], kind="stable")]
        chosen[units[_fitting(sizes[units], share, leave)]] = True
    return chosen


def _fitting(sizes: Indices, share: float, leave: int) -> Indices:
    """Positions of the units of one class to carve: the first ones that fit, or else the smallest."""
    most = len(sizes) - leave
    if most < 1:
        return np.empty(0, dtype=np.int64)
    target = np.floor(share * sizes.sum() + 0.5)
    fitting = np.flatnonzero(np.cumsum(sizes) <= target)[:most]
    return fitting if len(fitting) else np.array([sizes.argmin()])


def carve_groups(
    targets: Targets, ids: Indices, codes: Indices, groups: Indices, share: float, *keys: int, leave: int = 1
) -> SplitMask:
    """Return which examples are carved: whole groups that hold about ``share`` of every class, bool ``[N]``.

    Groups that hold identical items stay together. They are visited in random order, and one is carved if
    that brings the carved class counts closer to their share (squared distance) and leaves every class
    ``leave`` groups. Where that carves no example of a class, the smallest group that has some follows.
    Where examples can have several labels, those with none count as one more class.

    Args:
        targets: N targets.
        ids: int64 ``[N]``, unique.
        codes: int64 ``[N]``, equal for identical items.
        groups: int64 ``[N]``.
        share: Share of each class, in (0, 1).
        keys: Further keys of the draw, such as the split seed.
        leave: Number of groups of a class that must be left. Classes without more need not be carved.

    Example:
        >>> labels = Labels(np.array([0, 1] * 6), classes=2)
        >>> ids, speakers = np.arange(12), np.repeat([0, 1, 2], 4)
        >>> mask = carve_groups(labels, ids, ids, speakers, 0.3)
        >>> len(np.unique(speakers[mask])), len(np.intersect1d(speakers[mask], speakers[~mask]))
        (1, 0)
    """
    units = inseparable(groups, codes)
    members = _strata(targets)
    counts = np.zeros((int(units.max()) + 1, members.shape[1]), dtype=np.int64)
    np.add.at(counts, units, members)
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


def _strata(targets: Targets) -> SplitMask:
    """Return whether each example counts for each class, and for "none" where that is possible."""
    if targets.complete:
        return targets.members
    return np.column_stack([targets.members, ~targets.members.any(axis=1)])


def inseparable(groups: Indices, codes: Indices) -> Indices:
    """Return the groups, those that share identical items as one: int64 ``[N]``, numbered from 0.

    Example:
        >>> inseparable(np.array([5, 5, 7, 9]), np.array([0, 1, 1, 2]))
        array([0, 0, 0, 1])
    """
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    names, group = np.unique(groups, return_inverse=True)
    kinds, code = np.unique(codes, return_inverse=True)
    size = len(names) + len(kinds)
    links = coo_array((np.ones(len(group)), (group, len(names) + code)), shape=(size, size))
    _, part = connected_components(links, directed=False)
    return np.unique(part[group], return_inverse=True)[1].astype(np.int64)


def different_units(targets: Targets, units: Indices, *, whole: bool) -> Indices:
    """Return how many units of each class could go to different splits, int64 ``[classes]``.

    Args:
        targets: N targets.
        units: int64 ``[N]``, equal for examples that must stay together.
        whole: Whether a unit counts for every class that it has examples of, as groups do; else for the class
            of its first example.

    Example:
        >>> labels = Labels(np.array([0, 0, 1, 1]), classes=2)
        >>> different_units(labels, np.array([7, 7, 7, 8]), whole=True)
        array([1, 2])
        >>> different_units(labels, np.array([7, 7, 7, 8]), whole=False)
        array([1, 1])
    """
    if whole:
        return np.array([len(np.unique(units[members])) for members in targets.members.T], dtype=np.int64)
    return targets.take(np.unique(units, return_index=True)[1].astype(np.int64)).counts


def check_enough_groups(
    targets: Targets, groups: Indices, classes: Sequence[str], carved: Sequence[str]
) -> None:
    """Check that every class lies in enough groups for train and the splits to be carved.

    Args:
        targets: N targets; those that need not be complete are not checked.
        groups: int64 ``[N]``, from :func:`inseparable` once identical items are known.
        classes: Class names, in label order.
        carved: Names of the splits to be carved.

    Raises:
        RequestError: Classes lie in too few groups; all of them are named.
    """
    having = different_units(targets, groups, whole=True)
    few = np.flatnonzero(having < 1 + len(carved))
    if not targets.complete or not few.size:
        return
    splits = ", ".join(["train", *carved])
    if len(few) == 1:
        count = f"{having[few[0]]} group{'s' if having[few[0]] != 1 else ''}"
        what = f"class {classes[few[0]]!r} lies in {count}, to be split by group into {splits}"
    else:
        counted = [f"{classes[label]!r} ({having[label]})" for label in few.tolist()]
        what = (
            f"{len(few)} classes lie in too few groups to be split by group into {splits}: {_first(counted)}"
        )
    raise RequestError(
        what,
        where="split_by",
        allowed=f"at least {1 + len(carved)} groups per class that share no item, `split_by: image`, or"
        " `rare_classes: drop | other | train`",
    )


def check_enough(targets: Targets, codes: Indices, classes: Sequence[str], carved: Sequence[str]) -> None:
    """Check that every class has enough different items for train and the splits to be carved.

    An item with several labels counts for the class of its first example.

    Args:
        targets: N targets; those that need not be complete are not checked.
        codes: int64 ``[N]``, equal for identical items.
        classes: Class names, in label order.
        carved: Names of the splits to be carved.

    Raises:
        RequestError: Classes have too few different items; all of them are named.
    """
    needed = 1 + len(carved)
    different = different_units(targets, codes, whole=False)
    few = np.flatnonzero(different < needed)
    if not targets.complete or not few.size:
        return
    splits = ", ".join(["train", *carved])

    def have(label: int) -> str:
        count = int(targets.counts[label])
        once = f" ({different[label]} if identical ones are counted once)"
        return f"{count} example{'s' if count != 1 else ''}{once if different[label] < count else ''}"

    if len(few) == 1:
        what = f"class {classes[few[0]]!r} has {have(int(few[0]))} to be split into {splits}"
    else:
        counted = [f"{classes[label]!r} has {have(int(label))}" for label in few.tolist()]
        what = f"{len(few)} classes have too few examples to be split into {splits}: {_first(counted)}"
    raise RequestError(
        what,
        allowed=f"at least {needed} different examples per class, or `rare_classes: drop | other | train`",
    )


def _first(texts: Sequence[str]) -> str:
    """Return the first few texts, and how many more there are."""
    listed = ", ".join(texts[:_LISTED])
    return listed if len(texts) <= _LISTED else f"{listed} and {len(texts) - _LISTED} more"
