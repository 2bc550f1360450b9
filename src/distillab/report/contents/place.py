"""Where a number belongs in the design, and how such places are named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from distillab.evidence.wording import describe_level

_PROVENANCES = {
    "same": "teacher of the same data",
    "full": "teacher of the full data",
    "external": "external teacher",
}


@dataclass(frozen=True)
class LevelView:
    """A factor at one level.

    Attributes:
        factor: Registered name of the factor.
        value: The level; None if the factor is not applied.
        text: The level in plain words, such as "25 examples per class"; made from name and value if empty.

    Example:
        >>> LevelView("label_noise", 0.4)
        LevelView(factor='label_noise', value=0.4, text='')
    """

    factor: str
    value: float | str | None
    text: str = field(default="", compare=False)


@dataclass(frozen=True)
class Place:
    """The place of a number in the design: everything but method and seed.

    Attributes:
        dataset: Name of the dataset.
        teacher: Model of the teacher, "" if there is none.
        student: Model of the student.
        provenance: What the teacher learned from: ``same``, ``full``, ``external`` or "".
        levels: One entry per factor, in the order of the study; empty if the study has no factor.

    Example:
        >>> place = Place("digits", "resnet20", "resnet8", "full", (LevelView("size", 25.0),))
        >>> place.value("size")
        25.0
    """

    dataset: str
    teacher: str
    student: str
    provenance: str = ""
    levels: tuple[LevelView, ...] = ()

    def value(self, factor: str) -> float | str | None:
        """Return the level of ``factor`` here, or None."""
        return next((level.value for level in self.levels if level.factor == factor), None)

    def without(self, factor: str) -> Place:
        """Return the place without the level of ``factor``."""
        levels = tuple(level for level in self.levels if level.factor != factor)
        return Place(self.dataset, self.teacher, self.student, self.provenance, levels)


def levels_text(levels: Iterable[LevelView]) -> str:
    """Return the levels of a place in one line; "data as given" for a study without factors."""
    parts = [level.text or describe_level(level.factor, level.value) for level in levels]
    return " · ".join(parts) or "data as given"


def provenance_text(provenance: str) -> str:
    """Return what a teacher learned from, in plain words."""
    return _PROVENANCES.get(provenance, provenance.replace("_", " "))


@dataclass(frozen=True)
class Naming:
    """Names places by the parts that differ among them, so that common parts are not repeated.

    Attributes:
        datasets: Whether the dataset differs.
        students: Whether the student differs.
        teachers: Whether the teacher differs.
        provenances: Whether the provenance differs.

    Example:
        >>> same, full = (Place("digits", "resnet20", "resnet8", each) for each in ("same", "full"))
        >>> Naming.of([same, full]).group(full)
        'teacher of the full data'
    """

    datasets: bool
    students: bool
    teachers: bool
    provenances: bool

    @classmethod
    def of(cls, places: Iterable[Place]) -> Naming:
        """Return the naming that distinguishes these places; no teacher does not count as another teacher."""
        known = set(places)
        return cls(
            datasets=len({place.dataset for place in known}) > 1,
            students=len({place.student for place in known}) > 1,
            teachers=len({place.teacher for place in known} - {""}) > 1,
            provenances=len({place.provenance for place in known} - {""}) > 1,
        )

    def group(self, place: Place) -> str:
        """Return the name of everything but the levels; "" if it is the same for all places."""
        parts = [place.dataset] if self.datasets else []
        if self.teachers and place.teacher:
            parts.append(f"{place.teacher} → {place.student}")
        elif self.students:
            parts.append(place.student)
        if self.provenances and place.provenance:
            parts.append(provenance_text(place.provenance))
        if (self.teachers or self.provenances) and not (place.teacher or place.provenance):
            parts.append("without a teacher")
        return " · ".join(parts)

    def full(self, place: Place) -> str:
        """Return the name of the group and the levels."""
        group = self.group(place)
        return f"{group} · {levels_text(place.levels)}" if group else levels_text(place.levels)
