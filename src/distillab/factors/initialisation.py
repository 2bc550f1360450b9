"""The initialization of networks: random weights, or trained ones."""

from __future__ import annotations

from typing import ClassVar, Literal

from distillab.factors.factor import Configuration, Level, NetworkFactor, factor

Start = Literal["scratch", "pretrained"]


@factor("initialisation")
class Initialisation(NetworkFactor):
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
    references: ClassVar[tuple[Level, ...]] = ("scratch",)

    level: Start

    @property
    def phrase(self) -> str:
        return "{} initialization"
