"""Which network teaches: teachers of several sizes for one student."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from distillab.factors.factor import Configuration, Manipulation, NetworkFactor, factor


@factor("teacher_capacity")
class TeacherCapacity(NetworkFactor):
    """Which network teaches. Level: the name of a network, small ones first.

    Teachers of all levels are trained on the same data, in the same order, with the recipe of the study's
    teacher, and take the place of its ``model``. The data stay as they are. A plan measures the level by
    :meth:`check_capacity`.

    Attributes:
        level: The name of a network, as ``teacher.model`` of a study.
        roles: The teachers that are trained in the study.

    Example:
        >>> TeacherCapacity(level="resnet20").description
        'teacher resnet20'
    """

    examples: ClassVar[tuple[Configuration, ...]] = ({"level": "resnet8"}, {"level": "resnet14"})

    level: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]")]
    roles: Annotated[tuple[Literal["teacher"], ...], Field(min_length=1)] = ("teacher",)

    @property
    def phrase(self) -> str:
        return "teacher {}"

    def check_capacity(self, planned: int, macs: int) -> Manipulation:
        """Measure the size of a planned teacher.

        Args:
            planned: Multiply-accumulates of the network that is planned to teach.
            macs: Those of the network of the level.
        """
        return Manipulation(self.name, "multiply-accumulates", float(macs), float(planned), 0.0)
