"""Carving: a stratified part of train becomes val or test, the same for the same ids and seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distillab.data.imageset import Indices
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
