"""StudyChoices: the values of a study folder for keys that its study file may leave open."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.canonical import JsonObject
from distillab.study.spec.draws import SHARED_DRAWS, Draws, Replicates
from distillab.study.spec.seeds import SeedRange
from distillab.study.spec.study import StudySpec


@dataclass(frozen=True)
class StudyChoices:
    """The values of a study folder for keys that the study file may leave open.

    Attributes:
        seeds: The key ``seeds``, in canonical form.
        replicates: The key ``teacher.replicates``.
        draws: The key ``draws``.

    Example:
        >>> StudyChoices.from_dict(StudyChoices([0, 1], "each").as_dict()).seeds
        [0, 1]
    """

    seeds: list[int] | JsonObject
    replicates: Replicates = 1
    draws: Draws = SHARED_DRAWS

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        return {
            "seeds": self.seeds,
            "replicates": self.replicates,
            "draws": self.draws.model_dump(mode="json"),
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> StudyChoices:
        """Return the choices that :meth:`as_dict` described."""
        return cls(values["seeds"], values["replicates"], Draws.model_validate(values["draws"]))

    @classmethod
    def of(cls, spec: StudySpec) -> StudyChoices:
        """Return the values of a study."""
        seeds = spec.model_dump(mode="json", include={"seeds"})["seeds"]
        return cls(seeds, spec.teacher.replicates, spec.draws)

    def complete(self, spec: StudySpec) -> StudySpec:
        """Return a study with these values for the keys that it leaves open."""
        if spec.teacher.replicates == "auto":
            spec = with_replicates(spec, self.replicates)
        if "draws" not in spec.model_fields_set:
            spec = spec.model_copy(update={"draws": self.draws})
        if "seeds" not in spec.model_fields_set:
            ranged = not isinstance(self.seeds, list)
            seeds = SeedRange.model_validate(self.seeds) if ranged else tuple(self.seeds)
            spec = spec.model_copy(update={"seeds": seeds})
        return spec


EARLIER_CHOICES = StudyChoices(seeds=list(range(5)))
"""What folders of versions that recorded no choices have: their defaults."""


def with_replicates(spec: StudySpec, replicates: Replicates) -> StudySpec:
    """Return a study with another number of ``full`` teachers."""
    return with_teacher(spec, replicates=replicates)


def with_teacher(spec: StudySpec, **keys: object) -> StudySpec:
    """Return a study with other values for some keys of its teacher."""
    return spec.model_copy(update={"teacher": spec.teacher.model_copy(update=keys)})
