"""How far teachers are trained: the share of their training after which they teach."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from distillab.factors.factor import Configuration, Level, Manipulation, NetworkFactor, factor


@factor("teacher_age")
class TeacherAge(NetworkFactor):
    """How far teachers are trained. Level: the share of the steps after which training stops, up to 1.

    A young teacher is the full-grown one at an earlier step: the schedule of its learning rate is that of all
    steps. (The factor ``steps`` with the role ``teacher`` stretches the schedule instead: a short training of
    its own.) The data stay as they are. A plan measures the level by :meth:`check_age`.

    Cho and Hariharan, "On the efficacy of knowledge distillation", ICCV 2019.

    Attributes:
        level: The share of the teacher's steps, above 0 and at most 1.
        roles: The teachers that are trained in the study.

    Example:
        >>> TeacherAge(level=0.25).description
        'teacher after 0.25 of its training'
    """

    examples: ClassVar[tuple[Configuration, ...]] = ({"level": 1.0}, {"level": 0.5}, {"level": 0.1})
    references: ClassVar[tuple[Level, ...]] = (1.0,)

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1)]
    roles: Annotated[tuple[Literal["teacher"], ...], Field(min_length=1)] = ("teacher",)

    @property
    def phrase(self) -> str:
        return "teacher after {} of its training"

    def check_age(self, planned: int, steps: int) -> Manipulation:
        """Measure the length of a planned training.

        Args:
            planned: The steps after which it stops.
            steps: The steps of its schedule.
        """
        tolerance, note = 0.5 / steps + 1e-9, f"{planned} of {steps} steps"
        measure = "share of the teacher's steps"
        return Manipulation(self.name, measure, self.level, planned / steps, tolerance, note)
