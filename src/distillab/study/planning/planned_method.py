"""PlannedMethod: a method of a study as every condition meets it."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.canonical import Canonical
from distillab.methods import MethodSpec
from distillab.models.outputs import LIVE, STORABLE
from distillab.study.job import StudentInputs


@dataclass(frozen=True, eq=False)
class PlannedMethod:
    """A method as every condition meets it.

    Attributes:
        label: Its name with the settings that differ from their defaults.
        teacher: The kind of teacher it learns from: ``study``, ``self``, ``untrained`` or ``none``.
        storable_needs: The outputs of a teacher that it needs and that can be stored.
        learns_unlabelled: True if its batches hold unlabelled examples.
        can_be_stored: True if it needs no output that only a live teacher gives.
        matches_compute: Whether its students train for as many more steps as the study's teacher costs.
        counts_teacher_training: Whether the training of that teacher is part of its cost.
        written: What decides its numbers.
        inputs: The files that its code is read from, if it is not registered.
    """

    label: str
    teacher: str
    storable_needs: frozenset[str]
    learns_unlabelled: bool
    can_be_stored: bool
    matches_compute: bool
    counts_teacher_training: bool
    written: Canonical
    inputs: StudentInputs

    @classmethod
    def of(cls, spec: MethodSpec) -> PlannedMethod:
        """Return what a plan needs to know of a method."""
        return cls(
            label=spec.label,
            teacher=spec.teacher,
            storable_needs=spec.teacher_needs & STORABLE,
            learns_unlabelled=spec.learns_unlabelled,
            can_be_stored=not spec.teacher_needs & LIVE,
            matches_compute=spec.kind.matches_compute,
            counts_teacher_training=bool(getattr(spec.config, "teacher_training", False)),
            written=Canonical(spec.as_dict()),
            inputs=StudentInputs(spec.files),
        )
