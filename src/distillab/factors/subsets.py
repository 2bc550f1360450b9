"""Nested stratified subsets: which images of a class go first is decided once, by the images' ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.errors import RequestError


def ranks_in_class(images: Examples, key: int) -> Indices:
    """The place of every image in a random order of its class, int64 ``[N]``, counted from 0.

    The order is that of numbers drawn for the images' ids, so two images of a class stand in the same order
    in every set that holds both.
    """
    return places_in_class(images, random_bits(images.ids, key))


def places_in_class(images: Examples, order: npt.NDArray[Any]) -> Indices:
    """The place of every image in its class when sorted by ``order``, a number each ``[N]``, and then by id:
    int64 ``[N]``, counted from 0."""
    order = np.lexsort((images.ids, order, images.labels))
    starts = np.cumsum(images.counts) - images.counts
    ranks = np.empty(len(images), dtype=np.int64)
    ranks[order] = np.arange(len(images)) - np.repeat(starts, images.counts)
    return ranks


def first_of_each_class(images: Examples, key: int, sizes: npt.ArrayLike) -> Examples:
    """The ``sizes[c]`` first images of each class c in its random order; the set's own order is kept."""
    wanted = np.broadcast_to(np.asarray(sizes), images.counts.shape)
    return images.select(ranks_in_class(images, key) < wanted[images.labels])


def must_have_each(images: Examples, number: float, where: str) -> None:
    """Raise RequestError, saying the most there is, unless every class has so many images."""
    scarcest = int(images.counts.argmin())
    most = int(images.counts[scarcest])
    if number > most:
        raise RequestError(
            f"{number:g} images a class were asked for",
            where=where,
            allowed=f"at most {most} images a class: {images.classes[scarcest]!r} has {most}",
        )


def rounded(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The nearest whole numbers, halves upwards, so that rounding never reverses an order."""
    return np.floor(np.asarray(values, dtype=np.float64) + 0.5).astype(np.int64)
