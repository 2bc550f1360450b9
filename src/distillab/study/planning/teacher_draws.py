"""TeacherDraws: how many ``full`` teachers a study has, and what other numbers would cost."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from distillab.study.planning.pairing import Pairing
from distillab.study.spec.draws import Replicates

FEWEST = 3  # teachers, if one per seed is too expensive: the variance between two is hardly an estimate


@dataclass(frozen=True)
class TeacherDraws:
    """How many teachers of provenance ``full`` a study has.

    Attributes:
        replicates: The value of ``teacher.replicates``.
        automatic: Whether the plan chose it.
        seeds: Number of seeds.
        teacher_macs: Multiply-accumulates of the training of the teachers that one seed has.
        student_macs: Those of the training of all students.

    Example:
        >>> TeacherDraws.choose("auto", seeds=10, teacher_macs=1, student_macs=10).replicates
        'each'
        >>> TeacherDraws.choose("auto", seeds=10, teacher_macs=2, student_macs=10).replicates
        5
        >>> TeacherDraws.choose("auto", seeds=10, teacher_macs=9, student_macs=10).replicates
        3
    """

    replicates: Replicates
    automatic: bool
    seeds: int
    teacher_macs: int
    student_macs: int

    @classmethod
    def choose(cls, written: Replicates, *, seeds: int, teacher_macs: int, student_macs: int) -> TeacherDraws:
        """Return the teachers of a study.

        Args:
            written: The value that the study states. ``auto`` is one teacher per seed if training them costs
                no more than training the students, else as many as that cost allows, and at least three.
            seeds: Number of seeds.
            teacher_macs: Multiply-accumulates of the training of the teachers that one seed has.
            student_macs: Those of the training of all students.
        """
        chosen = written
        if written == "auto":
            affordable = max(FEWEST, student_macs // teacher_macs) if teacher_macs else seeds
            chosen = "each" if affordable >= seeds else affordable
        return cls(chosen, written == "auto", seeds, teacher_macs, student_macs)

    @property
    def teachers(self) -> int:
        """The number of teachers, each as often as the study has training sets for it."""
        return min(self.seeds, self.replicates) if isinstance(self.replicates, int) else self.seeds

    @property
    def options(self) -> tuple[int, ...]:
        """Numbers of teachers to compare: one, three, the chosen one, and one per seed."""
        if not self.teacher_macs:
            return ()
        return tuple(sorted({min(each, self.seeds) for each in (1, FEWEST, self.teachers, self.seeds)}))


def draw_teachers(written: Replicates, pairings: Iterable[Pairing], seeds: int) -> TeacherDraws:
    """Return the teachers of a study from the pairings of one of its seeds.

    Args:
        written: The value of ``teacher.replicates`` that the study states.
        pairings: The pairings of one seed, in which it has a teacher of its own.
        seeds: Number of seeds.
    """
    trained = dict[Hashable, int]()
    students = dict[Hashable, int]()
    for pairing in pairings:
        if pairing.provenance == "full" and "study" in pairing.context.teacher_kinds:
            costs = (pairing.teacher_macs(part, "study") for part in pairing.chain("study"))
            trained[pairing.teacher_key("study")] = sum(costs)
        students |= _students_of(pairing)
    return TeacherDraws.choose(
        written, seeds=seeds, teacher_macs=sum(trained.values()), student_macs=seeds * sum(students.values())
    )


def _students_of(pairing: Pairing) -> dict[Hashable, int]:
    """Return the cost of each student of a pairing, by what tells it from all others of its seed."""
    macs = dict[Hashable, int]()
    sets = pairing.sets.digests.canonical.text
    for method in pairing.methods:
        taught = method.teacher == "study"
        recipe = pairing.recipe_of(method)
        earlier = pairing.context.generations(pairing.student) if taught else ()
        provenance = pairing.provenance if taught else None
        start = pairing.start, pairing.depth, pairing.stages
        key = pairing.student, start, sets, method, provenance, recipe.resolved.steps
        macs[key] = pairing.student_macs(recipe) + sum(pairing.teacher_macs(part, "self") for part in earlier)
    return macs
