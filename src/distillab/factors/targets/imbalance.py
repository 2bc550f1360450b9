"""How unequal the classes are."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from distillab.data.examples import Examples, Indices
from distillab.data.targets import Labels, Targets
from distillab.errors import RequestError
from distillab.factors.factor import Configuration, Factor, FactorContext, Level, Manipulation, factor
from distillab.factors.subsets import LABELS_OR_SETS, first_of_each_class, rounded


@factor("imbalance")
class Imbalance(Factor):
    """How unequal the classes are. Level: the largest class divided by the smallest, at least 1.

    With K classes, n examples in the smallest class of the data and ratio r, the class of rank k (from 0)
    keeps n r^(-k / (K - 1)) examples (``kind: exponential``; Cui et al., "Class-balanced loss based on
    effective number of samples", CVPR 2019), or n and n / r with a share ``minority`` of the classes rare
    (``kind: step``; Buda et al., "A systematic study of the class imbalance problem", Neural Networks 2018).
    n is the same at every level, which keeps the levels nested, and ratio 1 is the balanced control.

    With label sets the labels are thinned: label k keeps a share r^(-k / (K - 1)) of its examples
    (``exponential``), or all and 1 / r (``step``), where an example with several labels counts for the last
    of them. Ratio 1 leaves the data as they are, and the level is the ratio by which the last label is
    thinned, whatever its frequency before.

    Attributes:
        level: The ratio r.
        kind: How counts fall from the largest class to the smallest.
        order: Whether classes are ranked by their index or at random; the rarest are last.
        minority: Share of the classes that are rare, for ``kind: step``.

    Example:
        >>> examples = Examples.of(np.zeros((12, 1, 4, 4), np.uint8), [0, 1, 2] * 4, ("a", "b", "c"))
        >>> Imbalance(level=4).apply(examples, np.random.default_rng(0)).counts
        array([4, 2, 1])
    """

    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 1},
        {"level": 2.5},
        {"level": 20},
        {"level": 4, "order": "random"},
        {"level": 10, "order": "random"},
        {"level": 1, "kind": "step"},
        {"level": 3, "kind": "step"},
        {"level": 10, "kind": "step"},
        {"level": 5, "kind": "step", "order": "random", "minority": 0.2},
    )
    references: ClassVar[tuple[Level, ...]] = (1.0,)

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=1)]
    kind: Literal["exponential", "step"] = "exponential"
    order: Literal["index", "random"] = "index"
    minority: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.5

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return LABELS_OR_SETS

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return a subset. Raises RequestError if the rarest class would keep less than one example."""
        key = int(rng.integers(2**63))
        at_random = rng.permutation(len(examples.classes))
        ranked = at_random if self.order == "random" else np.arange(len(examples.classes))
        if not isinstance(examples.targets, Labels):
            return self._thinned(examples, key, ranked)
        self._check_feasible(examples)
        sizes = np.empty(len(examples.classes), dtype=np.int64)
        sizes[ranked] = self._sizes(examples)
        return first_of_each_class(examples, key, sizes)

    def _thinned(self, examples: Examples, key: int, ranked: Indices) -> Examples:
        """Return examples with label sets of which each label keeps its share."""
        members = examples.targets.members[:, ranked]
        last = members.shape[1] - 1 - members[:, ::-1].argmax(axis=1)
        names = tuple(examples.classes[label] for label in ranked)
        strata = Labels(np.where(members.any(axis=1), last, 0).astype(np.int64), len(names))
        sizes = rounded(strata.counts * self.level ** -self._depths(len(names)))
        if (lost := np.flatnonzero((sizes == 0) & (strata.counts > 0))).size:
            raise RequestError(
                f"a ratio of {self.level:g} leaves too few examples with {names[lost[0]]!r}",
                where="imbalance",
                allowed=f"a smaller ratio: {strata.counts[lost[0]]} examples have it and no later label",
            )
        as_labels = replace(examples, targets=strata, classes=names, parents=())
        return examples.select(np.isin(examples.ids, first_of_each_class(as_labels, key, sizes).ids))

    def _sizes(self, examples: Examples) -> Indices:
        """Return the examples per class, from the most frequent class to the rarest, int64 ``[K]``."""
        n = int(examples.counts.min())
        return rounded(n * self.level ** -self._depths(len(examples.classes)))

    def _depths(self, classes: int) -> npt.NDArray[np.float64]:
        """Return the exponent of each class by rank, from 0 to 1, float64 ``[K]``."""
        if self.kind == "exponential":
            return np.arange(classes) / max(classes - 1, 1)
        rare = min(max(int(rounded(self.minority * classes)), 1), classes - 1)
        return (np.arange(classes) >= classes - rare).astype(np.float64)

    def _check_feasible(self, examples: Examples) -> None:
        scarcest = int(examples.counts.argmin())
        n = int(examples.counts[scarcest])
        if len(examples.classes) < 2:
            raise RequestError("a single class cannot be imbalanced", where="imbalance")
        if n == 0:
            raise RequestError(
                f"class {examples.classes[scarcest]!r} has no examples",
                where="imbalance",
                allowed="data with examples of every class",
            )
        if self.level > n:
            raise RequestError(
                f"a ratio of {self.level:g} leaves the rarest class less than one example",
                where="imbalance",
                allowed=f"a ratio of at most {n}: {examples.classes[scarcest]!r} has {n} examples",
            )

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the ratio of the largest class to the smallest, or the largest thinning of a label.

        Rounding the smallest to a whole number m changes the ratio by at most a share 1 / 2m.
        """
        if not isinstance(before.targets, Labels):
            return self._check_thinning(before, after)
        smallest = int(self._sizes(before)[-1])
        counts = after.counts
        measured = float(counts.max() / counts.min()) if counts.min() else float("inf")
        tolerance = 0.5 * self.level / smallest + 1e-9
        return Manipulation(self.name, "largest class / smallest class", self.level, measured, tolerance)

    def _check_thinning(self, before: Examples, after: Examples) -> Manipulation:
        """Measure by how much the examples with one of the rarest labels became fewer."""
        shares = after.counts / np.maximum(before.counts, 1)
        rarest = np.argsort(shares, kind="stable")[: np.count_nonzero(self._depths(len(shares)) == 1)]
        had, has = (int(each.targets.members[:, rarest].any(axis=1).sum()) for each in (before, after))
        tolerance = 0.5 * len(rarest) * self.level / max(has, 1) + 1e-9
        note = f"from {int(after.counts.max())} examples with a label to {int(after.counts.min())}"
        measure = "thinning of the rarest labels"
        return Manipulation(self.name, measure, self.level, had / max(has, 0.5), tolerance, note)
