"""Fine labels or coarse ones."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from distillab.data.examples import Examples
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


@factor("granularity")
class Granularity(Factor):
    """Fine labels or coarse ones, on the same examples. Level: ``fine`` or ``coarse``.

    ``fine`` are the classes of the data, ``coarse`` the coarser classes that they belong to.
    The data must give the coarser class of each class: the key ``coarse`` of a source names its column. By
    default every role changes, including the teacher's; with ``roles: [transfer, val, eval]`` a teacher of
    provenance ``full`` keeps its fine classes.

    Example:
        >>> from dataclasses import replace
        >>> examples = Examples.of(np.zeros((3, 1, 4, 4), np.uint8), [0, 1, 2], ("cat", "dog", "oak"))
        >>> examples = replace(examples, parents=("animal", "animal", "plant"))
        >>> Granularity(level="coarse").apply(examples, np.random.default_rng(0)).classes
        ('animal', 'plant')
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"classes", "labels"})
    examples: ClassVar[tuple[Configuration, ...]] = ({"level": "fine"}, {"level": "coarse"})
    references: ClassVar[tuple[Level, ...]] = ("fine",)

    level: Literal["fine", "coarse"]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("teacher", "transfer", "val", "eval")

    @property
    def phrase(self) -> str:
        return "{} labels"

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the examples with fine or coarse labels. Raises RequestError without coarser classes."""
        coarser = len(set(examples.parents))
        if not coarser:
            raise RequestError(
                "the classes of these data belong to no coarser classes",
                where="granularity",
                allowed="a source that gives them, such as parquet with `coarse:` and the column",
            )
        if coarser < 2:
            raise RequestError(
                f"all classes belong to one coarser class, {examples.parents[0]!r}",
                where="granularity",
                allowed="at least two coarser classes",
            )
        return examples if self.level == "fine" else examples.with_parents_as_classes()

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the share of examples whose label names their class, or their coarser class."""
        names = before.classes if self.level == "fine" else before.parents
        was = dict(zip(before.ids.tolist(), before.labels.tolist(), strict=True))
        hits = [
            after.classes[label] == names[was[example]]
            for example, label in zip(after.ids.tolist(), after.labels.tolist(), strict=True)
        ]
        measure = f"share of examples under their {self.level} label"
        return Manipulation(self.name, measure, 1.0, float(np.mean(hits)), 0.0)
