"""Near copies across splits: found, counted for the data report, and dropped where a source states so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.canonical import spec_id
from distillab.data.dataset import Dataset
from distillab.data.examples import IMAGE, Examples
from distillab.data.json_cache import JsonCache
from distillab.data.raw import Progress
from distillab.modalities.embedding.near_leaks import near_pairs

MOST_PAIRS = 10**9
"""Pairs of images that are compared at most where near copies are only counted: ten seconds of a core."""

_WORTH_KEEPING = 10**6  # pairs; fewer are compared sooner than a file is written
_VERSION = 1  # of the search; another one makes counts in caches of users void
_CACHE = "near_copies"


@dataclass(frozen=True)
class NearCopies:
    """How many test images have a near copy in train or val.

    Attributes:
        found: Number of them.
        among: Number of test images that were compared.
        tests: Number of test images.

    Example:
        >>> print(NearCopies(found=25, among=2000, tests=10_000))
        25 of 2,000 test images have a near copy in train or val (the other 8,000 were not compared)
    """

    found: int
    among: int
    tests: int

    def __str__(self) -> str:
        verb = "has" if self.found == 1 else "have"
        rest = self.tests - self.among
        text = f"{self.found:,} of {self.among:,} test images {verb} a near copy in train or val"
        return f"{text} (the other {rest:,} were not compared)" if rest else text


def count_near_copies(
    dataset: Dataset, progress: Progress | None = None, cache: JsonCache | None = None
) -> NearCopies | None:
    """Return how many images of the primary test set have a near copy in train or val; None if not images.

    Of large datasets, an evenly spaced part of the test set is compared. The result is kept by the content of
    the images.

    Args:
        dataset: The dataset.
        progress: Called with (stage, done, total).
        cache: Where results are kept, by default in the user's cache folder.

    Example:
        >>> from distillab.data import DataReport
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("cat", "dog"))
        >>> dataset = Dataset("pets", images, images, {"test": images}, DataReport())
        >>> print(count_near_copies(dataset))
        0 of 2 test images have a near copy in train or val
    """
    if dataset.modality != IMAGE:
        return None
    cache = cache or JsonCache.of_user(_CACHE)
    test, learned = dataset.eval["test"], (dataset.train, dataset.val)
    candidates = sum(map(len, learned))
    among = max(1, min(len(test), MOST_PAIRS // max(1, candidates)))
    digests = [each.input_digest for each in (*learned, test)]
    key = spec_id({"images": digests, "most": MOST_PAIRS, "version": _VERSION})
    kept = cache.get(key) if among * candidates > _WORTH_KEEPING else None
    if kept is not None and set(kept) == {"found", "among", "tests"}:
        return NearCopies(**kept)
    queries = test.select(np.arange(among) * len(test) // among)
    leaked = np.zeros(among, dtype=np.bool_)
    for each in learned:
        _, copies = near_pairs(each, queries, progress)
        leaked[copies] = True
    result = NearCopies(int(leaked.sum()), among, len(test))
    if among * candidates > _WORTH_KEEPING:
        cache.add(key, vars(result))
    return result


def near_leaks(
    train: Examples, val: Examples, test: Examples, progress: Progress | None = None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which train images have a near copy in val or test, and which val images one in test.

    All images are compared, however many.

    Args:
        train: The training images.
        val: The validation images.
        test: The test images.
        progress: Called with (stage, done, total).

    Returns:
        bool ``[len(train)]`` and bool ``[len(val)]``.

    Example:
        >>> pixels = np.random.default_rng(0).integers(0, 200, (9, 1, 8, 8), np.uint8)
        >>> train = Examples.of(pixels, [0] * 9, ("a", "b"))
        >>> test = Examples.of(pixels[[4]] + np.uint8(9), [0], ("a", "b"))
        >>> near_leaks(train, train.select([0]), test)[0].nonzero()
        (array([4]),)
    """
    in_train, in_val = np.zeros(len(train), dtype=np.bool_), np.zeros(len(val), dtype=np.bool_)
    in_train[near_pairs(train, test, progress)[0]] = True
    in_train[near_pairs(train, val, progress)[0]] = True
    in_val[near_pairs(val, test, progress)[0]] = True
    return in_train, in_val
