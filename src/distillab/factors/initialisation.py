"""The initialization of networks: random weights, or trained ones."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from distillab.data.examples import Examples
from distillab.data.targets import Labels, LabelSets, Targets
from distillab.factors.factor import Aspect, Configuration, Factor, FactorContext, Level, Manipulation, factor

Start = Literal["scratch", "pretrained"]


@factor("initialisation")
class Initialisation(Factor):
    """Which weights networks start from. Level: scratch (random ones) or pretrained (trained ones).

    The data stay as they are. At the level ``pretrained`` a student starts from its ``weights``, if the study
    gives it some, and otherwise from the pretrained weights of its network. The plain student and the
    distilled one start from the same weights at both levels, so that the factor shows what distillation gains
    with each start.

    Attributes:
        level: ``scratch`` or ``pretrained``.
        roles: The networks whose start varies: ``transfer`` for the students, ``teacher`` for a teacher that
            is trained in the study.

    Example:
        >>> Initialisation(level="pretrained").description
        'pretrained initialization'
    """

    examples: ClassVar[tuple[Configuration, ...]] = ({"level": "scratch"}, {"level": "pretrained"})
    changes: ClassVar[frozenset[Aspect]] = frozenset()
    takes_unlabelled: ClassVar[bool] = True
    references: ClassVar[tuple[Level, ...]] = ("scratch",)

    level: Start
    roles: Annotated[tuple[Literal["transfer", "teacher"], ...], Field(min_length=1)] = ("transfer",)

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return (Labels, LabelSets)

    @property
    def phrase(self) -> str:
        return "{} initialization"

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        return examples

    def check(self, before: Examples, after: Examples) -> Manipulation:
        changed = float(before.digest != after.digest)
        return Manipulation(self.name, "sets of examples changed", 0.0, changed, 0.0)
