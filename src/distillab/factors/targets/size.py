"""How many examples there are."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, model_validator

from distillab.data.examples import Examples, Indices
from distillab.data.targets import Labels, Targets
from distillab.errors import RequestError
from distillab.factors.factor import Amount, Configuration, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import (
    LABELS_OR_SETS,
    check_class_sizes,
    first_of_each_class,
    first_positions,
    ranks_in_class,
    rounded,
    stratified,
)


def _stored_unit(value: Any) -> Any:
    """Accept ``examples_per_class``, the general word, for ``images_per_class``, the stored one."""
    return "images_per_class" if value == "examples_per_class" else value


@factor("size")
class Size(Factor):
    """How many examples there are. Level: examples per class, or a share of all examples, or their number.

    ``unit: images_per_class`` takes the same number of every class. ``fraction`` and ``total`` keep the
    classes in proportion: the j-th example (from 0) of a class of n is placed at (j + 1/2) / n, and the first
    examples in that order are taken. This is Webster's divisor rule; unlike largest remainders it never
    takes an example back when the total grows (the Alabama paradox), so sets are nested. Of examples with
    label sets, ``fraction`` and ``total`` take the first in a random order.

    Attributes:
        level: Examples per class, a fraction in (0, 1], or a total, by ``unit``.
        unit: What the level counts; ``examples_per_class`` is accepted for ``images_per_class``.

    Example:
        >>> examples = Examples.of(np.zeros((6, 1, 4, 4), np.uint8), [0, 0, 0, 0, 1, 1], ("a", "b"))
        >>> Size(level=1).apply(examples, np.random.default_rng(0)).counts
        array([1, 1])
        >>> Size(level=0.5, unit="fraction").apply(examples, np.random.default_rng(0)).counts
        array([2, 1])
    """

    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 20},
        {"level": 7},
        {"level": 1},
        {"level": 1.0, "unit": "fraction"},
        {"level": 0.5, "unit": "fraction"},
        {"level": 0.33, "unit": "fraction"},
        {"level": 47, "unit": "total"},
        {"level": 40, "unit": "total"},
    )

    level: Amount
    unit: Annotated[Literal["images_per_class", "fraction", "total"], BeforeValidator(_stored_unit)] = (
        "images_per_class"
    )

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return (Labels,) if self.unit == "images_per_class" else LABELS_OR_SETS

    @property
    def phrase(self) -> str:
        phrases = {
            "images_per_class": "{} examples per class",
            "fraction": "a share {} of the examples",
            "total": "{} examples",
        }
        return phrases[self.unit]

    @model_validator(mode="after")
    def _level_fits_unit(self) -> Self:
        if self.unit == "fraction":
            if not 0 < self.level <= 1:
                raise ValueError(f"{self.level:g} is not a fraction: it must be above 0 and at most 1")
        elif self.level < 1 or not self.level.is_integer():
            raise ValueError(f"{self.level:g} is not a number of examples: it must be whole and at least 1")
        return self

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return a stratified subset. Raises RequestError if a class, or the set, is too small."""
        key = int(rng.integers(2**63))
        if self.unit == "images_per_class":
            check_class_sizes(examples, self.level, "size")
            return first_of_each_class(examples, key, int(self.level))
        strata = stratified(examples)
        place = (ranks_in_class(strata, key) + 0.5) / strata.counts[strata.labels]
        # Equal places, one in each of several classes, are taken in the order of the classes.
        order = np.lexsort((strata.labels, place))
        return examples.select(np.sort(order[: self._total(examples, order)]))

    def _total(self, examples: Examples, order: Indices) -> int:
        """Return the number of examples to take. Raises RequestError if a class would be left without any."""
        fraction = self.unit == "fraction"
        total = int(rounded(self.level * len(examples))) if fraction else int(self.level)
        if total > len(examples):
            raise RequestError(
                f"{total} examples were requested",
                where="size",
                allowed=f"at most {len(examples)}, all there are",
            )
        first = first_positions(examples.targets.take(order))
        last = int(first.argmax())
        if total <= first[last]:
            least = int(first[last]) + 1
            raise RequestError(
                f"a stratified set of {total} examples leaves {examples.classes[last]!r} without any",
                where="size",
                allowed=f"at least {least} examples"
                + (f" ({least / len(examples):.2g} of them)" if fraction else ""),
            )
        return total

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the class count furthest from the level, the share of examples kept, or their number."""
        if self.unit == "images_per_class":
            worst = after.counts[np.abs(after.counts - self.level).argmax()]
            return Manipulation(self.name, "examples per class", self.level, float(worst), 0.0)
        kept = int(np.isin(after.ids, before.ids).sum())
        if self.unit == "total":
            return Manipulation(self.name, "examples", self.level, float(kept), 0.0)
        tolerance = 0.5 / len(before) + 1e-9
        return Manipulation(self.name, "share of examples kept", self.level, kept / len(before), tolerance)
