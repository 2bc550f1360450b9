"""Planner: makes the jobs of a study and the cells of its design."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from distillab.study.design import Cell
from distillab.study.job import Job
from distillab.study.planning.context import PlanContext
from distillab.study.planning.pairing import Pairing
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.planned_recipe import RecipeWriter
from distillab.study.planning.probes import probed
from distillab.study.planning.replicate import Replicate
from distillab.study.planning.storage import Storage, choose_storage
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
        self.context = context
        self.teachers = TeacherJobs(context, storage, RecipeWriter(numerics))
        self.jobs: dict[str, Job] = {}
        self._stream_bytes: dict[str, int] = {}

    @property
    def stored_bytes(self) -> int:
        return sum(self._stream_bytes.values())

    def add(self, replicates: Iterable[Replicate]) -> tuple[Cell, ...]:
        """Add the jobs of replicates, then those of their probes; return the cells by condition, then arm,
        then seed."""
        kept = tuple(replicates)
        table: dict[tuple[int, int], list[Cell]] = {}
        conditions = math.prod(len(levels) for levels in self.context.levels)
        cells = [self._cells(replicate, self.context.methods) for replicate in kept]
        doubled = self._probe_runs(kept)
        for place, of_replicate in enumerate(cells):
            for row, cell in enumerate(of_replicate):
                probe = doubled.get(_student_of(cell))
                cell = replace(cell, doubled=probe) if probe else cell
                table.setdefault((place % conditions, row), []).append(cell)
        return tuple(cell for row in sorted(table) for cell in table[row])

    def _probe_runs(self, replicates: tuple[Replicate, ...]) -> dict[Hashable, str]:
        """Add the jobs of probes; return their runs by the student that they are probes of.

        Their teachers' outputs may take what is left of the budget. Students that are longer than the others,
        to match the compute of distillation, have no probe.
        """
        twice = tuple(probed(self.context, replicates))
        if not twice:
            return {}
        storage = choose_storage(self.context, lambda: pairings_of(self.context, twice), self.stored_bytes)
        usual, methods = self.teachers, [each for each in self.context.methods if not each.matches_compute]
        self.teachers = TeacherJobs(self.context, storage, usual.recipes)
        cells = [cell for replicate in twice for cell in self._cells(replicate, methods)]
        self.teachers = usual
        return {_student_of(cell): cell.run_id for cell in cells}

    def _cells(self, replicate: Replicate, methods: Sequence[PlannedMethod]) -> list[Cell]:
        spec = self.context.spec
        cells = []
        for provenance, student in itertools.product(spec.teacher.provenance, spec.student_entries):
            jobs = None
            if replicate.sets is not None:
                jobs = self._pairing_jobs(Pairing(self.context, replicate, provenance, student))
            cells += [
                Cell(
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
                for method in methods
            ]
        return cells

    def _pairing_jobs(self, pairing: Pairing) -> PairingJobs:
        jobs = PairingJobs(pairing, self.teachers)
        self._add(jobs.teacher_jobs())
        for kind, stream in self.teachers.storage.streams(pairing).items():
            self._stream_bytes[self.teachers.outputs(pairing, kind).id] = stream.bytes
        return jobs

    def _add(self, jobs: list[Job]) -> str | None:
        """Add jobs unless the same ones are planned already; return the id of the last."""
        for job in jobs:
            self.jobs.setdefault(job.id, job)
        return jobs[-1].id if jobs else None


def _student_of(cell: Cell) -> Hashable:
    """Return what names the student of a cell."""
    return tuple(cell.levels.items()), cell.provenance, cell.student, cell.method, cell.seed
