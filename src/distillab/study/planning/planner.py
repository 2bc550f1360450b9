"""Planner: makes the jobs of a study and the cells of its design."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

from distillab.study.design import Cell
from distillab.study.job import Job
from distillab.study.planning.context import PlanContext
from distillab.study.planning.pairing import Pairing
from distillab.study.planning.planned_recipe import RecipeWriter
from distillab.study.planning.replicate import Replicate
from distillab.study.planning.storage import Storage
from distillab.study.planning.student_jobs import PairingJobs
from distillab.study.planning.teacher_jobs import TeacherJobs
from distillab.training.numerics.config import NumericsConfig


def pairings_of(context: PlanContext, replicates: Iterable[Replicate]) -> Iterator[Pairing]:
    """Go through all pairings of a study, those of excluded conditions left out."""
    teacher, students = context.spec.teacher, context.spec.student_entries
    for replicate in replicates:
        if replicate.sets is not None:
            for provenance, student in itertools.product(teacher.provenance, students):
                yield Pairing(context, replicate, provenance, student)


class Planner:
    """Makes the jobs of a study: it alone adds them to a plan.

    Attributes:
        jobs: The jobs added so far, by id, each after those it needs.
        stored_bytes: The most that stored outputs can take.
    """

    def __init__(
        self, context: PlanContext, storage: Storage, numerics: Mapping[str, NumericsConfig]
    ) -> None:
        self.context, self.storage = context, storage
        self.teachers = TeacherJobs(context, storage, RecipeWriter(numerics))
        self.jobs: dict[str, Job] = {}
        self._stream_bytes: dict[str, int] = {}

    @property
    def stored_bytes(self) -> int:
        return sum(self._stream_bytes.values())

    def add(self, replicates: Iterable[Replicate]) -> tuple[Cell, ...]:
        """Add the jobs of replicates; return their cells by condition, then arm, then seed."""
        table: dict[tuple[int, int], list[Cell]] = {}
        conditions = math.prod(len(levels) for levels in self.context.levels)
        for place, replicate in enumerate(replicates):
            for row, cell in enumerate(self._cells(replicate)):
                table.setdefault((place % conditions, row), []).append(cell)
        return tuple(cell for row in sorted(table) for cell in table[row])

    def _cells(self, replicate: Replicate) -> Iterator[Cell]:
        spec = self.context.spec
        for provenance, student in itertools.product(spec.teacher.provenance, spec.student_entries):
            jobs = None
            if replicate.sets is not None:
                jobs = self._pairing_jobs(Pairing(self.context, replicate, provenance, student))
            for method in self.context.methods:
                yield Cell(
                    levels=replicate.record.levels,
                    provenance=provenance,
                    teacher=spec.teacher.label,
                    student=student.label,
                    method=method.label,
                    seed=replicate.record.seed,
                    n_train=replicate.record.n_train,
                    n_unlabelled=replicate.n_unlabelled,
                    run=self._add(jobs.student_jobs(method)) if jobs else None,
                    outputs=jobs.study_outputs.id if jobs and jobs.study_outputs else None,
                    teacher_run=jobs.study_teacher.id if jobs and jobs.study_teacher else None,
                    excluded=replicate.excluded,
                )

    def _pairing_jobs(self, pairing: Pairing) -> PairingJobs:
        jobs = PairingJobs(pairing, self.teachers)
        self._add(jobs.teacher_jobs())
        for kind, stream in self.storage.streams(pairing).items():
            self._stream_bytes[self.teachers.outputs(pairing, kind).id] = stream.bytes
        return jobs

    def _add(self, jobs: list[Job]) -> str | None:
        """Add jobs unless the same ones are planned already; return the id of the last."""
        for job in jobs:
            self.jobs.setdefault(job.id, job)
        return jobs[-1].id if jobs else None
