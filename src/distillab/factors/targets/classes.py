"""How many classes there are."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from distillab.canonical import seed_from
from distillab.data.examples import Examples, Indices
from distillab.errors import RequestError
from distillab.factors.factor import (
    Amount,
    Aspect,
    Configuration,
    Factor,
    FactorContext,
    Manipulation,
    Role,
    factor,
)
from distillab.factors.subsets import first_of_each_class


@factor("classes")
class Classes(Factor):
    """How many classes there are. Level: their number, at least 2.

    The classes are drawn from those of the data, and the classes of level 5 are among those of level 10. The
    draw depends on the number of classes in the data alone, so that all roles keep the same ones.

    More classes are more examples, unless ``hold: total`` keeps ``total`` examples at every level, spread
    evenly over the classes (the first in the draw have one more where it does not divide). That holds for
    transfer and teacher examples; val and test examples only lose classes.

    Attributes:
        level: Number of classes.
        draw: ``seed`` draws anew for every seed, so that intervals cover the choice of classes; a whole
            number is one draw for all seeds.
        hold: What is the same at every level, the examples per class or their total.
        total: Number of examples for ``hold: total``.

    Example:
        >>> Classes(level=10, hold="total", total=500).description
        '10 classes, 500 examples in total'
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"selection", "classes"})
    needs_context: ClassVar[bool] = True
    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 3},
        {"level": 2},
        {"level": 3, "draw": 7},
        {"level": 2, "draw": 7},
        {"level": 2, "hold": "total", "total": 21},
        {"level": 3, "hold": "total", "total": 20},
    )

    level: Amount
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("transfer", "val", "eval")
    draw: Literal["seed"] | Annotated[int, Field(strict=True, ge=0)] = "seed"
    hold: Literal["per_class", "total"] = "per_class"
    total: Annotated[int, Field(strict=True, ge=2)] | None = None

    @property
    def phrase(self) -> str:
        return "{} classes" if self.total is None else f"{{}} classes, {self.total} examples in total"

    @model_validator(mode="after")
    def _level_and_total_fit(self) -> Self:
        if self.level < 2 or not self.level.is_integer():
            raise ValueError(f"{self.level:g} is not a number of classes: it must be whole and at least 2")
        if (self.hold == "total") != (self.total is not None):
            raise ValueError("'hold: total' and 'total', the number of examples, go together")
        if self.total is not None and self.total < self.level:
            raise ValueError(f"{self.total} examples are less than one for each of {self.level:g} classes")
        return self

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the examples of some classes. Raises RequestError if there are too few."""
        role = self.require_context(context).role
        key = int(rng.integers(2**63))
        by_seed = rng.permutation(len(examples.classes))
        if self.level > len(examples.classes):
            raise RequestError(
                f"{self.level:g} classes were requested",
                where="classes",
                allowed=f"2 to {len(examples.classes)}, all there are",
            )
        drawn = (by_seed if self.draw == "seed" else self._fixed(len(examples.classes)))[: int(self.level)]
        if self.total is not None and role in ("transfer", "teacher"):
            examples = first_of_each_class(examples, key, self._sizes(examples, drawn, self.total))
        return examples.of_classes(np.sort(drawn))

    def _fixed(self, classes: int) -> Indices:
        return np.random.default_rng(seed_from("classes", self.draw)).permutation(classes)

    def _sizes(self, examples: Examples, drawn: Indices, total: int) -> Indices:
        """Return examples per class that add up to the total, int64 ``[classes of the data]``."""
        scarcest = int(drawn[examples.counts[drawn].argmin()])
        most = int(examples.counts[scarcest])
        if total > most * len(drawn):
            raise RequestError(
                f"{total} examples in {self.level:g} classes were requested",
                where="classes",
                allowed=f"a total of at most {most * len(drawn)}: {examples.classes[scarcest]!r} has {most}",
            )
        sizes = np.zeros(len(examples.classes), dtype=np.int64)
        sizes[drawn] = total // len(drawn)
        sizes[drawn[: total % len(drawn)]] += 1
        return sizes

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Count the classes that have examples."""
        found = np.count_nonzero(after.counts)
        return Manipulation(self.name, "classes", self.level, float(found), 0.0)
