"""How many images are copies: of others of the set, or of test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from distillab.data.derived import Unchanged, derived, stacked
from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.randomness import random_bits
from distillab.data.targets import Targets
from distillab.errors import RequestError
from distillab.factors.factor import Aspect, Configuration, Factor, FactorContext, Level, Manipulation, factor
from distillab.factors.inputs.near_copy import NearCopy, are_near
from distillab.factors.subsets import LABELS_OR_SETS, ranks_in_class, rounded, stratified

COPY = 2**50  # the id of copy k of image i is k * COPY + i
_NEAR_COPIES = 31  # different near copies of one image; beyond that they repeat
_CHECKED_COPIES = 1000  # near copies that a check compares, at most
_COMPARED_IMAGES = 64  # to find whether pixels were changed, at most


@factor("redundancy")
class Redundancy(Factor):
    """How many images are copies. Level: the share of the images that are copies of others, in [0, 1).

    The number of images per class stays the same: a level r replaces a share r of every class (rounded to
    whole images) by copies of the rest. The copies are spread evenly, so that at r = 1/2 every remaining
    image is there twice.

    ``kind: exact`` copies have the same pixels. ``near`` copies are shifted by one pixel, up to 4 % brighter
    or darker, and have noise of up to 2 gray levels, like another photo of the same thing or another JPEG of
    the same photo (Barz and Denzler, "Do we train on test data? Purging CIFAR of near-duplicates",
    Journal of Imaging 2020).

    ``leakage`` puts TEST IMAGES, WITH THEIR LABELS, INTO THE TRAINING SET, on purpose, to show its effect on
    what is measured. They come from one half of the test set, the same at every level; two more test sets,
    ``exposed`` and ``unexposed``, are these halves. Only accuracy on ``unexposed`` is evidence about new
    images (Elangovan et al., "Memorization vs. generalization: quantifying data leakage in NLP performance
    evaluation", EACL 2021).

    Attributes:
        level: Share of the images that are copies.
        kind: What the copies are.

    Example:
        >>> examples = Examples.of(np.zeros((8, 1, 4, 4), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> copied = Redundancy(level=0.5).apply(examples, np.random.default_rng(0))
        >>> len(copied), len(set(copied.rows.tolist()))
        (8, 4)
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"selection", "images"})
    needs_context: ClassVar[bool] = True
    examples: ClassVar[tuple[Configuration, ...]] = (
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
    references: ClassVar[tuple[Level, ...]] = (0.0,)

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1)]
    kind: Literal["exact", "near", "leakage"] = "exact"

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return LABELS_OR_SETS

    @property
    def kinds_of_items(self) -> tuple[str, ...] | None:
        return (IMAGE,) if self.kind == "near" else None

    @property
    def phrase(self) -> str:
        phrases = {
            "exact": "{} of the images exact copies of others",
            "near": "{} of the images near copies of others",
            "leakage": "{} of the training images taken FROM THE TEST SET (leakage on purpose)",
        }
        return phrases[self.kind]

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return a set of the same size.

        Raises:
            RequestError: A class would have no image of its own, the exposed half of the test set has too
                few images, or leaked images would be among images that another factor has changed.
        """
        order, leaks = (int(key) for key in rng.integers(2**63, size=2))
        strata = stratified(examples)
        copies = rounded(self.level * strata.counts)
        self._check_originals(strata, copies)
        ranks = ranks_in_class(strata, order)
        kept = (strata.counts - copies)[strata.labels]
        test = _exposed(self.require_context(context), leaks) if self.kind == "leakage" else None
        if not copies.any():
            return examples
        if test is not None:
            _check_unchanged(examples, self.require_context(context))
            return stacked(examples.select(ranks < kept), self._leaked(examples, copies, leaks, test))
        source, number = _originals(strata, ranks, kept)
        made = examples.select(source)
        made = replace(made, ids=made.ids + COPY * number)
        if self.kind == "exact":
            return made
        variants = np.where(number > 0, (number - 1) % _NEAR_COPIES + 1, 0)
        return derived(made, [Unchanged(), *(NearCopy(k + 1) for k in range(_NEAR_COPIES))], variants)

    def _check_originals(self, examples: Examples, copies: Indices) -> None:
        """Raise RequestError if a class would consist of copies alone."""
        bare = np.flatnonzero((examples.counts > 0) & (copies == examples.counts))
        if len(bare):
            scarcest = int(bare[examples.counts[bare].argmin()])
            n = int(examples.counts[scarcest])
            raise RequestError(
                f"at a share of {self.level:g}, {examples.classes[scarcest]!r} has no image of its own",
                where="redundancy",
                allowed=f"a share below {np.floor(1000 * (n - 0.5) / n) / 1000:g}: it has {n} images",
            )

    @staticmethod
    def _leaked(examples: Examples, wanted: Indices, key: int, test: Examples) -> Examples:
        """Return, as copies, the first ``wanted[c]`` images of each class c of the exposed test images."""
        places = [test.classes.index(name) if name in test.classes else -1 for name in examples.classes]
        if missing := [name for name, place in zip(examples.classes, places, strict=True) if place < 0]:
            raise RequestError(
                f"the test set has no class {missing[0]!r} that could leak",
                where="redundancy",
                allowed=f"leakage between sets of the same classes, here {', '.join(test.classes)}",
            )
        test = test.of_classes(places)
        strata, wanted_of = stratified(test), stratified(examples)
        short = np.flatnonzero(strata.counts < wanted)
        if len(short):
            worst = int(short[(strata.counts[short] / wanted_of.counts[short]).argmin()])
            most = (strata.counts[worst] + 0.5) / wanted_of.counts[worst]
            raise RequestError(
                f"{wanted[worst]} test images of {strata.classes[worst]!r} were requested",
                where="redundancy",
                allowed=f"a share below {np.floor(1000 * most) / 1000:g}: half of the test set has "
                f"{strata.counts[worst]} of them",
            )
        leaked = test.select(ranks_in_class(strata, key) < wanted[strata.labels])
        return replace(leaked, ids=leaked.ids + COPY)

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """Return, for leakage, the half of the test set that leaks and the half that never does."""
        if self.kind != "leakage":
            return {}
        _, leaks = (int(key) for key in rng.integers(2**63, size=2))
        exposed = np.isin(test.ids, _exposed(self.require_context(context), leaks).ids)
        halves = {"exposed": test.select(exposed), "unexposed": test.select(~exposed)}
        return {name: half for name, half in halves.items() if len(half)}

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the share of copies, or of images from outside the training set.

        Exact copies and leaks are found by their rows in the pool (copies present before are subtracted),
        near copies by their pixels.
        """
        if self.kind == "leakage":
            measure = "share of images from outside the training set"
            measured = float(np.mean(~np.isin(after.rows, before.rows)))
        elif self.kind == "exact":
            measure = "share of images that are copies"
            measured = _repeated(after) - _repeated(before)
        else:
            measure = "share of images that are near copies"
            measured = _near(before, after)
        tolerance = 0.5 * int(np.count_nonzero(stratified(before).counts)) / len(before) + 1e-9
        return Manipulation(self.name, measure, self.level, measured, tolerance)


def _originals(examples: Examples, ranks: Indices, kept: Indices) -> tuple[Indices, Indices]:
    """Return which image is at each place of the set, and which copy of it.

    The images of a class that are not kept become, in their random order, copies of the kept ones in turn.

    Returns:
        Positions in ``examples``, int64 ``[N]``, and the number of the copy, int64 ``[N]``, 0 for the image
        itself.
    """
    by_rank = np.lexsort((ranks, examples.labels))
    start = (np.cumsum(examples.counts) - examples.counts)[examples.labels]
    beyond = np.maximum(ranks - kept, 0)
    source = by_rank[start + np.where(ranks < kept, ranks, beyond % kept)]
    return source, np.where(ranks < kept, 0, beyond // kept + 1)


def _exposed(context: FactorContext, key: int) -> Examples:
    """Return the half of each class of the test set that leaks are taken from, whatever the level."""
    test = context.dataset.eval["test"]
    strata = stratified(test)
    return test.select(ranks_in_class(strata, key) < (strata.counts // 2)[strata.labels])


def _check_unchanged(examples: Examples, context: FactorContext) -> None:
    """Raise RequestError if an earlier factor has changed the pixels, judged by a sample."""
    train = context.dataset.train
    common, here, there = np.intersect1d(examples.ids, train.ids, return_indices=True)
    some = np.linspace(0, len(common) - 1, min(len(common), _COMPARED_IMAGES)).astype(np.int64)
    same = examples.shape == train.shape and np.array_equal(
        examples.items(here[some]), train.items(there[some])
    )
    if not same:
        raise RequestError(
            "images that leak from the test set would be among images that another factor has changed",
            where="redundancy",
            allowed="`redundancy` before factors that change pixels, such as resolution and spurious",
        )


def _repeated(examples: Examples) -> float:
    return 1 - len(np.unique(examples.rows)) / len(examples)


def _near(before: Examples, after: Examples) -> float:
    """Return the share of images that were added and resemble one that stayed, from a sample if many."""
    came = np.flatnonzero(~np.isin(after.ids, before.ids))
    if not len(came):
        return 0.0
    sample = came[np.argsort(random_bits(after.ids[came], 0), kind="stable")[:_CHECKED_COPIES]]
    order = np.argsort(after.ids)
    place = np.searchsorted(after.ids, after.ids[sample] % COPY, sorter=order)
    model = order[np.minimum(place, len(after) - 1)]
    same = after.ids[model] == after.ids[sample] % COPY
    near = same & are_near(after.pixels(model), after.pixels(sample))
    return float(near.mean()) * len(came) / len(after)
