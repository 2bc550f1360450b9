"""How much the classes look alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from distillab.data.examples import Examples, Indices
from distillab.errors import RequestError
from distillab.factors.factor import (
    Aspect,
    Configuration,
    Factor,
    FactorContext,
    Level,
    Manipulation,
    Role,
    factor,
)
from distillab.factors.subsets import check_class_sizes, first_of_each_class
from distillab.factors.targets.centroids import Cosines, class_centroids

TOLERANCE = 0.1  # of the level
_REACHED = 0.02  # distance at which the search stops


@factor("similarity")
class Similarity(Factor):
    """How much the classes look alike. Level: from 0, drawn at random, to 1, the most similar ones.

    The numbers of classes and examples are the same at every level. The similarity of a set of classes is
    the mean cosine between its class centroids in the reference embedding of the training examples: 0 is the
    mean over all pairs of classes, which is the expectation of a random draw, and 1 the largest mean that a
    greedy search with exchanges finds. Each seed draws a set at random and exchanges classes, the most
    effective first, until the level is reached; level 1 is the same set for all seeds.

    Attributes:
        level: Similarity, in [0, 1].
        classes: Number of classes that are kept.
        images_per_class: Examples per class that transfer and teacher keep, by default as many as the
            smallest class of the data has. Val and test examples only lose classes.

    Example:
        >>> Similarity(level=1, classes=5).description
        '5 classes of similarity 1'
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"selection", "classes"})
    needs_context: ClassVar[bool] = True
    nested: ClassVar[bool] = False
    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 1.0, "classes": 2},
        {"level": 1.0, "classes": 2, "images_per_class": 11},
    )
    references: ClassVar[tuple[Level, ...]] = (0.0,)

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("transfer", "val", "eval")
    classes: Annotated[int, Field(strict=True, ge=2)]
    images_per_class: Annotated[int, Field(strict=True, ge=1)] | None = None

    @property
    def phrase(self) -> str:
        return f"{self.classes} classes of similarity {{}}"

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the examples of some classes.

        Raises:
            RequestError: There are too few classes or examples, or no set of classes is near the level.
        """
        context = self.require_context(context)
        key = int(rng.integers(2**63))
        start = rng.permutation(len(examples.classes))[: self.classes]
        if self.classes >= len(examples.classes):
            raise RequestError(
                f"{self.classes} classes were requested",
                where="similarity.classes",
                allowed=f"2 to {len(examples.classes) - 1}, fewer than there are",
            )
        placed = class_centroids(context.dataset.train).of(examples.classes, "similarity")
        chosen = self._choose(placed.similarity, start)
        if context.role in ("transfer", "teacher"):
            examples = first_of_each_class(examples, key, self._each(examples))
        return examples.of_classes(np.sort(chosen))

    def _each(self, examples: Examples) -> int:
        if self.images_per_class is None:
            return int(examples.counts.min())
        check_class_sizes(examples, self.images_per_class, "similarity.images_per_class")
        return self.images_per_class

    def _choose(self, cosines: Cosines, start: Indices) -> Indices:
        scale = _Scale.of(cosines, self.classes)
        if self.level == 1:
            return scale.most_similar
        chosen, score = scale.towards(self.level, start)
        if abs(score - self.level) > TOLERANCE:
            raise RequestError(
                f"no {self.classes} classes of a similarity near {self.level:g} were found",
                where="similarity",
                allowed=f"a level such as {score:.2g} or 1, or other numbers of classes",
            )
        return chosen

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Count the classes; if their number is right, measure their similarity.

        The embedding is fitted to the examples before the factor. Centroids of n examples per class are known
        to about 1 / sqrt(n), which is added to the tolerance.
        """
        found = [before.classes.index(name) for name in after.classes]
        if len(found) != self.classes:
            return Manipulation(self.name, "classes", float(self.classes), float(len(found)), 0.0)
        scale = _Scale.of(class_centroids(before).similarity, self.classes)
        tolerance = TOLERANCE + 1 / np.sqrt(before.counts[found].min())
        score = scale.score(np.array(found))
        return Manipulation(self.name, "similarity of the classes", self.level, score, float(tolerance))


@dataclass(frozen=True, eq=False)
class _Scale:
    """The scale of similarity of sets of k classes, from the mean of all pairs to the most similar set.

    Attributes:
        cosines: float64 ``[K, K]`` between all classes, 0 on the diagonal.
        most_similar: int64 ``[k]``.
        mean: Cosine over all pairs of classes.
        most: Mean cosine over the pairs of ``most_similar``.
    """

    cosines: Cosines
    most_similar: Indices
    mean: float
    most: float

    @classmethod
    def of(cls, cosines: Cosines, k: int) -> _Scale:
        """Return the scale of sets of ``k`` classes. Raises RequestError if all are equally similar."""
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
        """Return the similarity of a set: 0 for the mean over all pairs, 1 for the most similar set."""
        return (self.mean_cosine(chosen) - self.mean) / (self.most - self.mean)

    def towards(self, level: float, start: Indices) -> tuple[Indices, float]:
        """Exchange classes one by one to bring the score near ``level``.

        Each step makes the exchange that brings the score nearest to the level, until the level is reached or
        no exchange helps.

        Returns:
            The classes, int64 ``[k]``, and their score.
        """
        chosen, score = start, self.score(start)
        while abs(score - level) > _REACHED:
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
    """Return ``k`` classes, starting with one and adding the class nearest to those chosen."""
    chosen, nearness = [first], cosines[first].copy()
    for _ in range(k - 1):
        nearness[chosen] = -np.inf
        chosen.append(int(nearness.argmax()))
        nearness = cosines[chosen].sum(axis=0)
    return np.array(chosen, dtype=np.int64)
