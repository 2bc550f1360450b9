"""How much the classes look alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from distillab.data.examples import Examples, Indices
from distillab.errors import RequestError
from distillab.factors.centroids import Cosines, class_centroids
from distillab.factors.factor import Change, Factor, FactorContext, Manipulation, Role, factor
from distillab.factors.subsets import first_of_each_class

TOLERANCE = 0.1  # of the level
NEAR = 0.02  # an asked level is taken to be reached


@factor("similarity")
class Similarity(Factor):
    """How much the classes look alike. Level: from 0, drawn at random, to 1, the most similar ones.

    Classes and images are as many at every level.
    ``classes`` is how many are kept. A set of them is as similar as the mean cosine between its class
    centroids in the reference embedding of the training images: 0 is the mean over all pairs of classes,
    which is what a random draw has on average, and 1 the largest mean that a greedy search with exchanges
    finds. Each seed draws a set at random and exchanges classes, the most effective first, until the level is
    reached; level 1 is the same set for all.

    Every class keeps ``images_per_class`` transfer and teacher images, by default as many as the smallest
    class of the data has. Val and test images only lose classes.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"selection", "classes"})
    needs_context: ClassVar[bool] = True
    nested: ClassVar[bool] = False
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"level": 1.0, "classes": 2},
        {"level": 1.0, "classes": 2, "images_per_class": 11},
    )

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("transfer", "val", "eval")
    classes: Annotated[int, Field(strict=True, ge=2)]
    images_per_class: Annotated[int, Field(strict=True, ge=1)] | None = None

    @property
    def phrase(self) -> str:
        return f"{self.classes} classes of similarity {{}}"

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """The images of some classes. Raises RequestError if no set of classes, or no class, is that large,
        or no set of classes is near the level."""
        around = self.context_of(context)
        key = int(rng.integers(2**63))
        start = rng.permutation(len(images.classes))[: self.classes]
        if self.classes >= len(images.classes):
            raise RequestError(
                f"{self.classes} classes were asked for",
                where="similarity.classes",
                allowed=f"2 to {len(images.classes) - 1}, fewer than there are",
            )
        placed = class_centroids(around.dataset.train).of(images.classes, "similarity")
        chosen = self._choose(placed.similarity, start)
        if around.role in ("transfer", "teacher"):
            images = first_of_each_class(images, key, self._each(images))
        return images.of_classes(np.sort(chosen))

    def _each(self, images: Examples) -> int:
        scarcest = int(images.counts.argmin())
        most = int(images.counts[scarcest])
        if self.images_per_class is not None and self.images_per_class > most:
            raise RequestError(
                f"{self.images_per_class} images a class were asked for",
                where="similarity.images_per_class",
                allowed=f"at most {most}: {images.classes[scarcest]!r} has {most}",
            )
        return self.images_per_class or most

    def _choose(self, cosines: Cosines, start: Indices) -> Indices:
        scale = _Scale.of(cosines, self.classes)
        if self.level == 1:
            return scale.most_similar
        chosen, score = scale.towards(self.level, start)
        if abs(score - self.level) > TOLERANCE:
            raise RequestError(
                f"no {self.classes} classes were found whose similarity is near {self.level:g}",
                where="similarity",
                allowed=f"a level such as {score:.2g} or 1, or other numbers of classes",
            )
        return chosen

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """How many classes there are; if that is right, how similar they are in an embedding of the images
        before. Centroids of n images a class are known to about 1 / sqrt(n), which is added to the
        tolerance."""
        found = [before.classes.index(name) for name in after.classes]
        if len(found) != self.classes:
            return Manipulation(self.name, "classes", float(self.classes), float(len(found)), 0.0)
        scale = _Scale.of(class_centroids(before).similarity, self.classes)
        tolerance = TOLERANCE + 1 / np.sqrt(before.counts[found].min())
        score = scale.score(np.array(found))
        return Manipulation(self.name, "similarity of the classes", self.level, score, float(tolerance))


@dataclass(frozen=True, eq=False)
class _Scale:
    """Sets of k classes between the mean and the most similar.

    Attributes:
        cosines: float64 ``[K, K]`` between all classes, 0 on the diagonal.
        most_similar: int64 ``[k]``.
        mean: cosine over all pairs of classes.
        most: mean cosine over the pairs of ``most_similar``.
    """

    cosines: Cosines
    most_similar: Indices
    mean: float
    most: float

    @classmethod
    def of(cls, cosines: Cosines, k: int) -> _Scale:
        """The scale of sets of ``k`` classes. Raises RequestError if all are equally similar."""
        off = cosines * (1 - np.eye(len(cosines)))
        pairs = len(off) * (len(off) - 1)
        mean = float(off.sum() / pairs)
        unscaled = cls(off, np.arange(k), mean, mean + 1)
        grown = [unscaled.towards(np.inf, _grow(off, first, k)) for first in range(len(off))]
        best, _ = max(grown, key=lambda found: found[1])
        most = unscaled.mean_cosine(best)
        if most - mean < 1e-9:
            raise RequestError("all classes are equally similar", where="similarity")
        return cls(off, np.sort(best), mean, most)

    def mean_cosine(self, chosen: Indices) -> float:
        return float(self.cosines[np.ix_(chosen, chosen)].sum() / (len(chosen) * (len(chosen) - 1)))

    def score(self, chosen: Indices) -> float:
        """0 for the mean over all pairs, 1 for the most similar set."""
        return (self.mean_cosine(chosen) - self.mean) / (self.most - self.mean)

    def towards(self, level: float, start: Indices) -> tuple[Indices, float]:
        """Exchange classes, each time the pair that brings the score nearest to ``level``, while that helps
        and it is not reached; the set and its score."""
        chosen, score = start, self.score(start)
        while abs(score - level) > NEAR:
            rest = np.setdiff1d(np.arange(len(self.cosines)), chosen)
            to_set = self.cosines[:, chosen].sum(axis=1)
            gained = to_set[rest][None, :] - to_set[chosen][:, None] - self.cosines[np.ix_(chosen, rest)]
            change = 2 * gained / (len(chosen) * (len(chosen) - 1)) / (self.most - self.mean)
            misses = -change if np.isinf(level) else np.abs(score + change - level)
            out, into = np.unravel_index(misses.argmin(), misses.shape)
            exchanged = chosen.copy()
            exchanged[out] = rest[into]
            new = self.score(exchanged)
            if not (
                new > score + 1e-12 if np.isinf(level) else abs(new - level) < abs(score - level) - 1e-12
            ):
                break
            chosen, score = exchanged, new
        return chosen, score


def _grow(cosines: Cosines, first: int, k: int) -> Indices:
    """``k`` classes, beginning with one and adding the class nearest to those there are."""
    chosen, nearness = [first], cosines[first].copy()
    for _ in range(k - 1):
        nearness[chosen] = -np.inf
        chosen.append(int(nearness.argmax()))
        nearness = cosines[chosen].sum(axis=0)
    return np.array(chosen, dtype=np.int64)
