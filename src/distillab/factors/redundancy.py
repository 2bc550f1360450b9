"""How many images are copies: of others of the set, or of test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from distillab.data.derived import Unchanged, derived, stacked
from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.errors import RequestError
from distillab.factors.factor import Change, Factor, FactorContext, Manipulation, factor
from distillab.factors.nearcopy import NearCopy, are_near
from distillab.factors.subsets import first_of_each_class, ranks_in_class, rounded

COPY = 2**50  # the id of copy k of image i is k * COPY + i
NEAR_COPIES = 31  # different near copies of one image; of more, some are alike
LOOKED_AT = 1000  # near copies at most that a check looks at
PIXELS_LOOKED_AT = 64  # images at most, to see whether they are as they were read


@factor("redundancy")
class Redundancy(Factor):
    """How many images are copies. Level: the share of the images that are copies of others, in [0, 1).

    The number of images stays, a class as well: a level r replaces a share r of every class (rounded to whole
    images) by copies of the rest. The copies are spread evenly, so that at r = 1/2 every image that is left
    stands there twice.

    ``kind: exact`` copies are the same pixels. ``near`` copies are moved by one pixel, up to 4 % brighter or
    darker, and have noise of up to 2 grey levels, as another photo of the same thing or another JPEG of the
    same photo (Barz and Denzler, "Do we train on test data? Purging CIFAR of near-duplicates",
    Journal of Imaging 2020).

    ``leakage`` puts TEST IMAGES, WITH THEIR LABELS, INTO THE TRAINING SET, on purpose, to show what it does
    to what is measured. They come from one half of the test set, the same at every level; two more test sets,
    ``exposed`` and ``unexposed``, are these halves. Only accuracy on ``unexposed`` says anything about
    images that are new (Elangovan et al., "Memorization vs. generalization: quantifying data leakage in NLP
    performance evaluation", EACL 2021).
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"selection", "images"})
    needs_context: ClassVar[bool] = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"level": 0.0, "kind": "leakage"},
        {"level": 0.05, "kind": "leakage"},
        {"level": 0.1, "kind": "leakage"},
        {"level": 0.0, "kind": "near"},
        {"level": 0.5, "kind": "near"},
        {"level": 0.8, "kind": "near"},
        {"level": 0.0},
        {"level": 0.21},
        {"level": 0.5},
        {"level": 0.9},
    )

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1)]
    kind: Literal["exact", "near", "leakage"] = "exact"

    @property
    def phrase(self) -> str:
        words = {
            "exact": "{} of the images exact copies of others",
            "near": "{} of the images near copies of others",
            "leakage": "{} of the training images taken FROM THE TEST SET (leakage on purpose)",
        }
        return words[self.kind]

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """A set of the same size. Raises RequestError if a class would be left without an image of its own,
        if more test images are asked for than one half of the test set has, or if images that leak would
        stand among ones that another factor has changed."""
        order, leaks = (int(key) for key in rng.integers(2**63, size=2))
        copies = rounded(self.level * images.counts)
        self._must_leave_some(images, copies)
        ranks = ranks_in_class(images, order)
        kept = (images.counts - copies)[images.labels]
        test = _exposed(self.context_of(context), leaks) if self.kind == "leakage" else None
        if not copies.any():
            return images
        if test is not None:
            _must_be_as_read(images, self.context_of(context))
            return stacked(images.select(ranks < kept), self._leaked(images, copies, leaks, test))
        source, number = _sources(images, ranks, kept)
        made = images.select(source)
        made = replace(made, ids=made.ids + COPY * number)
        if self.kind == "exact":
            return made
        variants = np.where(number > 0, (number - 1) % NEAR_COPIES + 1, 0)
        return derived(made, [Unchanged(), *(NearCopy(k + 1) for k in range(NEAR_COPIES))], variants)

    def _must_leave_some(self, images: Examples, copies: Indices) -> None:
        bare = np.flatnonzero((images.counts > 0) & (copies == images.counts))
        if len(bare):
            scarcest = int(bare[images.counts[bare].argmin()])
            n = int(images.counts[scarcest])
            raise RequestError(
                f"at a share of {self.level:g}, {images.classes[scarcest]!r} has no image of its own",
                where="redundancy",
                allowed=f"a share below {np.floor(1000 * (n - 0.5) / n) / 1000:g}: it has {n} images",
            )

    @staticmethod
    def _leaked(images: Examples, wanted: Indices, key: int, test: Examples) -> Examples:
        """The first ``wanted[c]`` images of each class c of (the exposed half of) a test set, as copies."""
        places = [test.classes.index(name) if name in test.classes else -1 for name in images.classes]
        if missing := [name for name, place in zip(images.classes, places, strict=True) if place < 0]:
            raise RequestError(
                f"the test set has no class {missing[0]!r} that could leak",
                where="redundancy",
                allowed=f"leakage between sets of the same classes, here {', '.join(test.classes)}",
            )
        test = test.of_classes(places)
        short = np.flatnonzero(test.counts < wanted)
        if len(short):
            worst = int(short[(test.counts[short] / images.counts[short]).argmin()])
            most = (test.counts[worst] + 0.5) / images.counts[worst]
            raise RequestError(
                f"{wanted[worst]} test images of {images.classes[worst]!r} were asked for",
                where="redundancy",
                allowed=f"a share below {np.floor(1000 * most) / 1000:g}: half of the test set has "
                f"{test.counts[worst]} of them",
            )
        leaked = first_of_each_class(test, key, wanted)
        return replace(leaked, ids=leaked.ids + COPY)

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """For leakage the half of the test set that leaks, and the half that never does."""
        if self.kind != "leakage":
            return {}
        _, leaks = (int(key) for key in rng.integers(2**63, size=2))
        exposed = np.isin(test.ids, _exposed(self.context_of(context), leaks).ids)
        halves = {"exposed": test.select(exposed), "unexposed": test.select(~exposed)}
        return {name: half for name, half in halves.items() if len(half)}

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """The share of images that stand in the set more than once (beyond those that did before), or that
        were not among those before. Rows of the pool say so, and pixels where copies are only near."""
        if self.kind == "leakage":
            measure = "share of images from outside the training set"
            measured = float(np.mean(~np.isin(after.rows, before.rows)))
        elif self.kind == "exact":
            measure = "share of images that are copies"
            measured = _repeated(after) - _repeated(before)
        else:
            measure = "share of images that are near copies"
            measured = _near(before, after)
        tolerance = 0.5 * int(np.count_nonzero(before.counts)) / len(before) + 1e-9
        return Manipulation(self.name, measure, self.level, measured, tolerance)


def _sources(images: Examples, ranks: Indices, kept: Indices) -> tuple[Indices, Indices]:
    """For every place of the set, whose copy stands there (a position) and which copy of it (0: itself).

    The images of a class that are not kept become, in their random order, copies of the kept ones in turn.
    """
    by_rank = np.lexsort((ranks, images.labels))
    start = (np.cumsum(images.counts) - images.counts)[images.labels]
    beyond = np.maximum(ranks - kept, 0)
    source = by_rank[start + np.where(ranks < kept, ranks, beyond % kept)]
    return source, np.where(ranks < kept, 0, beyond // kept + 1)


def _exposed(context: FactorContext, key: int) -> Examples:
    """The half of each class of the test set that leaks are taken from, whatever the level."""
    test = context.dataset.eval["test"]
    return test.select(ranks_in_class(test, key) < (test.counts // 2)[test.labels])


def _must_be_as_read(images: Examples, context: FactorContext) -> None:
    """Raise RequestError if an earlier factor has changed the pixels, by a look at some of them."""
    train = context.dataset.train
    common, ours, theirs = np.intersect1d(images.ids, train.ids, return_indices=True)
    some = np.linspace(0, len(common) - 1, min(len(common), PIXELS_LOOKED_AT)).astype(np.int64)
    same = images.shape == train.shape and np.array_equal(
        images.pixels(ours[some]), train.pixels(theirs[some])
    )
    if not same:
        raise RequestError(
            "images that leak from the test set would stand among images that another factor has changed",
            where="redundancy",
            allowed="`redundancy` before factors that change pixels, such as resolution and spurious",
        )


def _repeated(images: Examples) -> float:
    return 1 - len(np.unique(images.rows)) / len(images)


def _near(before: Examples, after: Examples) -> float:
    """The share of images that came in and look like one that stayed, from a sample of them if they are
    many."""
    came = np.flatnonzero(~np.isin(after.ids, before.ids))
    if not len(came):
        return 0.0
    sample = came[np.argsort(random_bits(after.ids[came], 0), kind="stable")[:LOOKED_AT]]
    order = np.argsort(after.ids)
    place = np.searchsorted(after.ids, after.ids[sample] % COPY, sorter=order)
    model = order[np.minimum(place, len(after) - 1)]
    same = after.ids[model] == after.ids[sample] % COPY
    near = same & are_near(after.pixels(model), after.pixels(sample))
    return float(near.mean()) * len(came) / len(after)
